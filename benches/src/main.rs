//! `make bench`: what a signed list of access policies costs the server, beside a bare axum handler that returns the
//! same bytes. CPU time of the server's process, not wall time: it does not care what else the machine does.
//!
//! Rounds of the two alternate; the answers are compared byte by byte before anything is timed.

mod load;
mod peer;
mod process;
mod signed;

use std::io;

use process::Measured;

/// Requests in one round.
const REQUESTS: usize = 30_000;
/// Rounds of each.
const ROUNDS: usize = 7;
/// Connections kept open at once.
const CONNECTIONS: usize = 8;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--peer"), Some(file)) => peer::serve(&file).await,
        (Some(server), None) => compare(server).await,
        _ => Err(io::Error::other("usage: benches PATH-OF-BAILIWICK")),
    }
}

async fn compare(server: &str) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let bailiwick = process::bailiwick(server, folder.path())?;
    let account = process::Account::sample();
    let list = signed::with_twenty_policies(bailiwick.address, &account).await?;
    let bytes_file = folder.path().join("list.json");
    std::fs::write(&bytes_file, &list)?;
    let bare = process::peer(&bytes_file)?;
    let signed_request = signed::get(&account, bailiwick.address, "/api/v3/access-policies");
    let bare_request = format!("GET /list HTTP/1.1\r\nHost: {}\r\n\r\n", bare.address);
    for (name, target, request) in
        [("bailiwick", &bailiwick, signed_request.as_str()), ("axum", &bare, bare_request.as_str())]
    {
        let answer = load::one(target.address, request).await?;
        if answer != list {
            return Err(io::Error::other(format!("{name} does not return the list")));
        }
    }
    println!("{} bytes, {REQUESTS} requests a round, {CONNECTIONS} connections", list.len());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(round(&bare, &bare_request).await?);
        ours.push(round(&bailiwick, &signed_request).await?);
    }
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    report("bare axum handler, server CPU per request", "µs", theirs);
    report("signed list of 20 policies, server CPU per request", "µs", ours);
    report("ratio", "", ratios);
    println!("resident memory of bailiwick afterwards: {} MiB", bailiwick.resident_mib()?);
    Ok(())
}

/// Microseconds of the server's CPU time per request.
async fn round(target: &Measured, request: &str) -> io::Result<f64> {
    let before = target.cpu_micros()?;
    load::many(target.address, request, CONNECTIONS, REQUESTS).await?;
    let used = target.cpu_micros()? - before;
    #[expect(clippy::cast_precision_loss, reason = "a few million microseconds")]
    Ok(used as f64 / REQUESTS as f64)
}

fn report(name: &str, unit: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    let (low, middle, high) = (at(0), at(figures.len() / 2), at(figures.len().saturating_sub(1)));
    println!("{name}: median {middle:.2} {unit} (min {low:.2}, max {high:.2})");
}
