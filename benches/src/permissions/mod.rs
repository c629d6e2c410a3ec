//! What it costs to list the permissions of one user among a million grants, beside PostgreSQL building the same rows with
//! `json_agg`: processor time of the server, and of PostgreSQL's backend and its client.

mod acs3;
mod ours;
mod seed;
mod stored;
mod theirs;

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Instant;

use self::ours::Ours;
use self::seed::Row;
use self::theirs::Peer;
use crate::figures::Figures;
use crate::process::{self, Account};

/// Rounds of each.
const ROUNDS: usize = 7;
/// Requests in a round: what is kept in memory is answered from there, what is not is not.
const WARM: usize = 16_000;
const MADE: usize = 2_000;
/// Statements in a round, over the peer's one connection.
const THEIRS: u32 = 500;
/// How often the rows are written as JSON in a round.
const WRITTEN: u32 = 2_000;

/// Compares.
pub async fn compare(server: &str, postgres: &str) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let [url] = process::postgres_databases(postgres, ["permissions"]).await?;
    let ours = seeded(server, folder.path()).await?;
    theirs::fill(&url).await?;
    // The peer's client has this thread for itself, so that its time can be told from others'.
    let measured = tokio::task::spawn_blocking(move || {
        let mut peer = Peer::connect(&url)?;
        agree(&ours, &mut peer)?;
        warm(&ours, &mut peer)?;
        first(&ours)?;
        println!("permissions: resident memory of bailiwick afterwards: {} MiB", ours.resident_mib()?);
        Ok(())
    });
    measured.await.map_err(io::Error::other)?
}

/// A server whose database holds a million grants.
async fn seeded(server: &str, folder: &Path) -> io::Result<Ours> {
    let file = folder.join("bench.db");
    let url = format!("sqlite://{}", file.display());
    let start = || process::bailiwick_on(server, folder, Some(&url));
    // Only for its schema and its account.
    drop(start()?);
    let began = Instant::now();
    stored::write(&file, &Account::sample()).await?;
    println!("permissions: {} grants written in {:.0} s", seed::GRANTS, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let started = start()?;
    println!("permissions: the server starts with them in {:.2} s", began.elapsed().as_secs_f64());
    Ours::new(started).await
}

/// Both answer what was stored, in the same order, of each user who holds much.
fn agree(ours: &Ours, peer: &mut Peer) -> io::Result<()> {
    let (all, half) = seed::rows_of_heavy();
    for user in (0..seed::HEAVY).map(seed::user) {
        same("the server", &ours.list(&ours.root, &user)?, &all)?;
        same("the peer", peer.list(&user)?.as_bytes(), &all)?;
    }
    same("the server, to an administrator", &ours.list(&ours.administrator, &seed::user(0))?, &half)?;
    same("the server", &ours.list(&ours.root, seed::NOBODY)?, &[])
}

fn same(who: &str, answer: &[u8], wanted: &[Row]) -> io::Result<()> {
    match serde_json::from_slice::<Vec<Row>>(answer)? == wanted {
        true => Ok(()),
        false => Err(io::Error::other(format!("{who} answers other rows than were stored"))),
    }
}

/// The same user again and again.
fn warm(ours: &Ours, peer: &mut Peer) -> io::Result<()> {
    let (rows, _) = seed::rows_of_heavy();
    let (mut backend, mut client, mut theirs) = (Figures::default(), Figures::default(), Figures::default());
    let (mut much, mut nothing, mut made) = (Figures::default(), Figures::default(), Figures::default());
    let (mut json, mut allowed) = (Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        let (server, asker) = peer.round(&seed::user(0), THEIRS)?;
        backend.push(server);
        client.push(asker);
        theirs.push(server + asker);
        let none = ours.round(&ours.root, seed::NOBODY, WARM)?;
        nothing.push(none);
        much.push(ours.round(&ours.root, &seed::user(0), WARM)?);
        made.push(ours.round(&ours.administrator, &seed::user(0), MADE)?);
        let written = written(&rows)?;
        json.push(written);
        allowed.push(2.0 * none + written);
    }
    println!("permissions: {} rows, {} bytes of JSON", seed::ROWS, serde_json::to_vec(&rows)?.len());
    println!("permissions: PostgreSQL, json_agg, the backend {}", backend.show("µs"));
    println!("permissions: PostgreSQL, its client {}", client.show("µs"));
    println!("permissions: bailiwick, server CPU per request {}", much.show("µs"));
    println!("permissions: bailiwick, for a user who holds nothing {}", nothing.show("µs"));
    println!("permissions: writing the rows as JSON {}", json.show("µs"));
    println!(
        "permissions: over twice nothing and the JSON {} (aim: at most 1)",
        much.over(&allowed).show("")
    );
    println!("permissions: PostgreSQL over bailiwick {} (aim: at least 20)", theirs.over(&much).show(""));
    println!("permissions: bailiwick, to who administers half of the clusters {}", made.show("µs"));
    Ok(())
}

/// Each user's first list after something changed in the account: all rows are read from the database.
fn first(ours: &Ours) -> io::Result<()> {
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        figures.push(ours.round_of_first(round)?);
    }
    println!("permissions: bailiwick, the first request after a change {}", figures.show("µs"));
    Ok(())
}

/// Microseconds to write the rows as JSON.
fn written(rows: &[Row]) -> io::Result<f64> {
    let before = process::on_processor(process::THREAD)?;
    for _ in 0..WRITTEN {
        black_box(serde_json::to_vec(black_box(rows))?);
    }
    Ok((process::on_processor(process::THREAD)? - before) / f64::from(WRITTEN) / 1000.0)
}
