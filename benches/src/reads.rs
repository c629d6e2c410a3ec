//! What a signed list and a signed get cost the server, each beside a bare axum handler that returns the same bytes. CPU
//! time of the server's process, not wall time: it does not care what else the machine does.

use std::io;
use std::path::Path;

use crate::figures::Figures;
use crate::process::{self, Account, Measured};
use crate::{load, signed};

/// Requests in one round.
const REQUESTS: usize = 30_000;
/// Rounds of each.
const ROUNDS: usize = 7;
/// Connections kept open at once.
const CONNECTIONS: usize = 8;
/// What is listed.
const LIST: &str = "/api/v3/access-policies";

/// Compares the list of twenty policies, and one of them.
pub async fn compare(server: &str) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let bailiwick = process::bailiwick(server, folder.path())?;
    let account = Account::sample();
    let list = signed::with_twenty_policies(bailiwick.address, &account).await?;
    let text = String::from_utf8_lossy(&list).into_owned();
    let id = text.split(r#""policyId":""#).nth(1).and_then(|rest| rest.split('"').next());
    let id = id.ok_or_else(|| io::Error::other("the list names no policy"))?;
    beside("signed list of 20 policies", &bailiwick, &account, LIST, folder.path()).await?;
    beside("signed get of one policy", &bailiwick, &account, &format!("{LIST}/{id}"), folder.path()).await?;
    println!("resident memory of bailiwick afterwards: {} MiB", bailiwick.resident_mib()?);
    Ok(())
}

async fn beside(
    title: &str,
    bailiwick: &Measured,
    account: &Account,
    path: &str,
    folder: &Path,
) -> io::Result<()> {
    let request = signed::get(account, bailiwick.address, path);
    let wanted = load::one(bailiwick.address, &request).await?;
    let file = folder.join("answer.json");
    std::fs::write(&file, &wanted)?;
    let bare = process::peer(&file)?;
    let bare_request = format!("GET /list HTTP/1.1\r\nHost: {}\r\n\r\n", bare.address);
    if load::one(bare.address, &bare_request).await? != wanted {
        return Err(io::Error::other(format!("{title}: the peer answers something else")));
    }
    let (mut theirs, mut ours) = (Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        theirs.push(round(&bare, &bare_request).await?);
        ours.push(round(bailiwick, &request).await?);
    }
    println!("{title}: {} bytes, {REQUESTS} requests a round, {CONNECTIONS} connections", wanted.len());
    println!("{title}: bare handler, server CPU per request {}", theirs.show("µs"));
    println!("{title}: bailiwick, server CPU per request {}", ours.show("µs"));
    println!("{title}: ratio {}", ours.over(&theirs).show(""));
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
