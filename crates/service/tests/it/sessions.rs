//! Sessions: what they come from, and that they are over with it.

use std::sync::Arc;

use domain::{AccountId, ErrorKind, PrincipalKind, Secret};
use policy::{Document, Grammar};
use service::sessions::revocation::Afterwards;
use service::{Assumption, Call, Login, NewPrincipal, PageRequest, Scope, Service, Tag, TemporaryKey};
use store::AgencyDetails;

use crate::world::{World, new_principal, origin, worlds};

const PASSWORD: &str = "correct horse";
pub const WHOLE: Scope = Scope::Account { named: None };

pub const ASSUMES: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:agency:assume"],"Resource":["*"]}]}"#;

pub fn trusting(names: &[&str]) -> AgencyDetails {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let text = format!(
        r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":["*"],"Principal":{{"IAM":[{}]}}}}]}}"#,
        names.join(",")
    );
    Document::parse("trust", &text, &Grammar::TRUST).unwrap();
    AgencyDetails { trust_policy: Some(text), max_session_seconds: 24 * 3600, ..AgencyDetails::default() }
}

/// Somebody with a password, and agencies `one`, `two` of which the first trusts them and the second the first.
pub async fn with_ada(world: &World) {
    let new = NewPrincipal {
        password: Some(Secret::new(PASSWORD.into())),
        ..new_principal(PrincipalKind::User, Some("ada"), "ada")
    };
    world.service.create_principal(&world.root, new).await.unwrap();
    let account = world.root.account();
    agency(world, &world.root, "one", &trusting(&[&format!("iam::{account}:user:ada")])).await;
    agency(world, &world.root, "two", &trusting(&[&format!("iam::{account}:agency:one")])).await;
}

pub async fn agency(world: &World, owner: &Call, name: &str, details: &AgencyDetails) {
    let new = new_principal(PrincipalKind::Agency, None, name);
    let made = world.service.create_principal(owner, new).await.unwrap();
    let mut tx = world.store.write(owner.account()).await.unwrap();
    tx.set_agency_details(&made.id, details).await.unwrap();
    tx.commit().await.unwrap();
}

pub fn wish(account: &AccountId, agency: &str) -> Assumption {
    Assumption {
        account_id: Some(account.to_string()),
        agency: agency.into(),
        session_name: "s1".into(),
        ..Assumption::default()
    }
}

pub async fn log_in(world: &World) -> String {
    let login = Login::Id { user: "ada".into(), password: Secret::new(PASSWORD.into()) };
    world.service.issue_token(&login, &WHOLE, &origin()).await.unwrap().token.expose().to_owned()
}

pub async fn by_token(service: &Service, token: &str) -> domain::Result<Call> {
    service.call_by_token(token, origin()).await
}

pub async fn by_key(service: &Service, key: &TemporaryKey) -> Option<Call> {
    let known = service.signing_key(key.id.as_str()).await.unwrap()?;
    assert_eq!(known.secret.expose(), key.secret.expose());
    assert!(known.accepts(Some(key.security_token.expose())) && !known.accepts(None));
    Some(Call { caller: Arc::clone(&known.caller), project: None, origin: origin(), signed: None })
}

/// A login, that re-scoped, an agency, and another agency assumed by the first: each comes from the one before.
struct Chain {
    tokens: [String; 2],
    keys: [TemporaryKey; 2],
}

impl Chain {
    async fn new(world: &World) -> Self {
        let (service, account) = (&world.service, world.root.account());
        let login = log_in(world).await;
        let scope = Scope::Project { named: "default".into() };
        let narrow = service.rescope_token(&by_token(service, &login).await.unwrap(), &scope).await.unwrap();
        let narrow = narrow.token.expose().to_owned();
        let call = by_token(service, &narrow).await.unwrap();
        let one = service.assume_agency(&call, &wish(account, "one")).await.unwrap().key;
        let call = by_key(service, &one).await.unwrap();
        let two = service.assume_agency(&call, &wish(account, "two")).await.unwrap().key;
        assert!(by_key(service, &two).await.is_some(), "all of it is in memory now");
        Self { tokens: [login, narrow], keys: [one, two] }
    }

    /// How many of the four are over on a server, from the end; none that is over comes before one that is not.
    async fn over(&self, service: &Service) -> usize {
        let mut alive = Vec::new();
        for token in &self.tokens {
            alive.push(match by_token(service, token).await {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
                    false
                }
            });
        }
        for key in &self.keys {
            alive.push(by_key(service, key).await.is_some());
        }
        assert!(alive.is_sorted_by(|one, next| one >= next), "{alive:?}");
        alive.iter().filter(|alive| !**alive).count()
    }
}

#[tokio::test]
async fn whatever_a_chain_came_from_ends_it_from_there_on_and_other_servers_see_it() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        let other = world.another_server();
        for (what, expected) in [
            ("first token", 4),
            ("second token", 3),
            ("first key", 2),
            ("second key", 1),
            ("first agency", 2),
            ("password", 4),
            ("user, kept", 4),
            ("user", 4),
        ] {
            let chain = Chain::new(&world).await;
            assert_eq!((chain.over(service).await, chain.over(&other).await), (0, 0), "{what}");
            let ended = match what {
                "first token" => Some(service.revoke_token(root, &chain.tokens[0]).await.unwrap()),
                "second token" => {
                    let id = service.show_token(root, &chain.tokens[1]).await.unwrap().id;
                    Some(service.revoke_token_by_id(root, id.as_str()).await.unwrap())
                }
                "first key" => Some(service.revoke_key(root, chain.keys[0].id.as_str()).await.unwrap()),
                "second key" => Some(service.revoke_key(root, chain.keys[1].id.as_str()).await.unwrap()),
                "first agency" => {
                    Some(service.revoke_principal(root, None, "one", Afterwards::Disabled).await.unwrap())
                }
                "user, kept" => {
                    Some(service.revoke_principal(root, None, "ada", Afterwards::Enabled).await.unwrap())
                }
                "user" => {
                    Some(service.revoke_principal(root, None, "ada", Afterwards::Disabled).await.unwrap())
                }
                _ => {
                    service.set_password(root, "ada", &Secret::new(PASSWORD.into())).await.unwrap();
                    None
                }
            };
            assert_eq!(chain.over(service).await, expected, "{}: {what}", world.on());
            other.follow_revisions().await.unwrap();
            assert_eq!(chain.over(&other).await, expected, "{}: {what} on the other server", world.on());
            if let Some(receipt) = ended {
                let told = usize::try_from(receipt.tokens + receipt.temporary_keys).unwrap();
                assert_eq!(told, expected, "{what}: {receipt:?}");
            }
            // So that what is left of this chain is in no later receipt.
            service.revoke_principal(root, None, "ada", Afterwards::Enabled).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_disabled_key_began_stays_over_when_the_key_is_enabled_again() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        let key = service.create_access_key(root, "ada", "").await.unwrap();
        let call = service.call_by_key(key.key.id.as_str(), &key.secret, origin()).await.unwrap();
        let token = service.rescope_token(&call, &WHOLE).await.unwrap();
        let issued = service.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        service.disable_access_key(root, key.key.id.as_str()).await.unwrap();
        service.enable_access_key(root, key.key.id.as_str()).await.unwrap();
        assert!(by_token(service, token.token.expose()).await.is_err(), "{}", world.on());
        assert!(by_key(service, &issued).await.is_none());
        let late = service.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        assert!(by_key(service, &late).await.is_some(), "the key itself is as good as before");
        let receipt = service.revoke_key(root, key.key.id.as_str()).await.unwrap();
        assert_eq!((receipt.access_keys.len(), receipt.tokens, receipt.temporary_keys), (1, 0, 1));
        assert!(service.issue_temporary_key(&call, 900, Vec::new()).await.is_err(), "the call came too late");
        service.delete_access_key(root, key.key.id.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_lives_longer_than_what_it_came_from() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, account) = (&world.service, world.root.account());
        let login = log_in(&world).await;
        world.clock.advance_seconds(24 * 3600 - 1000);
        let call = by_token(service, &login).await.unwrap();
        let end = service.show_token(&world.root, &login).await.unwrap().expires_at;
        let mut narrow = service.rescope_token(&call, &WHOLE).await.unwrap();
        for _ in 0..3 {
            assert_eq!(narrow.view.expires_at, end, "{}", world.on());
            let call = by_token(service, narrow.token.expose()).await.unwrap();
            narrow = service.rescope_token(&call, &WHOLE).await.unwrap();
        }
        let key = service.issue_temporary_key(&call, 86_400, Vec::new()).await.unwrap();
        let assumed = service.assume_agency(&call, &wish(account, "one")).await.unwrap();
        assert_eq!((key.expires_at, assumed.key.expires_at), (end, end));
        let short = service.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        assert!(short.expires_at < end);
        world.clock.advance_seconds(950);
        assert!(by_key(service, &short).await.is_none() && by_key(service, &key).await.is_some());
        world.clock.advance_seconds(50);
        assert!(by_key(service, &key).await.is_none() && by_key(service, &assumed.key).await.is_none());
        let expired = by_token(service, narrow.token.expose()).await.unwrap_err();
        assert!(expired.message().starts_with("the token expired at "), "{expired}");
        // Told by a server that never saw it before, too.
        let expired = by_token(&world.another_server(), &login).await.unwrap_err();
        assert!(expired.message().starts_with("the token expired at "), "{expired}");
    }
}

#[tokio::test]
async fn another_accounts_agency_is_assumed_if_both_sides_allow_and_ends_with_either() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root, stranger) = (&world.service, &world.root, &world.stranger);
        let theirs = stranger.account().clone();
        agency(&world, stranger, "shared", &trusting(&[root.account().as_str()])).await;
        agency(&world, stranger, "private", &trusting(&[theirs.as_str()])).await;
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let wanted = wish(&theirs, "shared");
        let refused = service.assume_agency(&ada, &wanted).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}: no policy of hers allows it", world.on());
        service.add_member(root, "administrators", "ada").await.unwrap();
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let assumed = service.assume_agency(&ada, &wanted).await.unwrap();
        let call = by_key(service, &assumed.key).await.unwrap();
        assert_eq!((call.account(), call.caller.kind), (&theirs, PrincipalKind::Agency));
        assert!(!call.caller.administrator);
        for closed in
            [wish(&theirs, "private"), wish(&theirs, "never-was"), wish(&AccountId::stored("x"), "one")]
        {
            let refused = service.assume_agency(root, &closed).await.unwrap_err();
            assert_eq!(
                refused.message(),
                format!(
                    "you are not allowed to perform `bailiwick:agency:assume` on `agency/{}`",
                    closed.agency
                )
            );
        }
        let other = world.another_server();
        assert!(by_key(&other, &assumed.key).await.is_some());
        let receipt = service.revoke_principal(root, None, "ada", Afterwards::Enabled).await.unwrap();
        assert_eq!(receipt.temporary_keys, 1);
        assert_eq!(receipt.sessions.iter().filter(|session| session.account == theirs).count(), 1);
        assert!(by_key(service, &assumed.key).await.is_none());
        other.follow_revisions().await.unwrap();
        assert!(by_key(&other, &assumed.key).await.is_none());
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let again = service.assume_agency(&ada, &wanted).await.unwrap();
        service.revoke_principal(stranger, None, "shared", Afterwards::Disabled).await.unwrap();
        assert!(by_key(service, &again.key).await.is_none());
        let events = service
            .list_audit_events(root, &service::AuditFilter::default(), &service::PageRequest::default())
            .await
            .unwrap();
        let abroad = format!("account/{theirs}/agency/");
        assert!(events.items.iter().any(|row| row.event.resource.starts_with(&abroad)), "{}", world.on());
    }
}

#[tokio::test]
async fn a_session_that_was_derived_while_its_parent_was_ended_never_lives() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        let key = service.create_access_key(root, "ada", "").await.unwrap();
        let call = service.call_by_key(key.key.id.as_str(), &key.secret, origin()).await.unwrap();
        // What another transaction of another account read before the end, and writes after it.
        let before = {
            let mut tx = world.store.read().await.unwrap();
            let found = tx.key_as_ancestor(root.account(), key.key.id.as_str()).await.unwrap().unwrap();
            tx.end().await.unwrap();
            found
        };
        let issued = service.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        service.disable_access_key(root, key.key.id.as_str()).await.unwrap();
        service.enable_access_key(root, key.key.id.as_str()).await.unwrap();
        let late = service.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        store::testing::execute(
            &world.store,
            &format!(
                "UPDATE session_ancestors SET epoch = {} WHERE kind = 'access-key' AND session_id = '{}'",
                before.epoch, late.id
            ),
        )
        .await;
        assert!(by_key(&world.another_server(), &late).await.is_none(), "{}", world.on());
        assert!(by_key(service, &issued).await.is_none());
    }
}

#[tokio::test]
async fn creating_and_revoking_at_once_leaves_nothing_alive() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        for _ in 0..5 {
            let login = log_in(&world).await;
            let call = by_token(service, &login).await.unwrap();
            let derive = |_| service.issue_temporary_key(&call, 900, Vec::new());
            let keys = futures::future::join_all((0..8).map(derive));
            let (keys, ended) = tokio::join!(keys, service.revoke_token(root, &login));
            ended.unwrap();
            for key in keys.into_iter().flatten() {
                assert!(by_key(service, &key).await.is_none(), "{}", world.on());
                assert!(by_key(&world.another_server(), &key).await.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_limit_goes_with_everything_that_is_derived_from_it() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        service.add_member(root, "administrators", "ada").await.unwrap();
        let call = by_token(service, &log_in(&world).await).await.unwrap();
        let limit =
            r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:project:list"]}]}"#;
        let limited = service.issue_temporary_key(&call, 900, vec![vec![limit.into()]]).await.unwrap();
        let narrow = by_key(service, &limited).await.unwrap();
        let token = service.rescope_token(&narrow, &WHOLE).await.unwrap();
        let token = by_token(service, token.token.expose()).await.unwrap();
        for call in [&narrow, &token] {
            let page = service::PageRequest::default();
            assert!(service.list_projects(call, &page).await.is_ok(), "{}", world.on());
            let refused = service.create_project(call, None, "p").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            // An agency that trusts her by name would let her out, were it not for the limit.
            let agency = wish(root.account(), "one");
            let refused = service.assume_agency(call, &agency).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}: out of the limit", world.on());
        }
        assert!(service.assume_agency(&call, &wish(root.account(), "one")).await.is_ok());
        let assumes = ASSUMES.to_owned();
        let limited = service.issue_temporary_key(&call, 900, vec![vec![assumes]]).await.unwrap();
        let wider = by_key(service, &limited).await.unwrap();
        assert!(service.assume_agency(&wider, &wish(root.account(), "one")).await.is_ok());
        let broken = service.issue_temporary_key(&call, 900, vec![vec!["{}".into()]]).await.unwrap_err();
        assert!(broken.field().is_some_and(|field| field.starts_with("policy")), "{broken}");
    }
}

#[tokio::test]
async fn a_limited_session_of_the_root_user_assumes_no_agency_that_its_limit_does_not_name() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        // Within limits they are decided like everybody, so the agency must trust them.
        agency(&world, root, "ours", &trusting(&[&format!("iam::{}:root", root.account())])).await;
        let limit = |action: &str| {
            format!(r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":["{action}"]}}]}}"#)
        };
        for (action, allowed) in [("bailiwick:project:list", false), ("bailiwick:agency:assume", true)] {
            let key = service.issue_temporary_key(root, 900, vec![vec![limit(action)]]).await.unwrap();
            let call = by_key(service, &key).await.unwrap();
            let assumed = service.assume_agency(&call, &wish(root.account(), "ours")).await;
            assert_eq!(assumed.is_ok(), allowed, "{}: {action}", world.on());
        }
    }
}

#[tokio::test]
async fn tags_and_who_is_behind_a_session_cannot_be_forged_down_the_chain() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, account) = (&world.service, world.root.account());
        let call = by_token(service, &log_in(&world).await).await.unwrap();
        let tag = |key: &str, transitive| Tag { key: key.into(), value: "v".into(), transitive };
        for forged in
            ["namespace", "Cluster-Id", "kubernetes-pod", "_sys_x", "bailiwick:x", "SERVICE-ACCOUNT"]
        {
            let wish = Assumption { tags: vec![tag(forged, false)], ..wish(account, "one") };
            let refused = service.assume_agency(&call, &wish).await.unwrap_err();
            assert_eq!((refused.kind(), refused.field()), (ErrorKind::Invalid, Some("tags")), "{forged}");
        }
        let first = Assumption {
            tags: vec![tag("team", true), tag("task", false)],
            source_identity: Some("ada@example.org".into()),
            ..wish(account, "one")
        };
        let one = service.assume_agency(&call, &first).await.unwrap();
        let call = by_key(service, &one.key).await.unwrap();
        let other = Assumption { source_identity: Some("eve".into()), ..wish(account, "two") };
        assert_eq!(service.assume_agency(&call, &other).await.unwrap_err().field(), Some("source_identity"));
        let two = service.assume_agency(&call, &wish(account, "two")).await.unwrap();
        assert_eq!(two.source_identity, "ada@example.org");
        let call = by_key(service, &two.key).await.unwrap();
        let tags: Vec<&str> =
            call.caller.session().unwrap().tags.iter().map(|tag| tag.key.as_str()).collect();
        assert_eq!(tags, ["team"], "{}", world.on());
    }
}

#[tokio::test]
async fn an_agencys_own_end_and_longest_session_hold() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, account) = (&world.service, world.root.account());
        let until = service.now().plus_seconds(600);
        let short = AgencyDetails {
            expires_at: Some(until),
            max_session_seconds: 3600,
            ..trusting(&[&format!("iam::{account}:user:ada")])
        };
        agency(&world, &world.root, "short", &short).await;
        let call = by_token(service, &log_in(&world).await).await.unwrap();
        let assumed = service.assume_agency(&call, &wish(account, "short")).await.unwrap();
        assert_eq!(assumed.key.expires_at, until, "{}", world.on());
        let longer = Assumption { seconds: Some(3601), ..wish(account, "short") };
        assert_eq!(service.assume_agency(&call, &longer).await.unwrap_err().field(), Some("seconds"));
        world.clock.advance_seconds(600);
        assert!(by_key(service, &assumed.key).await.is_none());
        let refused = service.assume_agency(&call, &wish(account, "short")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn an_authorization_message_is_read_in_its_own_account_only() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let call = world.call_of(&ada).await;
        let refused = service.create_project(&call, None, "p").await.unwrap_err();
        let denial = refused.denial().unwrap();
        let sealed = service.authorization_message(&call.caller, &call.origin, denial).unwrap();
        assert!(!sealed.contains("project"));
        let said = service.decode_authorization_message(root, &sealed).await.unwrap();
        assert!(said.contains("bailiwick:project:create") && said.contains("\"ada\""), "{said}");
        let mut changed = sealed.clone();
        changed.replace_range(60..61, if sealed.get(60..61) == Some("0") { "1" } else { "0" });
        let long = "x".repeat(20_000);
        for (call, text) in
            [(&world.stranger, &sealed), (root, &changed), (root, &long), (root, &"".to_owned())]
        {
            let unknown = service.decode_authorization_message(call, text).await.unwrap_err();
            assert_eq!(unknown.to_string(), "`encoded_message` is not a message of this account");
        }
        let refused = service.decode_authorization_message(&call, &sealed).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn the_root_user_stays_enabled_and_groups_have_nothing_to_revoke() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = root.caller.principal.as_str();
        let refused = service.revoke_principal(root, None, id, Afterwards::Disabled).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        let receipt = service.revoke_principal(root, None, id, Afterwards::Enabled).await.unwrap();
        assert_eq!(receipt.access_keys.len(), 1);
        let group = Some(PrincipalKind::Group);
        let refused = service.revoke_principal(root, group, "administrators", Afterwards::Enabled).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        for unknown in ["nobody", world.stranger.caller.principal.as_str()] {
            let refused =
                service.revoke_principal(root, None, unknown, Afterwards::Enabled).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NotFound);
        }
        let both = world.user("both").await;
        world.principal(PrincipalKind::Agency, "both-agency").await;
        assert!(service.revoke_principal(root, None, both.id.as_str(), Afterwards::Enabled).await.is_ok());
    }
}

/// The root user needs no policy; a session that it limits is limited nevertheless, and does not come out by a new key
/// or password.
#[tokio::test]
async fn a_session_of_the_root_user_within_limits_is_limited() {
    const LISTS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:grant:list"],"Resource":["*"]}]}"#;
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let limits = vec![vec![LISTS.to_owned()]];
        let key = service.issue_temporary_key(root, 900, limits).await.unwrap();
        let call = by_key(service, &key).await.unwrap();
        assert!(service.list_grants(&call).await.is_ok(), "{}", world.on());
        let own = root.caller.principal.as_str();
        for refused in [
            service.list_clusters(&call).await.map(drop),
            service.create_access_key(&call, own, "").await.map(drop),
            service.set_password(&call, own, &Secret::new("a-Long-1-password".into())).await.map(drop),
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden, "{}", world.on());
        }
    }
}

#[tokio::test]
async fn whoever_acts_within_limits_makes_no_key_for_themselves() {
    const KEYS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:accessKey:*"],"Resource":["*"]}]}"#;
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        service.add_member(root, "administrators", ada.id.as_str()).await.unwrap();
        let call = world.call_of(&ada).await;
        let key = service.issue_temporary_key(&call, 900, vec![vec![KEYS.to_owned()]]).await.unwrap();
        let limited = by_key(service, &key).await.unwrap();
        assert!(service.list_access_keys(&limited, None, &PageRequest::default()).await.is_ok());
        let refused = service.create_access_key(&limited, ada.id.as_str(), "").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}", world.on());
        assert!(service.create_access_key(&call, ada.id.as_str(), "").await.is_ok());
    }
}
