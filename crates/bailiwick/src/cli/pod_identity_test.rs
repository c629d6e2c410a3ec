//! `bailiwick pod-identity test`: what a pod would get, and if nothing, which step refuses.

use clap::Args;
use serde_json::{Value, json};

use super::Session;
use crate::client::path;
use crate::failure::Failure;
use crate::output::{self, View, field};

/// What people may type.
pub const EXAMPLES: &str = "Examples:\n  bailiwick pod-identity test --cluster prod -n shop --service-account web\n  \
                            bailiwick pod-identity test --cluster prod -n shop --service-account web --pod web-5d8f";

const VIEW: View = View {
    id: "agency",
    plural: "answers",
    columns: &[
        field("AUDIENCE", "audience"),
        field("AGENCY", "agency"),
        field("ALLOWED", "allowed"),
        field("REASON", "reason"),
    ],
    details: &[field("MESSAGE", "message")],
};

/// What `bailiwick pod-identity test` takes.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The cluster, by id or name
    #[arg(long)]
    cluster: String,
    /// The namespace
    #[arg(long, short)]
    namespace: String,
    /// The service account
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// One of its pods, by name
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
}

/// Asks, and prints the answer. Fails if nothing would be vended.
///
/// # Errors
/// If the server refuses or does not answer, or a pod would get nothing.
pub fn run(args: &TestArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let path = path::native(&["clusters", &args.cluster, "pod-identity", "test"])?;
    let asked = json!({
        "namespace": args.namespace, "serviceAccount": args.service_account, "pod": args.pod
    });
    let answer = session.client.write("POST", &path, asked)?;
    output::one(session.world.out, session.style, &VIEW, &answer)?;
    if answer.get("allowed").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    let text = |key| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    Err(Failure::refused(format!("nothing would be vended: {} ({})", text("message"), text("reason"))))
}
