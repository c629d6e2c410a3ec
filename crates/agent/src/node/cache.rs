//! What was vended to the pods of this node, and what is to be done with it. Pure: instants are told.

use bytes::Bytes;
use domain::{Secret, Timestamp};
use podidentity::Claims;

use crate::feed::{Known, Subject, Verdict};
use crate::lru::Lru;

/// Nothing is handed out that ends before it could be used.
const LEAST_USE: i64 = 15;
/// While the server answers, nothing is handed out that ends sooner, unless it never lasted longer: clients that were
/// given less would come again at every step.
const LEAST_LEFT: i64 = 45 * 60;
/// From this part of a life on it is renewed before anybody has to wait for it.
const RENEWED_AFTER: f64 = 0.4;
/// So much later at most, so that what was vended together is not renewed together.
const RENEWED_WITHIN: f64 = 0.05;

/// Whom something was vended to: the pod, or the service account where a token is bound to no pod. Uids, because names
/// are given again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A pod's uid.
    Pod(String),
    /// A service account's uid.
    ServiceAccount(String),
}

impl Owner {
    /// Whom these claims are of.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        match &claims.pod {
            Some(pod) => Self::Pod(pod.uid.clone()),
            None => Self::ServiceAccount(claims.service_account.uid.clone()),
        }
    }
}

/// What was vended once.
pub struct Vended {
    /// The server's answer as it came.
    pub body: Bytes,
    /// The service account it was vended for.
    pub subject: Subject,
    /// The uid of that: one that was made anew under the same name is another one, and a pod may outlive it.
    pub service_account_uid: String,
    /// The association by which it was.
    pub association: String,
    /// How often that had been changed.
    pub epoch: i64,
    /// Whether the agent was told of that association. Until then the server is asked first.
    pub is_told: bool,
    /// When it came.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// From when on it is renewed.
    pub renewed_from: Timestamp,
    /// Whether somebody asked for it, or waited for it, since the one before was renewed.
    pub is_wanted: bool,
    /// The token last shown for it, and when that ends: what it is renewed with.
    pub token: (Secret, Timestamp),
}

/// What to do with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Hand it out.
    Good,
    /// Ask the server; hand it out only if that does not answer.
    Short,
    /// Hand it out to nobody.
    Over,
}

impl Vended {
    /// When something of that life is renewed; `share` (0 to 1) spreads it.
    #[must_use]
    pub fn renewed_from(since: Timestamp, until: Timestamp, share: f64) -> Timestamp {
        let life = until.as_millis().saturating_sub(since.as_millis());
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a few hours in ms")]
        let after = (life as f64 * (RENEWED_AFTER + RENEWED_WITHIN * share)) as i64;
        Timestamp::from_millis(since.as_millis().saturating_add(after))
    }

    /// Whether it was vended to that service account, and no other one of its name.
    fn is_of(&self, claims: &Claims) -> bool {
        self.subject.namespace == claims.namespace
            && self.subject.service_account == claims.service_account.name
            && self.service_account_uid == claims.service_account.uid
    }

    /// Whether it follows from what is known, or may follow from what is not told yet. Notes that it is told.
    fn stands(&mut self, known: &Known) -> bool {
        match known.judge(&self.subject, &self.association, self.epoch) {
            Verdict::Stands => {
                self.is_told = true;
                true
            }
            Verdict::Untold => !self.is_told,
            Verdict::Other | Verdict::Outdated => false,
        }
    }

    /// What to do with it now.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.until <= now.plus_seconds(LEAST_USE) {
            return Standing::Over;
        }
        if !self.is_told {
            return Standing::Short;
        }
        // What never lasted long enough counts until it would be renewed.
        let was_short = self.until <= self.since.plus_seconds(LEAST_LEFT);
        let is_short =
            if was_short { now >= self.renewed_from } else { self.until < now.plus_seconds(LEAST_LEFT) };
        if is_short { Standing::Short } else { Standing::Good }
    }

    /// Whether it is to be renewed now, with the token that is there.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_wanted
            && self.renewed_from <= now
            && self.token.1 > now
            && self.standing(now) != Standing::Over
    }
}

/// Everything that was vended and still stands.
pub struct Cache {
    vended: Lru<Owner, Vended>,
}

impl Cache {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { vended: Lru::new(most) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vended.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vended.is_empty()
    }

    /// What is there for somebody who proved to be `claims` with `token`, and stands by what is known.
    pub fn find(&mut self, claims: &Claims, token: &str, known: &Known) -> Option<&Vended> {
        let vended = self.vended.get(&Owner::of(claims))?;
        if !vended.is_of(claims) || !vended.stands(known) {
            return None;
        }
        vended.is_wanted = true;
        if claims.expires_at > vended.token.1 {
            vended.token = (Secret::new(token.to_owned()), claims.expires_at);
        }
        Some(vended)
    }

    /// Keeps what was vended.
    pub fn put(&mut self, owner: Owner, vended: Vended) {
        self.vended.put(owner, vended);
    }

    /// Drops what is there for somebody who proved to be `claims`.
    pub fn drop_for(&mut self, claims: &Claims) {
        let owner = Owner::of(claims);
        if self.vended.peek(&owner).is_some_and(|vended| vended.is_of(claims)) {
            self.vended.remove(&owner);
        }
    }

    /// Drops everything. Answers how many.
    pub fn clear(&mut self) -> usize {
        let before = self.vended.len();
        self.vended.clear();
        before
    }

    /// Drops what does not stand by what is known, and what is over. Answers how many.
    pub fn sweep(&mut self, known: &Known, now: Timestamp) -> usize {
        let before = self.vended.len();
        self.vended.retain(|_, vended| vended.stands(known) && vended.standing(now) != Standing::Over);
        before - self.vended.len()
    }

    /// Drops what came by then and is still by no association that was told: there is none. Answers how many.
    pub fn drop_untold(&mut self, by: Timestamp) -> usize {
        let before = self.vended.len();
        self.vended.retain(|_, vended| vended.is_told || vended.since > by);
        before - self.vended.len()
    }

    /// Whose is to be renewed, what ends first in front.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<(Owner, Secret)> {
        let mut due: Vec<(&Owner, &Vended)> =
            self.vended.iter().filter(|(_, vended)| vended.is_due(now)).collect();
        due.sort_by_key(|(_, vended)| vended.until);
        due.into_iter().map(|(owner, vended)| (owner.clone(), vended.token.0.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000;

    fn minutes(count: i64) -> Timestamp {
        Timestamp::from_millis(START).plus_seconds(count * 60)
    }

    fn lasting(life: i64) -> Vended {
        Vended {
            body: Bytes::new(),
            subject: Subject { namespace: "shop".into(), service_account: "cart".into() },
            service_account_uid: "-cart".into(),
            association: "a".into(),
            epoch: 0,
            is_told: true,
            since: minutes(0),
            until: minutes(life),
            renewed_from: Vended::renewed_from(minutes(0), minutes(life), 0.0),
            is_wanted: true,
            token: (Secret::new("token".into()), minutes(1000)),
        }
    }

    #[test]
    fn what_is_left_says_whether_it_is_handed_out_renewed_or_fetched_anew() {
        // (life, minutes that passed, what to do, renewed in the background)
        for (life, passed, standing, is_due) in [
            (120, 0, Standing::Good, false),
            (120, 47, Standing::Good, false),
            (120, 48, Standing::Good, true),
            (120, 75, Standing::Good, true),
            (120, 76, Standing::Short, true),
            (120, 119, Standing::Short, true),
            (120, 120, Standing::Over, false),
            (120, 500, Standing::Over, false),
            (60, 15, Standing::Good, false),
            (60, 16, Standing::Short, false),
            (60, 24, Standing::Short, true),
            // What never lasts 45 minutes is not fetched at every request.
            (30, 0, Standing::Good, false),
            (30, 11, Standing::Good, false),
            (30, 12, Standing::Short, true),
            (30, 30, Standing::Over, false),
        ] {
            let vended = lasting(life);
            assert_eq!(vended.standing(minutes(passed)), standing, "{passed} of {life} minutes");
            assert_eq!(vended.is_due(minutes(passed)), is_due, "{passed} of {life} minutes");
        }
    }

    #[test]
    fn nothing_is_renewed_that_nobody_asked_for_or_with_a_token_that_ended() {
        assert!(lasting(120).is_due(minutes(60)));
        assert!(!Vended { is_wanted: false, ..lasting(120) }.is_due(minutes(60)));
        let token = (Secret::new("token".into()), minutes(59));
        assert!(!Vended { token, ..lasting(120) }.is_due(minutes(60)));
    }

    #[test]
    fn what_ends_first_is_renewed_first_and_not_all_at_once() {
        let mut cache = Cache::new(10);
        for (name, life) in [("b", 130), ("a", 120), ("c", 140), ("young", 300)] {
            cache.put(Owner::Pod(name.into()), lasting(life));
        }
        let due: Vec<Owner> = cache.due(minutes(80)).into_iter().map(|(owner, _)| owner).collect();
        assert_eq!(due, ["a", "b", "c"].map(|name| Owner::Pod(name.into())));
        let (early, late) = (
            Vended::renewed_from(minutes(0), minutes(120), 0.0),
            Vended::renewed_from(minutes(0), minutes(120), 1.0),
        );
        assert_eq!((early, late), (minutes(48), minutes(54)));
    }
}
