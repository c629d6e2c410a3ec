//! Whom agencies trust, and how far what is derived from a session may go.

use domain::{AccountId, ErrorKind};
use policy::{Document, Grammar};
use service::{Assumption, Call, Tag};
use store::AgencyDetails;

use crate::sessions::{ASSUMES, WHOLE, agency, by_key, by_token, log_in, trusting, wish, with_ada};
use crate::world::worlds;

/// Whoever is named may come; of an account that is named, those whom its policies let; and nobody comes by their own
/// policies alone.
#[tokio::test]
async fn trust_in_ones_own_account_opens_no_agency_without_a_policy_and_a_policy_none_without_trust() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        let account = root.account();
        let names = [account.to_string(), format!("iam::{account}:root"), format!("iam::{account}:user:ada")];
        for (agency_name, name) in ["by-id", "by-root", "by-name"].into_iter().zip(&names) {
            agency(&world, root, agency_name, &trusting(&[name])).await;
        }
        let flat = AgencyDetails {
            trusted_account: Some(account.clone()),
            max_session_seconds: 3600,
            ..AgencyDetails::default()
        };
        agency(&world, root, "by-account", &flat).await;
        agency(&world, root, "of-others", &trusting(&[world.stranger.account().as_str()])).await;
        agency(&world, root, "of-nobody", &AgencyDetails { trusted_account: None, ..flat }).await;
        let all = ["by-id", "by-root", "by-account", "by-name", "of-others", "of-nobody"];
        let open = async |call: Call| {
            let mut open = Vec::new();
            for name in all {
                match service.assume_agency(&call, &wish(account, name)).await {
                    Ok(_) => open.push(name),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}"),
                }
            }
            open
        };
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        assert_eq!(open(ada).await, ["by-name"], "{}: without a policy", world.on());
        service.add_member(root, "administrators", "ada").await.unwrap();
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        assert_eq!(open(ada).await, ["by-id", "by-root", "by-account", "by-name"], "{}", world.on());
        assert_eq!(open(root.clone()).await, all, "{}: nothing binds the root user", world.on());
    }
}

/// Conditions of trust see what the session would have, also what it would inherit, however it was asked for.
#[tokio::test]
async fn trust_may_ask_for_what_the_session_will_have_and_that_is_told_by_nobody_else() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root) = (&world.service, &world.root);
        let account = root.account();
        let asks = r#""Condition":{"StringEquals":{"sts:AgencySessionName":["s1"],"sts:SourceIdentity":["ada"],
            "g:RequestTag/team":["a"],"acs:RequestTag/team":["a"]},
            "ForAllValues:StringEquals":{"g:TagKeys":["team"],"sts:TransitiveTagKeys":["team"]}},"Principal""#;
        let details = trusting(&[&format!("iam::{account}:agency:one")]);
        let text = details.trust_policy.as_deref().unwrap().replace("\"Principal\"", asks);
        Document::parse("trust", &text, &Grammar::TRUST).unwrap();
        agency(&world, root, "picky", &AgencyDetails { trust_policy: Some(text), ..details }).await;
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let tag = |key: &str| Tag { key: key.into(), value: "a".into(), transitive: true };
        let as_one = async |tags: Vec<Tag>, source: Option<&str>| {
            let wish =
                Assumption { tags, source_identity: source.map(str::to_owned), ..wish(account, "one") };
            by_key(service, &service.assume_agency(&ada, &wish).await.unwrap().key).await.unwrap()
        };
        let right = as_one(vec![tag("team")], Some("ada")).await;
        let picky = wish(account, "picky");
        assert!(service.assume_agency(&right, &picky).await.is_ok(), "{}: all inherited", world.on());
        let token = service.assume_agency_for_token(&right, &picky, &WHOLE).await;
        assert!(token.is_ok(), "{}", world.on());
        let anonymous = as_one(vec![tag("team")], None).await;
        let said = Assumption { source_identity: Some("ada".into()), ..picky.clone() };
        assert!(service.assume_agency(&anonymous, &said).await.is_ok(), "{}: said now", world.on());
        for (call, wish) in [
            (&right, Assumption { session_name: "s2".into(), ..picky.clone() }),
            (&right, Assumption { session_name: String::new(), ..picky.clone() }),
            (&right, Assumption { tags: vec![tag("more")], ..picky.clone() }),
            (&anonymous, picky.clone()),
            (&as_one(Vec::new(), Some("ada")).await, picky.clone()),
        ] {
            let refused = service.assume_agency(call, &wish).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}: {wish:?}", world.on());
        }
    }
}

/// Whatever another account has, trusts and does is not told, and it does not wait for who has no business there.
#[tokio::test]
async fn another_accounts_agencies_cannot_be_told_apart_and_who_is_refused_never_queues_there() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, root, stranger) = (&world.service, &world.root, &world.stranger);
        let theirs = stranger.account().clone();
        let account = root.account();
        agency(&world, stranger, "private", &trusting(&[theirs.as_str()])).await;
        agency(&world, stranger, "shared", &trusting(&[account.as_str()])).await;
        let denies = trusting(&[account.as_str()]).trust_policy.map(|text| text.replace("Allow", "Deny"));
        agency(&world, stranger, "denies", &AgencyDetails { trust_policy: denies, ..trusting(&["x"]) }).await;
        let over = AgencyDetails { expires_at: Some(service.now()), ..trusting(&[account.as_str()]) };
        agency(&world, stranger, "over", &over).await;
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        // Somebody of the other account writes, and does not end.
        let held = world.store.write(&theirs).await.unwrap();
        for (call, closed) in [
            (&ada, ["private", "shared", "denies", "over", "never-was"]),
            (root, ["private", "private", "denies", "over", "never-was"]),
        ] {
            let mut told = Vec::new();
            for name in closed {
                let wish = wish(&theirs, name);
                let asked = service.assume_agency(call, &wish);
                let waited = tokio::time::timeout(std::time::Duration::from_secs(10), asked).await;
                let refused = waited.expect("it waits for the other account").unwrap_err();
                let denial = refused.denial().unwrap();
                assert_eq!(denial.resource, format!("agency/{name}"));
                told.push(denial.reasons.clone());
            }
            let nowhere = service.assume_agency(call, &wish(&AccountId::stored("x"), "x")).await.unwrap_err();
            told.push(nowhere.denial().unwrap().reasons.clone());
            told.dedup();
            assert_eq!(told.len(), 1, "{}: {told:?}", world.on());
        }
        drop(held);
    }
}

/// Servers that know a session by heart, too: nothing is written when the time comes.
#[tokio::test]
async fn what_came_from_an_agency_whose_end_was_moved_ends_then_wherever_it_is_known() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, account) = (&world.service, world.root.account());
        let other = world.another_server();
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let one = service.assume_agency(&ada, &wish(account, "one")).await.unwrap().key;
        let as_one = by_key(service, &one).await.unwrap();
        let two = service.assume_agency(&as_one, &wish(account, "two")).await.unwrap().key;
        let token = service.rescope_token(&by_key(service, &two).await.unwrap(), &WHOLE).await.unwrap();
        let end = service.now().plus_seconds(60);
        let update =
            service::AgencyUpdate { expires_at: Some(Some(end)), ..service::AgencyUpdate::default() };
        let common = service::PrincipalUpdate::default();
        service.update_agency(&world.root, "one".into(), common, update).await.unwrap();
        other.follow_revisions().await.unwrap();
        let late = by_key(service, &two).await.unwrap();
        let derived = service.issue_temporary_key(&late, 900, Vec::new()).await.unwrap();
        assert_eq!(derived.expires_at, end, "{}: what it says is true", world.on());
        for server in [service, &other] {
            for key in [&one, &two, &derived] {
                assert!(by_key(server, key).await.is_some());
            }
            assert_eq!(
                by_token(server, token.token.expose()).await.unwrap().caller.session().unwrap().expires_at,
                end
            );
        }
        world.clock.advance_seconds(60);
        for server in [service, &other] {
            for key in [&one, &two, &derived] {
                assert!(by_key(server, key).await.is_none(), "{}", world.on());
            }
            assert!(by_token(server, token.token.expose()).await.is_err(), "{}", world.on());
        }
    }
}

#[tokio::test]
async fn a_session_is_bounded_in_depth_limits_and_tags() {
    for world in worlds().await {
        with_ada(&world).await;
        let (service, account) = (&world.service, world.root.account());
        let mut call = by_token(service, &log_in(&world).await).await.unwrap();
        let tag = |n: usize| Tag { key: format!("t{n}"), value: "v".into(), transitive: true };
        let tagged = |from: usize, to: usize| Assumption {
            tags: (from..to).map(tag).collect(),
            ..wish(account, "one")
        };
        let refused = service.assume_agency(&call, &tagged(0, 51)).await.unwrap_err();
        assert_eq!(refused.field(), Some("tags"), "{}", world.on());
        let one =
            by_key(service, &service.assume_agency(&call, &tagged(0, 50)).await.unwrap().key).await.unwrap();
        let more = Assumption { agency: "two".into(), ..tagged(50, 51) };
        assert_eq!(service.assume_agency(&one, &more).await.unwrap_err().field(), Some("tags"), "inherited");
        // Password, user, and one session more each time.
        for depth in 3..=16 {
            let token = service.rescope_token(&call, &WHOLE).await.unwrap();
            call = by_token(service, token.token.expose())
                .await
                .unwrap_or_else(|error| panic!("{depth}: {error}"));
        }
        let refused = service.rescope_token(&call, &WHOLE).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}: {refused}", world.on());
        let mut call = by_token(service, &log_in(&world).await).await.unwrap();
        for _ in 0..4 {
            let key = service.issue_temporary_key(&call, 900, vec![vec![ASSUMES.to_owned()]]).await.unwrap();
            call = by_key(service, &key).await.unwrap();
        }
        let fifth =
            service.issue_temporary_key(&call, 900, vec![vec![ASSUMES.to_owned()]]).await.unwrap_err();
        assert_eq!(fifth.field(), Some("policy"), "{}", world.on());
        assert!(service.issue_temporary_key(&call, 900, Vec::new()).await.is_ok());
    }
}
