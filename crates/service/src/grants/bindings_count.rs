//! Counting exactly how many bindings grants ask for in each of some clusters. Pure, and long where there are many.

use std::collections::HashMap;

use domain::{
    ClusterId, ClusterScope, Error, Grant, GrantId, GrantSpec, Namespace, NamespaceScope, Result, Role,
};

/// A grant that somebody wants to write.
pub(crate) struct Asked {
    /// What it says.
    pub(crate) spec: GrantSpec,
    /// Which one it takes the place of.
    pub(crate) replaced: Option<GrantId>,
    /// The clusters that it covers.
    pub(crate) clusters: Vec<ClusterId>,
    /// So many bindings there may be in each.
    pub(crate) most: u32,
}

/// A role in a namespace, or in the whole cluster.
type Place<'a> = (&'a Role, Option<&'a Namespace>);

/// Places by number, so that each is compared once and not once for each cluster.
#[derive(Default)]
struct Places<'a> {
    numbers: HashMap<Place<'a>, usize>,
}

impl<'a> Places<'a> {
    fn of(&mut self, spec: &'a GrantSpec) -> Vec<usize> {
        match &spec.namespaces {
            NamespaceScope::All => vec![self.number((&spec.role, None))],
            NamespaceScope::Listed(names) => {
                names.iter().map(|name| self.number((&spec.role, Some(name)))).collect()
            }
        }
    }

    fn number(&mut self, place: Place<'a>) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(place).or_insert(next)
    }
}

/// The places of one cluster after the other, in memory that is made once.
struct Seen {
    /// The round in which a place was seen last.
    rounds: Vec<usize>,
    round: usize,
}

impl Seen {
    /// How many different places these are.
    fn count<'a>(&mut self, lists: impl Iterator<Item = &'a Vec<usize>>) -> usize {
        self.round += 1;
        let mut count = 0;
        for place in lists.flatten() {
            if let Some(round) = self.rounds.get_mut(*place).filter(|round| **round != self.round) {
                *round = self.round;
                count += 1;
            }
        }
        count
    }
}

impl Asked {
    /// How many bindings the fullest of the clusters would have.
    ///
    /// # Errors
    /// `Conflict` naming the first that would have too many.
    pub(crate) fn fullest(&self, grants: &[Grant]) -> Result<usize> {
        let mut numbers = Places::default();
        let mut everywhere = vec![numbers.of(&self.spec)];
        let mut lists = Vec::new();
        let mut listed: HashMap<&ClusterId, Vec<usize>> =
            self.clusters.iter().map(|cluster| (cluster, Vec::new())).collect();
        for grant in grants.iter().filter(|grant| self.replaced.as_ref() != Some(&grant.id)) {
            match &grant.spec.clusters {
                ClusterScope::All => everywhere.push(numbers.of(&grant.spec)),
                ClusterScope::Listed(ids) if ids.iter().any(|id| listed.contains_key(id)) => {
                    for id in ids {
                        if let Some(of_cluster) = listed.get_mut(id) {
                            of_cluster.push(lists.len());
                        }
                    }
                    lists.push(numbers.of(&grant.spec));
                }
                ClusterScope::Listed(_) => {}
            }
        }
        let mut seen = Seen { rounds: vec![0; numbers.numbers.len()], round: 0 };
        let mut common = everywhere.concat();
        common.sort_unstable();
        common.dedup();
        let mut fullest = 0;
        for cluster in &self.clusters {
            let own = listed.get(cluster).into_iter().flatten().filter_map(|index| lists.get(*index));
            let count = seen.count(std::iter::once(&common).chain(own));
            if count > usize::try_from(self.most).unwrap_or(usize::MAX) {
                return Err(self.too_many(cluster, count));
            }
            fullest = fullest.max(count);
        }
        Ok(fullest)
    }

    fn too_many(&self, cluster: &ClusterId, count: usize) -> Error {
        Error::conflict(format!(
            "cluster `{cluster}` would need {count} bindings for this account, at most {} are allowed: use fewer \
             namespaces, or all of them, or have the quota raised",
            self.most
        ))
    }
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, PrincipalId, PrincipalKind, Principals, Timestamp};

    use super::*;

    fn grant(id: usize, clusters: &[ClusterId], namespaces: std::ops::Range<usize>) -> Grant {
        let spec = GrantSpec {
            name: "g".into(),
            role: Role::Viewer,
            principals: Principals { kind: PrincipalKind::User, ids: vec![PrincipalId::stored("ada")] },
            clusters: match clusters {
                [] => ClusterScope::All,
                listed => ClusterScope::Listed(listed.to_vec()),
            },
            namespaces: NamespaceScope::Listed(
                namespaces.map(|n| Namespace::stored(&format!("n{n}"))).collect(),
            ),
        };
        let now = Timestamp::from_millis(0);
        Grant {
            id: GrantId::stored(&id.to_string()),
            account: AccountId::stored("a"),
            spec,
            generation: 1,
            created_at: now,
            updated_at: now,
            of_owner: false,
            revoked_at: None,
        }
    }

    #[test]
    fn each_place_of_a_cluster_counts_once_and_those_of_other_clusters_do_not() {
        let clusters: Vec<ClusterId> = ["x", "y", "z"].map(ClusterId::stored).to_vec();
        let (x, y) = (&clusters[..1], &clusters[1..2]);
        let grants =
            [grant(0, &[], 0..3), grant(1, x, 2..6), grant(2, y, 10..30), grant(3, &clusters[..2], 4..7)];
        let asked = |replaced: Option<&str>, most| Asked {
            spec: grant(9, x, 5..9).spec,
            replaced: replaced.map(GrantId::stored),
            clusters: x.to_vec(),
            most,
        };
        assert_eq!(asked(None, 9).fullest(&grants).unwrap(), 9, "0 to 8");
        assert_eq!(asked(Some("1"), 9).fullest(&grants).unwrap(), 8, "without 3");
        let refused = asked(None, 8).fullest(&grants).unwrap_err().to_string();
        assert!(refused.starts_with("cluster `x` would need 9 bindings"), "{refused}");
        let clusters = clusters.clone();
        let everywhere = Asked { spec: grant(9, &[], 0..1).spec, clusters, ..asked(None, 100) };
        assert_eq!(everywhere.fullest(&grants).unwrap(), 26, "in y");
    }
}
