//! `/api/v3/projects/{project_id}/clusters/{cluster_id}/clustercert` and `…/clustercertrevoke`: kubeconfigs, and their end.

use domain::{Error, PrincipalKind, Result, Timestamp};
use http::StatusCode;
use serde_json::{Map, Value, json};
use service::clusters::certificates::{
    ForOthers, Foreign, Holder, Kubeconfig, Lifetime, Wanted, WhichCluster,
};
use service::{Call, Which};

use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const DAY: i64 = 24 * 3600;
/// `expire_at` must be at least so many seconds ahead.
const SHORTEST: i64 = 15 * 60;

/// The rows.
pub(in crate::dialects::huawei) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            "/api/v3/projects/{project_id}/clusters/{cluster_id}/clustercert",
            "cce.createKubernetesClusterCert",
            "Has the cluster sign a certificate for the caller, and gives it out as a kubeconfig.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(issue(app, call, input))),
        ),
        row(
            "POST",
            "/api/v3/projects/{project_id}/clusters/{cluster_id}/clustercertrevoke",
            "cce.revokeKubernetesClusterCert",
            "Revokes a user's or an agency's certificates of a cluster.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(revoke(app, call, input))),
        ),
    ]
}

async fn issue(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let lifetime = lifetime(&mut body, app.service.now())?;
    let wanted = Wanted {
        holder: Holder::Caller,
        for_others: ForOthers::Administrators,
        lifetime,
        foreign: Foreign::Refuse,
    };
    let made = app.service.issue_certificate(&call, cluster(&input), wanted).await?;
    Reply::json(StatusCode::OK, &wire(&made))
}

fn cluster(input: &Input) -> WhichCluster<'_> {
    WhichCluster::InProject {
        project: input.parameters.get("project_id"),
        id: input.parameters.get("cluster_id"),
    }
}

async fn revoke(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let (user, agency) = (body.optional_text("userId")?, body.optional_text("agencyId")?);
    let (kind, id) = match (&user, &agency) {
        (Some(user), None) => (PrincipalKind::User, user),
        (None, Some(agency)) => (PrincipalKind::Agency, agency),
        (None, None) => return Err(Error::invalid("userId", "is required, or `agencyId`")),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("agencyId", "must be left out where `userId` is given"));
        }
    };
    let holder = Holder::Named { kind: Some(kind), which: Which::Id(id) };
    app.service.revoke_certificates(&call, cluster(&input), holder, ForOthers::Administrators).await?;
    Ok(Reply::empty(StatusCode::OK))
}

/// `duration` in days, -1 for as long as there is, or `expire_at`, which counts where both are given.
fn lifetime(body: &mut Object, now: Timestamp) -> Result<Lifetime> {
    let days = body.optional_integer("duration")?;
    let until = body.optional_text("expire_at")?;
    let latest = in_five_years(now);
    if let Some(text) = until {
        let end = text.strip_suffix(" +0000 UTC").and_then(|text| text.split_once(' '));
        let end = end.and_then(|(day, time)| Timestamp::parse_rfc3339(&format!("{day}T{time}Z")));
        let end = end.ok_or_else(|| {
            Error::invalid("expire_at", "must be a time like `2027-01-01 16:00:00 +0000 UTC`")
        })?;
        if end < now.plus_seconds(SHORTEST) || end > latest {
            return Err(Error::invalid("expire_at", "must be 15 minutes to 5 years ahead"));
        }
        return Ok(Lifetime::Until(end));
    }
    match days {
        None => Err(Error::invalid("duration", "is required, or `expire_at`")),
        Some(-1) => Ok(Lifetime::Until(latest)),
        Some(days) if days >= 1 && days <= (latest.as_millis() - now.as_millis()) / 1000 / DAY => {
            Ok(Lifetime::Seconds(days * DAY))
        }
        Some(_) => Err(Error::invalid("duration", "must be a number of days within 5 years, or -1")),
    }
}

/// Five years by the calendar: how many days that is depends on leap years.
fn in_five_years(now: Timestamp) -> Timestamp {
    let year = now.format("%Y").parse::<i64>().unwrap_or_default() + 5;
    let at = |rest: &str| Timestamp::parse_rfc3339(&format!("{year}-{rest}"));
    let same_day = at(&now.format("%m-%dT%H:%M:%SZ"));
    // There is no 29th of February then.
    same_day.or_else(|| at(&now.format("02-28T%H:%M:%SZ"))).unwrap_or(now)
}

/// The kubeconfig as JSON. There is one way in, which is called the inner one, because that entry is always there; the
/// vendor's outer one does not say who vouches for the API server.
fn wire(made: &Kubeconfig) -> Value {
    let mut cluster = Map::new();
    cluster.insert("server".to_owned(), json!(made.server));
    let more = [
        ("certificate-authority-data", made.authority_data()),
        ("tls-server-name", made.tls_server_name.clone()),
    ];
    for (key, value) in more {
        if let Some(value) = value {
            cluster.insert(key.to_owned(), json!(value));
        }
    }
    json!({
        "kind": "Config",
        "apiVersion": "v1",
        "preferences": {},
        "clusters": [{"name": "internalCluster", "cluster": cluster}],
        "users": [{"name": "user", "user": {
            "client-certificate-data": made.certificate_data(),
            "client-key-data": made.key_data().expose(),
        }}],
        "contexts": [{"name": "internal", "context": {"cluster": "internalCluster", "user": "user"}}],
        "current-context": "internal",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, now: &str) -> Result<Lifetime> {
        let mut body = crate::json::object(Some("application/json"), body.as_bytes()).unwrap();
        lifetime(&mut body, at(now))
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_certificate_is_good_for_days_or_until_a_time_within_five_years() {
        let now = "2026-11-22T08:00:00Z";
        let end = |text| Ok(Lifetime::Until(at(text)));
        for (body, wanted) in [
            (r#"{"duration":30}"#, Ok(Lifetime::Seconds(30 * DAY))),
            (r#"{"duration":1826}"#, Ok(Lifetime::Seconds(1826 * DAY))),
            (r#"{"duration":-1}"#, end("2031-11-22T08:00:00Z")),
            (r#"{"expire_at":"2026-11-22 08:15:00 +0000 UTC"}"#, end("2026-11-22T08:15:00Z")),
            (r#"{"duration":0,"expire_at":"2031-11-22 08:00:00 +0000 UTC"}"#, end("2031-11-22T08:00:00Z")),
            (r#"{"duration":1827}"#, Err("duration")),
            (r#"{"duration":0}"#, Err("duration")),
            (r#"{"duration":-2}"#, Err("duration")),
            (r#"{"duration":9223372036854775807}"#, Err("duration")),
            ("{}", Err("duration")),
            (r#"{"expire_at":"2026-11-22 08:14:59 +0000 UTC"}"#, Err("expire_at")),
            (r#"{"expire_at":"2031-11-22 08:00:01 +0000 UTC"}"#, Err("expire_at")),
            (r#"{"expire_at":"2027-01-01T00:00:00Z"}"#, Err("expire_at")),
            (r#"{"expire_at":""}"#, Err("expire_at")),
        ] {
            let found = read(body, now).map_err(|error| error.field().unwrap_or_default().to_owned());
            assert_eq!(found, wanted.map_err(str::to_owned), "{body}");
        }
        assert_eq!(
            read(r#"{"duration":-1}"#, "2028-02-29T01:02:03Z").unwrap(),
            Lifetime::Until(at("2033-02-28T01:02:03Z"))
        );
    }
}
