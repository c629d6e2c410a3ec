//! The server that is measured, and who asks it.

use std::io;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::acs3::{self, Key};
use super::seed;
use crate::process::{Account, Measured};
use crate::{load, signed};

/// Connections kept open at once.
const CONNECTIONS: usize = 8;

/// A running server and the keys of two callers.
pub struct Ours {
    server: Measured,
    runtime: Handle,
    account: Account,
    /// Who sees everything.
    pub root: Key,
    /// Who sees what is in every second cluster.
    pub administrator: Key,
}

impl Ours {
    /// Gives the administrator a key, and the policy without which nobody lists anything.
    pub async fn new(server: Measured) -> io::Result<Self> {
        let account = Account::sample();
        let ask = async |method: &str, path: &str, body: &Value| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            load::one(server.address, &signed::request(&account, server.address, method, path, &body)).await
        };
        let made = ask("POST", "/bailiwick/v1/access-keys", &json!({"user": seed::ADMINISTRATOR})).await?;
        let made: Value = serde_json::from_slice(&made)?;
        let text = |key: &str| made.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let administrator = Key { id: text("accessKeyId"), secret: text("secretAccessKey") };
        let statement = json!([{"Effect": "Allow", "Action": ["cs:GetUserPermissions"], "Resource": ["*"]}]);
        let document = json!({"Version": "1", "Statement": statement});
        let policy = json!({"id": "bench", "name": "bench", "document": document});
        ask("POST", "/bailiwick/v1/policies", &policy).await?;
        let attached = format!("/bailiwick/v1/policies/bench/users/{}", seed::ADMINISTRATOR);
        ask("PUT", &attached, &Value::Null).await?;
        let root = Key { id: account.access_key_id.to_owned(), secret: account.secret_access_key.to_owned() };
        Ok(Self { server, runtime: Handle::current(), account, root, administrator })
    }

    /// A user's rows as JSON.
    pub fn list(&self, key: &Key, user: &str) -> io::Result<Vec<u8>> {
        let request = acs3::describe(key, self.server.address, user);
        self.runtime.block_on(load::one(self.server.address, &request))
    }

    /// Microseconds of the server's processor time per request for the rows of a user.
    pub fn round(&self, key: &Key, user: &str, count: usize) -> io::Result<f64> {
        let request = acs3::describe(key, self.server.address, user);
        let before = self.server.cpu_micros()?;
        self.runtime.block_on(load::many(self.server.address, &request, CONNECTIONS, count))?;
        Ok(each(self.server.cpu_micros()? - before, count))
    }

    /// The same for each user who holds much, once, after a change that concerns none of them.
    pub fn round_of_first(&self, change: usize) -> io::Result<f64> {
        let address = self.server.address;
        let body = json!({"name": format!("change-{change}")}).to_string();
        let change = signed::request(&self.account, address, "POST", "/bailiwick/v1/users", &body);
        self.runtime.block_on(load::one(address, &change))?;
        let sign = |user| acs3::describe(&self.root, address, &seed::user(user));
        let requests = (0..seed::HEAVY).map(sign).collect();
        let before = self.server.cpu_micros()?;
        self.runtime.block_on(load::each(address, requests, CONNECTIONS))?;
        Ok(each(self.server.cpu_micros()? - before, seed::HEAVY))
    }

    /// Resident memory.
    pub fn resident_mib(&self) -> io::Result<u64> {
        self.server.resident_mib()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few million microseconds")]
fn each(micros: u64, count: usize) -> f64 {
    micros as f64 / count as f64
}
