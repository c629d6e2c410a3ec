//! `bailiwick grant create --wait`: asks again until every cluster has said where the grant stands.

use std::time::Duration;

use domain::State;
use serde_json::Value;

use super::Session;
use crate::client::path;
use crate::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where the waiting ended.
pub struct Outcome {
    /// The grant as it was last seen.
    pub grant: Value,
    /// Whether every cluster had spoken by then.
    settled: bool,
    timeout: u32,
}

/// Reads the grant until nothing is under way any more, at most `timeout` seconds.
///
/// # Errors
/// If the server stops answering.
pub fn until_settled(session: &mut Session<'_, '_>, made: Value, timeout: u32) -> Result<Outcome, Failure> {
    let id = made.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = path::native(&["grants", &id])?;
    let clock = session.world.clock;
    let deadline = clock.now().plus_seconds(i64::from(timeout));
    let mut grant = made;
    let mut pause = FIRST_PAUSE;
    loop {
        let settled = is_settled(&grant);
        if settled || clock.now() >= deadline {
            return Ok(Outcome { grant, settled, timeout });
        }
        (session.world.pause)(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        grant = session.client.get(&path)?;
    }
}

impl Outcome {
    /// Whether the grant is in effect everywhere that it can be: wherever a cluster is connected.
    ///
    /// # Errors
    /// If a cluster refused or does not answer, or not all have spoken in time.
    pub fn verdict(&self) -> Result<(), Failure> {
        let failed = in_state(&self.grant, State::Failed);
        let held = in_state(&self.grant, State::Held);
        let unreachable = in_state(&self.grant, State::Unreachable);
        if !failed.is_empty() {
            return Err(Failure::refused(format!("the grant failed in {}", failed.join(", "))));
        }
        if !held.is_empty() {
            return Err(Failure::refused(format!("the grant is held in {}", held.join(", "))));
        }
        if !self.settled {
            return Err(Failure::refused(format!("the grant is not in effect after {} s", self.timeout))
                .hint(
                    "it stays recorded and is applied as soon as possible; look with: bailiwick grant show",
                ));
        }
        if !unreachable.is_empty() {
            return Err(Failure::refused(format!(
                "the grant is recorded, but not in effect in {}: no answer from there",
                unreachable.join(", ")
            )));
        }
        Ok(())
    }
}

fn states(grant: &Value) -> impl Iterator<Item = &Value> {
    grant.get("states").and_then(Value::as_array).into_iter().flatten()
}

fn state(entry: &Value) -> Option<State> {
    entry.get("state").and_then(Value::as_str).and_then(State::parse)
}

/// Every cluster has spoken about this generation of the grant. A detached cluster has nothing to say.
fn is_settled(grant: &Value) -> bool {
    let generation = grant.get("generation").and_then(Value::as_i64).unwrap_or_default();
    states(grant).all(|entry| {
        let observed = entry.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default();
        match state(entry) {
            Some(State::Recorded) => true,
            Some(
                State::Effective
                | State::Failed
                | State::Held
                | State::Unreachable
                | State::Revoked
                | State::RevokedResidual,
            ) => observed >= generation,
            // A state that this version does not know is not an end that it could vouch for.
            Some(State::Pending | State::Applied) | None => false,
        }
    })
}

/// The clusters in that state, with the reason each gave.
fn in_state(grant: &Value, wanted: State) -> Vec<String> {
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    states(grant)
        .filter(|entry| state(entry) == Some(wanted))
        .map(|entry| match text(entry, "reason") {
            reason if reason.is_empty() => format!("`{}`", text(entry, "clusterId")),
            reason => format!("`{}` ({reason})", text(entry, "clusterId")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(states: &[(&str, i64)]) -> Value {
        let states: Vec<Value> = states
            .iter()
            .map(|(state, seen)| {
                json!({"clusterId": format!("c-{state}"), "state": state, "reason": "why", "observedGeneration": seen})
            })
            .collect();
        json!({"id": "g", "generation": 2, "states": states})
    }

    #[test]
    fn waiting_ends_when_every_connected_cluster_has_spoken_about_this_generation() {
        for (states, settled) in [
            (vec![], true),
            (vec![("recorded", 0)], true),
            (vec![("effective", 2), ("failed", 2), ("unreachable", 2), ("recorded", 0)], true),
            (vec![("effective", 2), ("pending", 0)], false),
            (vec![("applied", 2)], false),
            (vec![("held", 2)], true),
            (vec![("effective", 1)], false),
            (vec![("something-new", 2)], false),
        ] {
            assert_eq!(is_settled(&grant(&states)), settled, "{states:?}");
        }
    }

    #[test]
    fn only_in_effect_or_recorded_everywhere_is_success() {
        for (states, settled, said) in [
            (vec![("effective", 2), ("recorded", 0)], true, None),
            (vec![("effective", 2), ("failed", 2)], true, Some("failed in `c-failed` (why)")),
            (vec![("pending", 0), ("failed", 2)], false, Some("failed in `c-failed` (why)")),
            (vec![("held", 2)], true, Some("held in `c-held` (why)")),
            (vec![("unreachable", 2)], true, Some("not in effect in `c-unreachable`")),
            (vec![("pending", 0)], false, Some("not in effect after 9 s")),
        ] {
            let verdict = Outcome { grant: grant(&states), settled, timeout: 9 }.verdict();
            match (verdict, said) {
                (Ok(()), None) => {}
                (Err(failure), Some(said)) => assert!(format!("{failure:?}").contains(said), "{failure:?}"),
                (verdict, _) => panic!("{states:?}: {verdict:?}"),
            }
        }
    }
}
