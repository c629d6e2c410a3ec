//! Asking a cluster, in the name of the connection's own credential, what that may do, and whose it is.
//!
//! The rules that an API server lists (`SelfSubjectRulesReview`) are not asked for: they are those of one namespace, which
//! prove nothing about all of them, and with the usual authorizers of nodes they are never complete.

use std::time::Duration;

use domain::Result;
use futures::stream::{self, StreamExt, TryStreamExt};
use rbac::probe::Probe;
use serde::Deserialize;
use serde_json::{Value, json};
use service::clusters::connection::contact::{Reviewed, Unasked};
use service::clusters::connection::{Connection, whose};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::client::{ApiClient, MAX_ANSWER};
use crate::failure::{Failure, Refusal, clean};
use crate::wire;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Nothing is there. Who may not look is told so, and by which name they are known.
const NOWHERE: &str = "/bailiwick-who-am-i";
/// How long all the questions together may take.
const PATIENCE: Duration = Duration::from_secs(9);
/// How long the question for a name may take: it is worth less than the others.
const PATIENCE_FOR_NAME: Duration = Duration::from_secs(3);
/// The pause before a busy API server is asked again, if it does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// How many questions are asked at a time.
const SIDE_BY_SIDE: usize = 8;

/// An answer to a review of oneself. What is left out here would be read as a no.
#[derive(Deserialize)]
struct SelfReview {
    kind: String,
    status: SelfStatus,
}

#[derive(Deserialize)]
struct SelfStatus {
    allowed: bool,
}

/// Who one is.
#[derive(Deserialize)]
struct Myself {
    status: MyStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MyStatus {
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct UserInfo {
    username: String,
}

/// Asks everything, or says why it could not.
pub(crate) async fn check(
    client: &ApiClient,
    connection: &Connection,
    questions: &[Probe],
) -> Result<Reviewed, Unasked> {
    let deadline = Instant::now() + PATIENCE;
    let asking = async {
        let answer = |(at, question): (usize, Probe)| async move {
            patiently(client, &question, deadline).await.map(|allowed| (at, allowed))
        };
        let questions = questions.iter().cloned().enumerate();
        // In the order in which they come: a slow answer must not keep the next question waiting.
        let answers = stream::iter(questions).map(answer).buffer_unordered(SIDE_BY_SIDE);
        let mut answers = answers.try_collect::<Vec<(usize, bool)>>().await?;
        answers.sort_unstable();
        Ok(answers.into_iter().map(|(_, allowed)| allowed).collect::<Vec<bool>>())
    };
    let (allowed, identity) = tokio::join!(timeout_at(deadline, asking), identity(client, connection));
    let allowed = allowed.unwrap_or_else(|_| Err(Failure::Unreachable("timed out".to_owned())));
    match allowed {
        Ok(allowed) => Ok(Reviewed { allowed, identity }),
        Err(failure) => {
            tracing::info!(%failure, "fleet.check.failed");
            Err(Unasked(precisely(&failure)))
        }
    }
}

async fn patiently(client: &ApiClient, question: &Probe, deadline: Instant) -> Result<bool, Failure> {
    loop {
        match once(client, question).await {
            Err(failure) if failure.is(429) => {
                let pause = failure.retry_after().unwrap_or(PAUSE);
                if Instant::now() + pause >= deadline {
                    return Err(failure);
                }
                sleep(pause).await;
            }
            answer => return answer,
        }
    }
}

async fn once(client: &ApiClient, question: &Probe) -> Result<bool, Failure> {
    let review: SelfReview = client.post(REVIEWS, &body(question)).await?;
    if review.kind != "SelfSubjectAccessReview" {
        return Err(Failure::Unreadable("it is not the review that was asked for"));
    }
    Ok(review.status.allowed)
}

fn body(question: &Probe) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wire::resource_attributes(question)},
    })
}

/// What the API server calls the holder of the credential: its own word where it has one (from 1.28 on), else what the
/// credential says, else what it says when it refuses something.
async fn identity(client: &ApiClient, connection: &Connection) -> Option<String> {
    let told = timeout(PATIENCE_FOR_NAME, myself(client)).await.ok().flatten();
    let known = told.or_else(|| whose::of_credential(&connection.credential));
    let name = match known {
        Some(name) => name,
        None => timeout(PATIENCE_FOR_NAME, refused_name(client)).await.ok().flatten()?,
    };
    // It is shown and put into manifests: nobody whom an API server calls by such a name is helped by that.
    (!name.is_empty() && clean(&name) == name).then_some(name)
}

async fn myself(client: &ApiClient) -> Option<String> {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let myself: Myself = client.post(WHO_AM_I, &body).await.ok()?;
    Some(myself.status.user_info.username)
}

async fn refused_name(client: &ApiClient) -> Option<String> {
    match client.get::<Value>(NOWHERE, MAX_ANSWER).await {
        Err(Failure::Refused(Refusal { status: 403, message, .. })) => name_in(&message),
        _ => None,
    }
}

/// The name in `forbidden: User "ann" cannot get path …`, which is quoted as Go does it: nearly as JSON.
fn name_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    let (quoted, _) = rest.split_once("\" cannot ")?;
    serde_json::from_str(&format!("\"{quoted}\"")).ok()
}

/// What went wrong, for somebody who may say where clusters are: each thing that can go wrong in its own words.
pub(crate) fn precisely(failure: &Failure) -> String {
    let no_cluster = "what answers at its address is no Kubernetes API server";
    let text = match failure {
        Failure::Unreachable(detail) => unreachable(detail),
        Failure::Unauthorized => {
            "the API server does not accept the connection's credential (401): it ended, or was taken back"
                .to_owned()
        }
        Failure::Refused(Refusal { status: 403, message, .. }) => {
            format!("the API server does not let the credential ask what it may do (403); it says: {message}")
        }
        Failure::Refused(Refusal { status: 429, .. }) => {
            "the API server is too busy to answer (429): try again later".to_owned()
        }
        Failure::Refused(Refusal { status: status @ 500.., message, .. }) => {
            format!("the API server fails with status {status}; it says: {message}")
        }
        Failure::Refused(Refusal { status, .. }) => {
            format!("{no_cluster}: it answers an access review with status {status}")
        }
        failure if *failure == Failure::TOO_LARGE => {
            "its answer to an access review has no end in sight: it is larger than 256 KiB".to_owned()
        }
        Failure::Unreadable(what) => {
            format!("{no_cluster}: its answer to an access review is unreadable, {what}")
        }
        Failure::Superseded => "it was not asked".to_owned(),
    };
    clean(&text)
}

fn unreachable(detail: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    if has(&["invalid peer certificate", "UnknownIssuer", "NotValidForName"]) {
        return format!(
            "what answers at its address does not prove to be its API server: the certificate is not vouched for by the \
             connection's authority, or is for another name ({detail})"
        );
    }
    if has(&["timed out"]) {
        return "the API server did not answer in time".to_owned();
    }
    if has(&["Connection refused"]) {
        return "nothing listens at its address: the connection was refused".to_owned();
    }
    format!("there is no way to its API server: {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whom_it_refuses() {
        let message = r#"forbidden: User "oidc:ann@example.com" cannot get path "/bailiwick-who-am-i""#;
        assert_eq!(name_in(message).as_deref(), Some("oidc:ann@example.com"));
        assert_eq!(name_in(r#"User "a\"b\\c" cannot get path"#).as_deref(), Some("a\"b\\c"));
        for nobody in ["", "forbidden", r#"User "cut"#, r#"User "\xff" cannot get"#] {
            assert_eq!(name_in(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn each_thing_that_can_go_wrong_has_its_own_words() {
        let refused = |status| Failure::Refused(Refusal { status, ..Refusal::default() });
        let failures = [
            Failure::Unreachable("client error (Connect): invalid peer certificate: UnknownIssuer".into()),
            Failure::Unreachable("timed out".into()),
            Failure::Unreachable("tcp connect error: Connection refused (os error 111)".into()),
            Failure::Unreachable("connection closed before message completed".into()),
            Failure::Unauthorized,
            refused(403),
            refused(404),
            refused(429),
            refused(500),
            Failure::TOO_LARGE,
            Failure::Unreadable("it is compressed, which nobody asked for"),
            Failure::Unreadable("it is not the JSON that was asked for"),
        ];
        let told: std::collections::BTreeSet<String> = failures.iter().map(precisely).collect();
        assert_eq!(told.len(), failures.len(), "{told:?}");
    }
}
