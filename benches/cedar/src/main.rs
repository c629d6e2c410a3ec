//! What a decision over twenty attached statements costs, beside Cedar on an equivalent set, in one run. Rounds of both
//! alternate; the answers to all questions are compared before anything is timed. Processor time of this thread, not wall
//! time: it does not care what else the machine does.

mod both;
#[path = "../../src/figures.rs"]
mod figures;

use std::error::Error;
use std::hint::black_box;

use figures::Figures;

/// Rounds of each.
const ROUNDS: usize = 15;
/// How often a round asks all questions.
const TIMES: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let (ours, cedar) = both::both()?;
    let (answers, theirs) = (ours.answers(), cedar.answers());
    if answers != theirs {
        return Err(format!("the two do not answer alike:\nours  {answers:?}\nCedar {theirs:?}").into());
    }
    let allowed = answers.iter().filter(|answer| **answer).count();
    println!("decisions: {} questions, {allowed} of them allowed, 20 statements, {ROUNDS} rounds", ours.len());
    let (mut cedars, mut effects, mut reasons) = (Figures::default(), Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        cedars.push(round(ours.len(), || cedar.ask())?);
        effects.push(round(ours.len(), || ours.ask())?);
        reasons.push(round(ours.len(), || ours.ask_why())?);
    }
    println!("decisions: Cedar, with reasons: {}", cedars.show("µs"));
    println!("decisions: ours: {}", effects.show("µs"));
    println!("decisions: ours, with reasons: {}", reasons.show("µs"));
    println!("decisions: ratio of ours to Cedar {}", effects.over(&cedars).show(""));
    println!("decisions: ratio with reasons {}", reasons.over(&cedars).show(""));
    Ok(())
}

/// Microseconds of processor time per question.
fn round(questions: usize, ask: impl Fn() -> usize) -> Result<f64, Box<dyn Error>> {
    let before = thread_nanos()?;
    for _ in 0..TIMES {
        black_box(ask());
    }
    let used = thread_nanos()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand million nanoseconds")]
    Ok(used as f64 / 1000.0 / (TIMES * questions) as f64)
}

/// How long this thread has run so far.
fn thread_nanos() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}
