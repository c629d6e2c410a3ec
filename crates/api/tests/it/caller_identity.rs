//! STS of the second vendor: who is calling, by recorded requests and by ones that no SDK sends.

use domain::Secret;
use service::installation::bootstrap::AccountSpec;

use crate::acs3::Request;
use crate::recorded::one;
use crate::server::{Answer, Server, borrowed};

const IDENTITY: &str = "/?Action=GetCallerIdentity";
const VERSION: &str = "2015-04-01";

/// A server that has the key by which requests were recorded, at that time.
async fn at(now: &str) -> Server {
    let first = AccountSpec {
        access_key_id: Some("LTAI5tTestAccessKey00001".into()),
        secret_access_key: Some(Secret::new("TestAccessKeySecret0000000001".into())),
        ..AccountSpec::default()
    };
    Server::start_at(now, first).await
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["Code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_recorded_question_who_is_calling_is_answered_as_the_sdk_reads_it() {
    let server = at("2026-11-21T19:16:30Z").await;
    for name in ["python-stssdk-acs3-GetCallerIdentity", "python-stssdk-rpc1-GetCallerIdentity"] {
        let answer = server.raw(&one("alibaba", name).bytes()).await;
        let json = answer.json();
        assert_eq!(answer.status, 200, "{name}: {json}");
        assert_eq!(json["IdentityType"], "Account");
        assert_eq!(json["AccountId"], server.root.account.id.as_str());
        assert_eq!(json["UserId"], server.root.root.id.as_str());
        assert_eq!(json["Arn"], format!("acs:ram::{}:root", server.root.account.id));
        let id = json["RequestId"].as_str().unwrap();
        assert!(id.len() == 36 && *id == id.to_uppercase());
        assert_eq!(answer.header("x-acs-request-id"), Some(id));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    }
    server.ordinary_token().await;
    let key = server.key_of("ordinary").await;
    for method in ["GET", "POST"] {
        let json = server.call_acs3(&key, method, IDENTITY, VERSION).await.json();
        assert_eq!((&json["IdentityType"], &json["UserId"]), (&"RAMUser".into(), &"ordinary".into()));
        assert_eq!(json["Arn"], format!("acs:ram::{}:user/ordinary", server.root.account.id));
    }
}

#[tokio::test]
async fn a_recorded_question_that_was_changed_is_refused() {
    let server = at("2026-11-21T19:16:30Z").await;
    for name in ["python-stssdk-acs3-GetCallerIdentity", "python-stssdk-rpc1-GetCallerIdentity"] {
        let recorded = one("alibaba", name);
        let mut pairs = recorded.pairs();
        pairs.push("RegionId=elsewhere".to_owned());
        let answer = server.raw(&recorded.with_pairs(&pairs).bytes()).await;
        assert_eq!(code(&answer), (400, "SignatureDoesNotMatch".to_owned()), "{name}");
        server.clock.advance_seconds(15 * 60 + 1);
        let answer = server.raw(&recorded.bytes()).await;
        assert_eq!(code(&answer), (400, "InvalidTimeStamp.Expired".to_owned()), "{name}");
        server.clock.advance_seconds(-15 * 60 - 1);
    }
}

/// The first vendor's, by both schemes, on the running server.
#[tokio::test]
async fn recorded_requests_of_both_schemes_of_the_first_vendor_are_let_in_and_changed_ones_are_not() {
    let first = AccountSpec {
        access_key_id: Some("AKEXAMPLE".into()),
        secret_access_key: Some(Secret::new("SKEXAMPLE".into())),
        project_id: Some("0123456789abcdef0123456789abcdef".into()),
        ..AccountSpec::default()
    };
    let server = Server::start_at("2026-01-01T00:00:00Z", first).await;
    for name in ["v1-get-query", "v4-v11-derived"] {
        let recorded = one("huawei", name);
        assert_eq!(server.raw(&recorded.bytes()).await.status, 200, "{name}");
        let changed = recorded.with_pairs(&["cluster_id=other".to_owned()]);
        let answer = server.raw(&changed.bytes()).await;
        assert_eq!((answer.status, &answer.json()["error_code"]), (401, &"APIGW.0301".into()), "{name}");
    }
}

#[tokio::test]
async fn every_way_to_prove_nothing_has_its_code() {
    let server = Server::start().await;
    let key = server.root_key();
    let post = |extra| Request { method: "POST", path: "/", query: "", body: b"", extra };
    let usual = [("x-acs-version", VERSION), ("x-acs-action", "GetCallerIdentity")];
    let good = server.acs3(&key, &post(&usual));
    let send = async |headers: &[(String, String)]| server.send("POST", "/", &borrowed(headers), b"").await;
    assert_eq!(send(&good).await.status, 200);

    let replaced = |name: &str, from: &str, to: &str| {
        let mut headers = good.clone();
        let header = headers.iter_mut().find(|(known, _)| known == name).unwrap();
        header.1 = header.1.replace(from, to);
        headers
    };
    let with = |name: &str, value: &str| {
        let mut headers = good.clone();
        headers.push((name.to_owned(), value.to_owned()));
        headers
    };
    let without = |name: &str| good.iter().filter(|(known, _)| known != name).cloned().collect::<Vec<_>>();
    let authorization = "authorization";
    for (headers, status, expected) in [
        (without(authorization), 400, "MissingAccessKeyId"),
        (replaced(authorization, &key.0, "UNKNOWN"), 404, "InvalidAccessKeyId.NotFound"),
        (replaced(authorization, "Signature=", "Signature=0"), 400, "SignatureDoesNotMatch"),
        (replaced(authorization, "SignedHeaders=host;", "SignedHeaders="), 400, "IncompleteSignature"),
        (replaced(authorization, ";x-acs-version", ""), 400, "IncompleteSignature"),
        (replaced(authorization, "ACS3-HMAC-SHA256", "ACS3-RSA-SHA256"), 400, "InvalidSignatureMethod"),
        (replaced(authorization, "ACS3-HMAC-SHA256", "ACS3-HMAC-SM3"), 400, "InvalidSignatureMethod"),
        (replaced("x-acs-date", "2026", "2025"), 400, "InvalidTimeStamp.Expired"),
        (replaced("x-acs-date", "T", " "), 400, "InvalidTimeStamp.Format"),
        (replaced("x-acs-action", "Get", "get"), 404, "InvalidAction.NotFound"),
        (with("x-acs-security-token", "x"), 400, "IncompleteSignature"),
        (with("x-acs-zz", "x"), 400, "IncompleteSignature"),
        (with("x-acs-bearer-token", "x"), 400, "InvalidParameter"),
        (with("x-acs-version", VERSION), 400, "InvalidParameter"),
    ] {
        let answer = send(&headers).await;
        assert_eq!(code(&answer), (status, expected.to_owned()), "{headers:?}");
        assert_eq!(answer.json()["RequestId"], answer.header("x-acs-request-id").unwrap());
    }
    let foreign = send(&replaced(authorization, "ACS3-HMAC-SHA256", "SDK-HMAC-SHA256")).await;
    assert_eq!(
        (foreign.status, &foreign.json()["error_code"]),
        (400, &"CCE.01400001".into()),
        "two dialects"
    );
    let mismatch = send(&replaced(authorization, "Signature=", "Signature=0")).await.json();
    let said = mismatch["Message"].as_str().unwrap();
    assert!(said.split(':').nth(1).unwrap().starts_with("ACS3-HMAC-SHA256\n"), "{said}");
    let bearer = [("x-acs-bearer-token", "t"), ("x-acs-signature-type", "BEARERTOKEN")];
    let answer = server.send("POST", "/", &[bearer.as_slice(), &usual].concat(), b"").await;
    assert_eq!(code(&answer), (400, "InvalidSignatureMethod".to_owned()));
    let both = server.send("POST", "/?AccessKeyId=a&Signature=b", &borrowed(&good), b"").await;
    assert_eq!(code(&both), (400, "InvalidParameter".to_owned()), "two credentials");
}

#[tokio::test]
async fn a_permanent_key_is_not_accepted_with_a_security_token() {
    let server = Server::start().await;
    let extra = [
        ("x-acs-action", "GetCallerIdentity"),
        ("x-acs-security-token", "of somebody"),
        ("x-acs-version", VERSION),
    ];
    let post = Request { method: "POST", path: "/", query: "", body: b"", extra: &extra };
    let answer = server.send_acs3(&server.root_key(), &post).await;
    assert_eq!(code(&answer), (400, "InvalidSecurityToken.MismatchWithAccessKey".to_owned()));
    let mut headers = server.signed("GET", "/api/v3/access-policies", &[], b"");
    headers.push(("X-Security-Token".into(), "of somebody".into()));
    let answer = server.send("GET", "/api/v3/access-policies", &borrowed(&headers), b"").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn an_operation_and_its_version_have_one_reading() {
    let server = Server::start().await;
    let key = server.root_key();
    let send = async |query: &str, extra: &[(&str, &str)]| {
        let request = Request { method: "POST", path: "/", query, body: b"", extra };
        code(&server.send_acs3(&key, &request).await)
    };
    let two = [("x-acs-action", "AssumeRole"), ("x-acs-version", VERSION)];
    assert_eq!(send("Action=GetCallerIdentity", &two).await, (400, "InvalidParameter".to_owned()));
    let old = [("x-acs-action", "GetCallerIdentity"), ("x-acs-version", "2014-01-01")];
    assert_eq!(send("", &old).await, (400, "InvalidVersion".to_owned()));
    let none = [("x-acs-action", "GetCallerIdentity")];
    assert_eq!(send("", &none).await, (400, "InvalidVersion".to_owned()));
    let both = [("x-acs-action", "GetCallerIdentity"), ("x-acs-version", VERSION)];
    assert_eq!(send("Version=2014-01-01", &both).await, (400, "InvalidVersion".to_owned()));
    assert_eq!(server.call_acs3(&key, "DELETE", IDENTITY, VERSION).await.status, 405);
}

#[tokio::test]
async fn paths_of_this_vendor_are_answered_in_its_shape_and_nobody_elses_are() {
    let server = Server::start().await;
    for path in ["/clusters", "/clusters/c1", "/permissions/users/1", "/k8s/c1/user_config", IDENTITY] {
        let answer = server.send("GET", path, &[], b"").await;
        assert!(answer.json()["Code"].is_string() && answer.header("x-acs-request-id").is_some(), "{path}");
    }
    for path in ["/", "/clustersx", "/api/v1/x", "/user", "/?x=1"] {
        let answer = server.send("GET", path, &[], b"").await;
        assert_eq!(answer.json()["error"]["code"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn wrong_signatures_of_this_vendors_schemes_lock_a_key_too() {
    let server = Server::start().await;
    let key = server.root_key();
    let wrong = (key.0.clone(), "wrong".to_owned());
    for _ in 0..6 {
        let refused = server.call_acs3(&wrong, "POST", IDENTITY, VERSION).await;
        assert_eq!(code(&refused), (400, "SignatureDoesNotMatch".to_owned()));
    }
    let locked = server.call_acs3(&key, "POST", IDENTITY, VERSION).await;
    assert_eq!(code(&locked), (429, "Throttling.User".to_owned()), "though it is right now");
}
