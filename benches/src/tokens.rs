//! What checking a token costs: in the program itself, and validating one over HTTP beside a real Keystone.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Clock, Entropy, Timestamp};
use serde_json::{Value, json};
use service::installation::bootstrap::{AccountSpec, Bootstrap, Purpose};
use service::{Login, MasterKey, Origin, Scope, Service, Settings};
use store::{Location, Store};

use crate::figures::Figures;
use crate::load;
use crate::process::{self, Account, Measured};

/// Rounds of each.
const ROUNDS: usize = 7;
/// Checks in one round within the program.
const CHECKS: u32 = 200_000;
/// Connections and validations in one round over HTTP. Ours: as for the other requests. Theirs: its one process serves one
/// connection at a time and is busy with it all the time, and a validation takes longer.
const OURS: (usize, usize) = (8, 40_000);
const THEIRS: (usize, usize) = (1, 300);
/// How long Keystone may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Compares.
pub async fn compare(server: &str, keystone: &str) -> io::Result<()> {
    in_process().await?;
    over_http(server, keystone).await
}

/// The check that every request with a token begins with, its answer known already.
async fn in_process() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (service, token, origin) = a_service(folder.path()).await.map_err(io::Error::other)?;
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CHECKS {
            let call = service.call_by_token(&token, origin.clone()).await.map_err(io::Error::other)?;
            std::hint::black_box(call);
        }
        #[expect(clippy::cast_precision_loss, reason = "some seconds in nanoseconds")]
        figures.push(began.elapsed().as_nanos() as f64 / f64::from(CHECKS) / 1000.0);
    }
    println!("token check within the program, warm: {} (aim: at most 1 µs)", figures.show("µs"));
    Ok(())
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the program's own edge: tokens end by the time")]
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

async fn a_service(folder: &Path) -> domain::Result<(Service, String, Origin)> {
    let location = Location::parse("database", &format!("sqlite://{}", folder.join("bench.db").display()))?;
    let store = Store::open(&location).await?;
    let entropy: Arc<dyn Entropy> = Arc::new(domain::entropy::Fixed::new(1));
    let clock: Arc<dyn Clock> = Arc::new(Now);
    let master_key: service::MasterKeys = MasterKey::generate(&*entropy).into();
    let bootstrap = Bootstrap {
        store: store.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        master_key: master_key.clone(),
    };
    let installation = bootstrap.installation(Purpose::Real).await?;
    let prepared = bootstrap.prepare(AccountSpec::default())?;
    bootstrap.store_first(&prepared).await?;
    let service = Service::new(store, clock, entropy, master_key, installation.id, Settings::default())?;
    let origin =
        Origin { request_id: Arc::from("r"), source: Arc::from("127.0.0.1"), at: service.now(), dialect: "" };
    let login = Login::Id { user: prepared.root.id.to_string(), password: prepared.password };
    let issued = service.issue_token(&login, &Scope::Account { named: None }, &origin).await?;
    Ok((service, issued.token.expose().to_owned(), origin))
}

async fn over_http(server: &str, keystone: &str) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let ours = process::bailiwick(server, &folder.path().join("ours"))?;
    let theirs_folder = folder.path().join("theirs");
    std::fs::create_dir_all(&theirs_folder)?;
    let account = Account::sample();
    let theirs = process::script(keystone, &theirs_folder, account.password)?;
    let domain = json!({"id": account.account_id});
    let our_login = login(account.user_id, account.password, &domain, &json!({"domain": domain}));
    let ours_request = validation(ours.address, &our_login).await?;
    let domain = json!({"id": "default"});
    let project = json!({"project": {"name": "admin", "domain": domain}});
    let theirs_request =
        patiently(theirs.address, &login("admin", account.password, &domain, &project)).await?;
    // What they answer is not the same body, but the same thing: whose token it is and until when.
    for (target, request) in [(&ours, &ours_request), (&theirs, &theirs_request)] {
        let body: Value = serde_json::from_slice(&load::one(target.address, request).await?)?;
        let token = body.get("token").ok_or_else(|| io::Error::other("the answer holds no token"))?;
        if token.get("user").is_none() || token.get("expires_at").is_none() {
            return Err(io::Error::other("the answer does not say whose token it is, and until when"));
        }
    }
    let (mut ours_cpu, mut theirs_cpu) = (Figures::default(), Figures::default());
    let (mut ours_rate, mut theirs_rate) = (Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        let (cpu, rate) = round(&theirs, &theirs_request, THEIRS).await?;
        theirs_cpu.push(cpu);
        theirs_rate.push(rate);
        let (cpu, rate) = round(&ours, &ours_request, OURS).await?;
        ours_cpu.push(cpu);
        ours_rate.push(rate);
    }
    println!(
        "validating a token over HTTP, {} connections to ours and {} to theirs, {ROUNDS} rounds",
        OURS.0, THEIRS.0
    );
    println!("keystone 30 (uwsgi, one process, cache on): server CPU {}", theirs_cpu.show("µs"));
    println!("bailiwick: server CPU {}", ours_cpu.show("µs"));
    println!(
        "ratio of CPU, keystone over bailiwick: {} (aim: at least 100)",
        theirs_cpu.over(&ours_cpu).show("")
    );
    println!("keystone: {} a second", theirs_rate.show(""));
    println!("bailiwick: {} a second", ours_rate.show(""));
    println!("ratio of rates: {}", ours_rate.over(&theirs_rate).show(""));
    Ok(())
}

/// Microseconds of CPU time of a request, and requests in a second.
#[expect(clippy::cast_precision_loss, reason = "a few million microseconds")]
async fn round(
    target: &Measured,
    request: &str,
    (connections, count): (usize, usize),
) -> io::Result<(f64, f64)> {
    let (before, began) = (target.cpu_micros()?, Instant::now());
    load::many(target.address, request, connections, count).await?;
    let used = target.cpu_micros()? - before;
    Ok((used as f64 / count as f64, count as f64 / began.elapsed().as_secs_f64()))
}

fn login(user: &str, password: &str, domain: &Value, scope: &Value) -> String {
    json!({"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": user, "password": password, "domain": domain}},
        },
        "scope": scope,
    }})
    .to_string()
}

/// A request that validates a token, after a login that gave one.
async fn validation(address: SocketAddr, login: &str) -> io::Result<String> {
    let request = format!(
        "POST /v3/auth/tokens HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{login}",
        login.len()
    );
    let token = load::header(address, &request, "x-subject-token").await?;
    Ok(format!(
        "GET /v3/auth/tokens HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\nX-Subject-Token: {token}\r\n\r\n"
    ))
}

/// The same of a server that is still starting.
async fn patiently(address: SocketAddr, login: &str) -> io::Result<String> {
    let began = Instant::now();
    loop {
        match validation(address, login).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            done => return done,
        }
    }
}
