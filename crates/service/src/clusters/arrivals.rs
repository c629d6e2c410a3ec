//! The names under which principals are bound in a cluster, where ids are not enough.

use std::collections::{BTreeSet, HashMap};

use domain::{
    AccountId, Arrival, ClusterId, GroupMembers, Principal, PrincipalId, PrincipalKind, Result, Timestamp,
};
use rbac::{Named, Subject, SubjectKind, SubjectNames};
use store::{LiveCertificate, ReadTx};

/// What principals are called in a cluster, and until when that stays so by itself.
pub(crate) struct Names {
    /// The table.
    pub(crate) subjects: SubjectNames,
    /// When the next certificate ends.
    pub(crate) until: Option<Timestamp>,
}

/// The names of everybody whom a grant of the account names. Where ids are enough, nobody is looked up.
pub(crate) async fn names(
    tx: &mut ReadTx,
    account: &AccountId,
    (cluster, arrival): (&ClusterId, &Arrival),
    now: Timestamp,
) -> Result<Names> {
    let live = tx.live_certificates(cluster, now).await?;
    let mut subjects = usual(tx, account, arrival).await?;
    if !live.is_empty() {
        let memberships = tx.certified_memberships(cluster, now).await?;
        let groups = memberships.iter().map(|(group, _)| group.clone()).collect::<BTreeSet<_>>();
        let holders = live.iter().map(|certificate| certificate.principal.clone()).collect::<BTreeSet<_>>();
        if arrival.is_by_id() {
            for (kind, ids) in [(SubjectKind::User, &holders), (SubjectKind::Group, &groups)] {
                ids.iter().for_each(|id| subjects.insert(id.clone(), by_id(kind, id)));
            }
        }
        add_certificates(&mut subjects, &live, &memberships);
    }
    Ok(Names { subjects, until: live.iter().map(|certificate| certificate.expires_at).min() })
}

fn by_id(kind: SubjectKind, id: &PrincipalId) -> Named {
    Named { subjects: vec![Subject { kind, name: id.as_str().to_owned() }], refusal: None }
}

/// Each certificate is a further name of its holder, and of the groups that the holder is in: certificates name no groups.
fn add_certificates(
    names: &mut SubjectNames,
    live: &[LiveCertificate],
    memberships: &[(PrincipalId, PrincipalId)],
) {
    let mut groups: HashMap<&PrincipalId, Vec<&PrincipalId>> = HashMap::new();
    for (group, user) in memberships {
        groups.entry(user).or_default().push(group);
    }
    for certificate in live {
        let subject = Subject { kind: SubjectKind::User, name: certificate.user_name.clone() };
        let of_groups = groups.get(&certificate.principal).into_iter().flatten().copied();
        for id in std::iter::once(&certificate.principal).chain(of_groups) {
            names.add(id, subject.clone());
        }
    }
}

/// The names by the cluster's templates.
async fn usual(tx: &mut ReadTx, account: &AccountId, arrival: &Arrival) -> Result<SubjectNames> {
    if arrival.is_by_id() {
        return Ok(SubjectNames::default());
    }
    let principals = tx.granted_principals(account).await?;
    let (mut members, mut memberships) = (Vec::new(), Vec::new());
    if arrival.members == GroupMembers::Bound {
        members = tx.granted_members(account).await?;
        memberships = tx.granted_memberships(account).await?;
    }
    Ok(table(arrival, &principals, &members, &memberships))
}

fn table(
    arrival: &Arrival,
    principals: &[Principal],
    members: &[Principal],
    memberships: &[(PrincipalId, PrincipalId)],
) -> SubjectNames {
    let members: HashMap<&PrincipalId, Named> =
        members.iter().map(|member| (&member.id, named(arrival, member))).collect();
    let mut of_groups: HashMap<&PrincipalId, Vec<&PrincipalId>> = HashMap::new();
    for (group, user) in memberships {
        of_groups.entry(group).or_default().push(user);
    }
    let mut names = SubjectNames::default();
    for principal in principals {
        let mut own = named(arrival, principal);
        for member in of_groups.get(&principal.id).into_iter().flatten() {
            let Some(found) = members.get(member) else { continue };
            own.subjects.extend(found.subjects.iter().cloned());
            if let (None, Some(refusal)) = (&own.refusal, &found.refusal) {
                own.refusal = Some(format!("of its member {member}, {refusal}"));
            }
        }
        names.insert(principal.id.clone(), own);
    }
    names
}

fn named(arrival: &Arrival, principal: &Principal) -> Named {
    let kind = match principal.kind {
        PrincipalKind::User | PrincipalKind::Agency => SubjectKind::User,
        PrincipalKind::Group => SubjectKind::Group,
    };
    let (names, refusal) = arrival.names(principal);
    Named { subjects: names.into_iter().map(|name| Subject { kind, name }).collect(), refusal }
}

#[cfg(test)]
mod tests {
    use domain::{ExternalId, Principals, Timestamp};

    use super::*;

    fn principal(kind: PrincipalKind, id: &str, subject: &str) -> Principal {
        Principal {
            id: PrincipalId::stored(id),
            account: AccountId::stored("a"),
            kind,
            name: id.to_owned(),
            enabled: true,
            root: false,
            external_ids: vec![ExternalId { issuer: "corp".into(), subject: subject.into() }],
            description: String::new(),
            password_set_at: None,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_group_is_bound_with_its_members_under_their_names_there() {
        let templates = Arrival::templates("f", &["{external.corp}".to_owned()]).unwrap();
        let arrival = Arrival { users: templates, members: GroupMembers::Bound, ..Arrival::default() };
        let ops = principal(PrincipalKind::Group, "ops", "");
        let members = [
            principal(PrincipalKind::User, "ann", "1001"),
            principal(PrincipalKind::User, "eve", "system:masters"),
        ];
        let memberships = ["ann", "eve"].map(|user| (ops.id.clone(), PrincipalId::stored(user)));
        let names = table(&arrival, std::slice::from_ref(&ops), &members, &memberships);
        let ops = Principals { kind: PrincipalKind::Group, ids: vec![ops.id] };
        let bound: Vec<_> = names.subjects(&ops).map(|subject| (subject.kind, subject.name)).collect();
        assert_eq!(bound, [(SubjectKind::Group, "ops".to_owned()), (SubjectKind::User, "1001".to_owned())]);
        assert!(names.refusals(&ops).next().unwrap().1.contains("member eve"));
    }
}
