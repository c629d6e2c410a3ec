//! Asking the server for credentials, and what its answer comes to: kept, given once, or nothing because it was overtaken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use podidentity::Claims;
use podidentity::vending::Answer;
use tokio::time::{Instant, sleep};

use super::cache::{Owner, Vended};
use super::desk::{About, Asked, Desk, Outcome, lock};
use super::limits::{Came, Pass};
use super::metrics::Upstream;
use super::refusal::Refusal;
use super::tokens::Proof;
use crate::feed::{Subject, Verdict};
use crate::server::Failure;

/// The pause before the second question for the same; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// So long at most a refusal is repeated without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// What was known when a question began.
#[derive(Clone, Copy)]
struct Question {
    era: u64,
    turn: u64,
    /// How many were asked before for the same.
    before: u32,
}

/// No answer of use, and perhaps when to ask again.
struct Nothing(String, Option<Duration>);

impl Nothing {
    fn overtaken(why: &str) -> Self {
        Self(why.to_owned(), None)
    }
}

impl Desk {
    /// Asks the server, again if it does not answer and there is time.
    pub(super) async fn fetch(self: Arc<Self>, asked: Asked, deadline: Instant) -> Outcome {
        let mut pause = PAUSE;
        let mut why = "the server is away".to_owned();
        let mut before = 0;
        loop {
            let Some(pass) = self.gate.enter(deadline).await else { return Outcome::Away(why) };
            let question = {
                let known = self.known();
                Question { era: known.era(), turn: known.turn(), before }
            };
            let came = match before {
                0 => self.ask(&asked.token).await,
                _ => self.ask_alone(&asked.token).await,
            };
            let after = match self.come(came, pass, &asked, question) {
                Ok(outcome) => return outcome,
                Err(Nothing(reason, after)) => {
                    why = reason;
                    after.unwrap_or_default()
                }
            };
            let wait = self.spread.of(pause).max(after);
            if Instant::now() + wait >= deadline {
                return Outcome::Away(why);
            }
            sleep(wait).await;
            pause = pause.saturating_mul(2);
            before += 1;
        }
    }

    /// What an answer of the server comes to.
    fn come(
        &self,
        came: Result<Bytes, Failure>,
        pass: Pass<'_>,
        asked: &Asked,
        question: Question,
    ) -> Result<Outcome, Nothing> {
        let asker = asker(asked);
        match came {
            Ok(body) => {
                self.metrics.upstream(Upstream::Given);
                pass.report(Came::Answer, asker);
                self.keep(body, asked, question)
            }
            Err(Failure::Refused(refusal)) => {
                self.metrics.upstream(Upstream::Refused);
                pass.report(Came::Answer, asker);
                self.refuse(refusal.into(), asked, question)
            }
            Err(Failure::Away(why)) => {
                self.metrics.upstream(Upstream::Away);
                pass.report(Came::Nothing, asker);
                Err(Nothing(why, None))
            }
            Err(Failure::Unwell(why, after)) => {
                self.metrics.upstream(Upstream::Unwell);
                pass.report(Came::Unwell(after), asker);
                Err(Nothing(why, after))
            }
            Err(Failure::Unaccepted(why)) => {
                self.metrics.upstream(Upstream::Unaccepted);
                pass.report(Came::Unwell(None), asker);
                Err(Nothing(format!("the server does not accept this agent: {why}"), None))
            }
        }
    }

    /// Gives what was vended, unless a change that is known already came after it; keeps it, if it is known to whom it was
    /// vended and not by another association than was told.
    fn keep(&self, body: Bytes, asked: &Asked, question: Question) -> Result<Outcome, Nothing> {
        let wrong = || Nothing::overtaken("the server's answer is not understood");
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| wrong())?;
        let until = answer.expires_at().ok_or_else(wrong)?;
        let (claims, is_proved) = match (&asked.claims, self.prove(asked.token.expose(), &asked.mark)) {
            (Some(claims), _) => ((**claims).clone(), true),
            // The server may have fetched the key meanwhile, and told of it.
            (None, Proof::Of(claims)) => ((*claims).clone(), true),
            (None, Proof::NoKeys(said) | Proof::UnknownKey(said)) => {
                if self.behind_rate.take() {
                    self.behind.notify_one();
                }
                (*said, false)
            }
            (None, Proof::Nothing(_)) => return Ok(Outcome::Given(body)),
        };
        let namespace = claims.namespace.clone();
        let subject = Subject { namespace, service_account: claims.service_account.name.clone() };
        let mut cache = lock(&self.cache);
        let known = self.known();
        if known.era() != question.era {
            return Err(Nothing::overtaken("the server's database is another one now"));
        }
        let is_told = match known.judge(&subject, &answer.pod_identity_association_id, answer.epoch) {
            Verdict::Outdated => return Err(Nothing::overtaken("the association was changed meanwhile")),
            // It is older than what was told, or newer. Asked again, a server that told the one would not name the other.
            Verdict::Other if question.before == 0 || question.turn != known.turn() => {
                return Err(Nothing::overtaken("the service account was associated anew meanwhile"));
            }
            // Given and not kept: the end of what stands beside something else might not be noticed.
            Verdict::Other => return Ok(Outcome::Given(body)),
            // The pod would lose it with the server if that went away before it told of it.
            Verdict::Untold => false,
            Verdict::Stands => true,
        };
        if is_proved {
            let by = (answer.pod_identity_association_id, answer.epoch);
            let vended = self.vended(&body, &claims, subject, by, until, asked);
            cache.put(Owner::of(&claims), Vended { is_told, ..vended });
        }
        Ok(Outcome::Given(body))
    }

    fn vended(
        &self,
        body: &Bytes,
        claims: &Claims,
        subject: Subject,
        (association, epoch): (String, i64),
        until: domain::Timestamp,
        asked: &Asked,
    ) -> Vended {
        let since = self.clock.now();
        Vended {
            body: body.clone(),
            subject,
            service_account_uid: claims.service_account.uid.clone(),
            association,
            epoch,
            is_told: false,
            since,
            until,
            renewed_from: Vended::renewed_from(since, until, self.spread.share()),
            is_wanted: asked.is_waited_for,
            token: (asked.token.clone(), claims.expires_at),
        }
    }

    /// What the server refuses is not there any more, and not asked for again at once; unless something changed after it was
    /// asked, by which it might not refuse any more.
    fn refuse(&self, refusal: Refusal, asked: &Asked, question: Question) -> Result<Outcome, Nothing> {
        let about = match &asked.claims {
            Some(claims) if refusal.status == StatusCode::FORBIDDEN => {
                About::ServiceAccount(claims.service_account.uid.clone())
            }
            Some(_) | None => About::Token(asked.mark),
        };
        let until = Instant::now() + self.spread.of(REFUSED_FOR);
        {
            // Who changes what is known clears this afterwards: so nothing remains in it from before.
            let mut refused = lock(&self.refused);
            if self.known().turn() != question.turn {
                return Err(Nothing(refusal.message, None));
            }
            refused.put(about, (until, refusal.clone()));
        }
        if let Some(claims) = &asked.claims {
            lock(&self.cache).drop_for(claims);
        }
        Ok(Outcome::Refused(refusal))
    }
}

/// For whom it is asked. Whoever proved nothing counts together as one.
fn asker(asked: &Asked) -> Owner {
    asked.claims.as_ref().map_or_else(|| Owner::ServiceAccount(String::new()), |claims| Owner::of(claims))
}
