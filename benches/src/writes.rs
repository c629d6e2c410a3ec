//! Signed `POST`s of access policies over HTTP, beside the same rows inserted raw: writes in a second, on each database.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::figures::Figures;
use crate::process::{self, Account, Measured};
use crate::raw::{Owner, Raw};
use crate::{load, signed};

/// Writers at once, and how many writes a round has.
const LOADS: [(usize, usize); 3] = [(1, 100), (16, 1_600), (64, 3_200)];
/// Rounds of each.
const ROUNDS: usize = 5;

/// Compares on the embedded database, and on PostgreSQL where `postgres` is the URL of a server.
pub async fn compare(server: &str, postgres: Option<&str>) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    on("SQLite", server, folder.path(), [file("ours.db"), file("raw.db")]).await?;
    if let Some(postgres) = postgres {
        let [ours, raw] = process::postgres_databases(postgres, ["ours", "raw"]).await?;
        on("PostgreSQL", server, folder.path(), [ours, raw]).await?;
    }
    Ok(())
}

async fn on(name: &str, server: &str, folder: &Path, [ours, raw]: [String; 2]) -> io::Result<()> {
    let account = Account::sample();
    let start =
        |database: &str, data: &str| process::bailiwick_on(server, &folder.join(data), Some(database));
    // Only for its schema and its account.
    drop(start(&raw, &format!("{name}-raw"))?);
    let owner = Owner { account: account.account_id.to_owned(), user: account.user_id.to_owned() };
    let peer = Raw::open(&raw, owner).await?;
    let bailiwick = start(&ours, &format!("{name}-ours"))?;
    for (writers, total) in LOADS {
        let (mut theirs, mut mine) = (Figures::default(), Figures::default());
        let (mut cpu, mut peer_cpu) = (Figures::default(), Figures::default());
        for _ in 0..ROUNDS {
            let (began, used) = (Instant::now(), process::own_cpu_micros()?);
            peer.many(writers, total).await?;
            theirs.push(per_second(total, began));
            peer_cpu.push(per_write(process::own_cpu_micros()? - used, total));
            let sign = |_| signed::policy(&account, bailiwick.address, "load");
            let requests = (0..total / writers * writers).map(sign).collect();
            let (began, used) = (Instant::now(), bailiwick.cpu_micros()?);
            load::each(bailiwick.address, requests, writers).await?;
            mine.push(per_second(total, began));
            cpu.push(per_write(bailiwick.cpu_micros()? - used, total));
        }
        let title = format!("{name}, {writers} writers");
        println!("{title}: raw {}", theirs.show("writes/s"));
        println!("{title}: signed POST {}", mine.show("writes/s"));
        println!("{title}: ratio {}", mine.over(&theirs).show(""));
        println!("{title}: client CPU per raw write, without the database's {}", peer_cpu.show("µs"));
        println!("{title}: server CPU per write, without the database's {}", cpu.show("µs"));
        println!("{title}: ratio of CPU {}", peer_cpu.over(&cpu).show(""));
    }
    check(&bailiwick, &account).await
}

/// What was acknowledged is there.
async fn check(bailiwick: &Measured, account: &Account) -> io::Result<()> {
    let written: usize = LOADS.iter().map(|(writers, total)| total / writers * writers * ROUNDS).sum();
    let list =
        load::one(bailiwick.address, &signed::get(account, bailiwick.address, "/api/v3/access-policies"))
            .await?;
    let found = list.windows(12).filter(|window| window == br#""policyId":""#).count();
    if found != written {
        return Err(io::Error::other(format!("{written} writes were acknowledged, {found} are listed")));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn per_second(total: usize, began: Instant) -> f64 {
    total as f64 / began.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a few million microseconds")]
fn per_write(micros: u64, total: usize) -> f64 {
    micros as f64 / total as f64
}
