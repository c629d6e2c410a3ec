//! Servers as processes whose CPU time and memory can be read.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// A running server.
pub struct Measured {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The root user of the measured server.
pub struct Account {
    /// The account.
    pub account_id: &'static str,
    /// The user.
    pub user_id: &'static str,
    /// The public half of its key.
    pub access_key_id: &'static str,
    /// The secret half: the server lives for one run, on loopback.
    pub secret_access_key: &'static str,
    /// The user's password, for the same reason no secret.
    pub password: &'static str,
}

impl Account {
    /// The one that [`bailiwick`] is started with.
    pub fn sample() -> Self {
        Self {
            account_id: "bench",
            user_id: "root",
            access_key_id: "BENCH",
            secret_access_key: "bench-secret",
            password: "bench-password-1",
        }
    }
}

/// Starts the server with an empty database of its own.
pub fn bailiwick(program: &str, folder: &Path) -> io::Result<Measured> {
    bailiwick_on(program, folder, None)
}

/// What a benchmark needs beside the defaults.
const CONFIG: &str = "[quotas]\ngrants = 10000000\n[limits]\nrequests_per_source = { per_second = 0 }\n\
                      requests_per_principal = { per_second = 0 }\n";

/// Starts the server on an empty database. It lets one account hold as much, and send as fast, as a benchmark needs.
pub fn bailiwick_on(program: &str, folder: &Path, database: Option<&str>) -> io::Result<Measured> {
    let account = Account::sample();
    std::fs::create_dir_all(folder)?;
    let config = folder.join("config.toml");
    std::fs::write(&config, CONFIG)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config);
    if let Some(database) = database {
        command.args(["--database", database]);
    }
    command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .env("BAILIWICK_BOOTSTRAP_ACCOUNT_ID", account.account_id)
        .env("BAILIWICK_MASTER_KEY_FILE", folder.join("master.key"))
        .env("BAILIWICK_BOOTSTRAP_USER_ID", account.user_id)
        .env("BAILIWICK_BOOTSTRAP_ACCESS_KEY_ID", account.access_key_id)
        .env("BAILIWICK_BOOTSTRAP_SECRET_ACCESS_KEY", account.secret_access_key)
        .env("BAILIWICK_BOOTSTRAP_USER_NAME", account.user_id)
        .env("BAILIWICK_BOOTSTRAP_PASSWORD", account.password)
        .env("BAILIWICK_LOG", "warn");
    start(command)
}

/// Starts a server of somebody else by a script, which becomes the server.
pub fn script(script: &str, folder: &Path, password: &str) -> io::Result<Measured> {
    let mut command = Command::new("python3");
    command.arg(script).arg(folder).arg(password);
    start(command)
}

/// Starts the peer.
pub fn peer(bytes: &Path) -> io::Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--peer").arg(bytes);
    start(command)
}

fn start(mut command: Command) -> io::Result<Measured> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
    match address {
        Some(address) => Ok(Measured { child, address }),
        None => {
            child.kill()?;
            Err(io::Error::other(format!("it did not say where it listens: {line}")))
        }
    }
}

/// Makes empty databases on a PostgreSQL server and gives their URLs.
pub async fn postgres_databases<const N: usize>(server: &str, names: [&str; N]) -> io::Result<[String; N]> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server).await.map_err(io::Error::other)?;
    for name in names {
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.map_err(io::Error::other)?;
    }
    let authority = server.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    Ok(names.map(|name| format!("postgres://{authority}/{name}")))
}

impl Measured {
    /// User and system time so far. The kernel counts in hundredths of a second.
    pub fn cpu_micros(&self) -> io::Result<u64> {
        cpu_micros(&self.child.id().to_string())
    }

    /// Resident memory.
    pub fn resident_mib(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib =
            line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Ok(kib / 1024)
    }
}

/// User and system time of this program so far.
pub fn own_cpu_micros() -> io::Result<u64> {
    cpu_micros("self")
}

/// The `schedstat` of the thread that reads it.
pub const THREAD: &str = "/proc/thread-self/schedstat";

/// How many nanoseconds a thread, or a process of one thread, has been on a processor, by its `schedstat`.
pub fn on_processor(schedstat: &str) -> io::Result<f64> {
    let text = std::fs::read_to_string(schedstat)?;
    let first = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    first.ok_or_else(|| io::Error::other("the kernel does not count the time on processors"))
}

fn cpu_micros(process: &str) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Ok(ticks.sum::<u64>() * 10_000)
}

impl Drop for Measured {
    fn drop(&mut self) {
        // The run is over; a server that is gone already is no trouble.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
