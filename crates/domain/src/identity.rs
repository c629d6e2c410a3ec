//! What tells one cluster from another, wherever its address leads.

use std::collections::BTreeSet;

/// What an API server says about the cluster behind it. Everybody who can read in the cluster can copy all of it: the halves of
/// the keys that are read here are the public ones, and nothing makes an API server prove that it holds the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// The uid of the namespace `kube-system`; `None` if it may not be read.
    pub uid: Option<String>,
    /// The thumbprints of the keys that sign tokens of service accounts; empty if they may not be read.
    pub keys: BTreeSet<String>,
}

/// Whether the certificate of a new address was vouched for by the authorities that are known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// By the same.
    Known,
    /// By others, which came with the new address.
    New,
}

/// Whether two API servers are of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They are.
    Same,
    /// They are not; what differs, as the end of a sentence.
    Other(&'static str),
    /// There is too little to compare; what is missing, as the end of a sentence.
    Unknown(&'static str),
}

impl ClusterIdentity {
    /// Whether what `found` says is to be believed about this cluster: new keys, because whoever has them speaks for all of
    /// its service accounts. Keys that are known already prove nothing here, because anybody may repeat them.
    #[must_use]
    pub fn may_learn_from(&self, found: &Self) -> bool {
        match (&self.uid, &found.uid) {
            (Some(known), Some(new)) => known == new,
            (Some(_), None) => false,
            (None, _) => self.keys.is_empty() || (found.keys == self.keys),
        }
    }

    /// Whether `found` behind a new address is the cluster that this is. What differs shows that it is not; what is alike
    /// proves nothing, unless an authority that is known already vouches for the address.
    #[must_use]
    pub fn likeness(&self, found: &Self, authority: Authority) -> Likeness {
        if let (Some(known), Some(new)) = (&self.uid, &found.uid)
            && known != new
        {
            return Likeness::Other("the uid of its namespace kube-system is another");
        }
        let comparable = !self.keys.is_empty() && !found.keys.is_empty();
        if comparable && self.keys.is_disjoint(&found.keys) {
            return Likeness::Other("the keys that sign its service accounts' tokens are others");
        }
        let uid = self.uid.is_some() && found.uid.is_some();
        match (comparable, uid, authority) {
            (true, _, Authority::Known) | (false, true, Authority::Known) => Likeness::Same,
            (true, _, Authority::New) | (false, true, Authority::New) => Likeness::Unknown(
                "its certificate may be vouched for by an authority that was not known before, and what it says of itself \
                 can be copied",
            ),
            (false, false, _) => Likeness::Unknown(
                "neither the uid of its namespace kube-system nor the keys that sign its service accounts' tokens \
                 (/openid/v1/jwks) can be read",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uid: &str, keys: &[&str]) -> ClusterIdentity {
        let uid = (!uid.is_empty()).then(|| uid.to_owned());
        ClusterIdentity { uid, keys: keys.iter().map(|key| (*key).to_owned()).collect() }
    }

    fn word(likeness: &Likeness) -> &'static str {
        match likeness {
            Likeness::Same => "same",
            Likeness::Other(_) => "other",
            Likeness::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn a_cluster_is_known_by_a_known_authority_and_what_can_be_copied_is_not_believed() {
        let known = identity("u", &["k1", "k2"]);
        for (known, found, of_known, of_new) in [
            (&known, identity("u", &["k2", "k3"]), "same", "unknown"),
            (&known, identity("", &["k2"]), "same", "unknown"),
            (&known, identity("other", &["k1"]), "other", "other"),
            (&known, identity("u", &["k3"]), "other", "other"),
            (&known, identity("", &["k3"]), "other", "other"),
            (&known, identity("u", &[]), "same", "unknown"),
            (&known, identity("", &[]), "unknown", "unknown"),
            (&identity("u", &[]), identity("u", &["k1"]), "same", "unknown"),
            (&identity("", &["k1"]), identity("u", &[]), "unknown", "unknown"),
            (&identity("", &[]), identity("u", &["k1"]), "unknown", "unknown"),
        ] {
            assert_eq!(word(&known.likeness(&found, Authority::Known)), of_known, "{known:?} {found:?}");
            assert_eq!(word(&known.likeness(&found, Authority::New)), of_new, "{known:?} {found:?}");
        }
    }
}
