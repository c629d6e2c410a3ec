//! `make bench`: figures as ratios, each beside its peer in one run. Rounds of the two alternate, and what they answer
//! is compared before anything is timed. Never part of the tests: the machine decides about the figures.
//!
//! What happens in clusters is measured by `fleet.py` beside this, on the servers of `e2e/harness`.

mod agent_hit;
mod bare;
mod figures;
mod load;
mod paced;
mod peer;
mod permissions;
mod process;
mod raw;
mod reads;
mod signature;
mod signed;
mod tokens;
mod writes;

use std::io;

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--peer", file] => peer::serve(file).await,
        ["signature"] => signature::compare(),
        ["agent-hit"] => agent_hit::compare(),
        ["reads", server] => reads::compare(server).await,
        ["permissions", server, postgres] => permissions::compare(server, postgres).await,
        ["tokens", server, keystone] => tokens::compare(server, keystone).await,
        ["writes", server] => writes::compare(server, None).await,
        ["writes", server, postgres] => writes::compare(server, Some(postgres)).await,
        ["paced", address, file, rate, connections] => paced::send(address, file, rate, connections).await,
        ["apply", address, folder, prefix, count] => bare::apply(address, folder, prefix, count).await,
        ["ask", address, folder, questions] => bare::ask(address, folder, questions).await,
        _ => Err(io::Error::other(
            "usage: benches signature | agent-hit | reads SERVER | permissions SERVER POSTGRES-URL | tokens SERVER KEYSTONE-SCRIPT | writes SERVER [POSTGRES-URL] | apply ADDRESS FOLDER PREFIX COUNT | ask ADDRESS FOLDER QUESTIONS | paced ADDRESS FILE PER-SECOND CONNECTIONS",
        )),
    }
}
