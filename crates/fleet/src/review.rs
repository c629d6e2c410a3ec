//! Asks a cluster whether what was bound is allowed, and whether what was revoked is not.
//!
//! A question that is not answered as expected is repeated for a moment: an API server learns of its own bindings
//! through a watch, some milliseconds after it stored them.

use std::sync::Arc;
use std::time::Duration;

use domain::GrantId;
use futures::StreamExt;
use futures::stream;
use rbac::probe::{Probe, subject_groups};
use rbac::{Slot, Subject};
use tokio::time::sleep;

use crate::client::ApiClient;
use crate::failure::Failure;
use crate::tracker::Aim;
use crate::wire::{self, Review};

/// The most questions in one batch.
pub(crate) const MAX_QUESTIONS: usize = 50;
/// Reviews leave room for the changes of the next pass.
const SIDE_BY_SIDE: usize = 4;
/// How long to wait before each further attempt.
const PATIENCE: [Duration; 7] = {
    const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }
    [millis(3), millis(6), millis(12), millis(25), millis(50), millis(100), millis(300)]
};

const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Something to ask a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// For which grant.
    pub(crate) grant: GrantId,
    /// In which round of it.
    pub(crate) round: u64,
    /// Whether yes or no is expected.
    pub(crate) aim: Aim,
    /// Where.
    pub(crate) slot: Slot,
    /// About whom.
    pub(crate) subject: Subject,
    /// What.
    pub(crate) probe: Probe,
}

/// What a cluster said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// To which question.
    pub(crate) question: Question,
    /// Whether it allows it.
    pub(crate) allowed: Result<bool, Failure>,
}

/// Asks a batch of questions.
pub(crate) async fn ask(client: Arc<ApiClient>, questions: Vec<Question>) -> Vec<Answer> {
    let answer = move |question: Question| {
        let client = Arc::clone(&client);
        async move {
            let allowed = patiently(&client, &question).await;
            Answer { question, allowed }
        }
    };
    stream::iter(questions).map(answer).buffer_unordered(SIDE_BY_SIDE).collect().await
}

async fn patiently(client: &ApiClient, question: &Question) -> Result<bool, Failure> {
    let expected = match question.aim {
        Aim::Granted => true,
        Aim::Revoked => false,
    };
    let mut allowed = once(client, question).await?;
    for delay in PATIENCE {
        if allowed == expected {
            break;
        }
        sleep(delay).await;
        allowed = once(client, question).await?;
    }
    Ok(allowed)
}

async fn once(client: &ApiClient, question: &Question) -> Result<bool, Failure> {
    let (user, groups) = subject_groups(&question.subject);
    let review: Review = client.post(PATH, &wire::review(&user, &groups, &question.probe)).await?;
    Ok(review.status.allowed)
}
