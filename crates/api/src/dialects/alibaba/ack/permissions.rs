//! `/permissions/users/{uid}`: what somebody may do in which cluster.

use std::sync::{Arc, LazyLock, Weak};

use bytes::Bytes;
use domain::{Error, ErrorKind, PrincipalId, Result};
use http::StatusCode;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use service::Call;
use service::grants::permissions::{
    Asked, Change, Completeness, PermissionChange, PermissionRow, Permissions, Sight,
};

use super::in_words;
use super::rows::{Row, read};
use crate::App;
use crate::dialects::alibaba::reply;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const USER: &str = "/permissions/users/{uid}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            USER,
            "ack.describeUserPermission",
            "Lists what somebody may do in which cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(describe(app, call, input))),
        ),
        row(
            "POST",
            USER,
            "ack.grantPermissions",
            "Replaces somebody's permissions.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(grant(app, call, input))),
        ),
        row(
            "POST",
            "/permissions/users/{uid}/update",
            "ack.updateUserPermissions",
            "Replaces somebody's permissions, adds to them or takes some away.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
    ]
}

async fn describe(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (uid, most) = (input.parameters.get("uid"), app.settings.dialects.ack.max_rows);
    let body = match app.service.list_permissions(&call, uid, Sight::Administered, most).await {
        Ok(permissions) => rendered(&permissions)?,
        // Whether there is such a user is not to be learned here.
        Err(error) if error.kind() == ErrorKind::NotFound => Bytes::from_static(b"[]"),
        Err(error) => return Err(error),
    };
    Ok(reply::written(StatusCode::OK, body))
}

async fn grant(app: &App, call: Call, input: Input) -> Result<Reply> {
    change(app, &call, &input, Change::Replace, Asked::Grant).await
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let what = match input.head.query("mode") {
        None | Some("apply") => Change::Replace,
        Some("patch") => Change::Add,
        Some("delete") => Change::Remove,
        Some(_) => return Err(Error::invalid("mode", "must be `apply`, `patch` or `delete`")),
    };
    change(app, &call, &input, what, Asked::Update).await
}

async fn change(app: &App, call: &Call, input: &Input, change: Change, asked: Asked) -> Result<Reply> {
    let settings = &app.settings.dialects.ack;
    if input.body.is_empty() {
        // One of the SDKs sends none if the list was left unset; it must not mean an empty one.
        return Err(Error::invalid(
            "body",
            "is required: a list of permissions, `[]` if there are to be none",
        ));
    }
    let entries = crate::json::objects(input.head.header("content-type"), &input.body, settings.max_rows)?;
    let wanted = PermissionChange {
        change,
        asked,
        permissions: entries.into_iter().map(|entry| read(entry, change)).collect::<Result<Vec<_>>>()?,
        most: settings.max_rows,
        most_removed: settings.max_removed_per_replace,
    };
    let uid = input.parameters.get("uid");
    app.service.change_permissions(call, uid, &wanted).await.map_err(in_words)?;
    Ok(Reply::empty(StatusCode::OK))
}

/// Somebody's rows as JSON. Writing them is the dearest part of the answer, and they change rarely: the text is kept as
/// long as the rows that it was made of.
struct Rendered {
    /// Not kept alive by this: it only tells whether they are the same still.
    rows: Weak<Vec<PermissionRow>>,
    body: Bytes,
}

/// So much memory may texts take.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
struct Weight;

impl Weighter<PrincipalId, Arc<Rendered>> for Weight {
    fn weight(&self, _: &PrincipalId, kept: &Arc<Rendered>) -> u64 {
        u64::try_from(kept.body.len()).unwrap_or(u64::MAX).saturating_add(500)
    }
}

static RENDERED: LazyLock<Cache<PrincipalId, Arc<Rendered>, Weight>> =
    LazyLock::new(|| Cache::with_weighter(2_000, KEPT_BYTES, Weight));

fn rendered(permissions: &Permissions) -> Result<Bytes> {
    let rows = &permissions.rows;
    let write = || {
        let wire = rows.iter().map(|row| Row::new(row, permissions.holder.kind));
        let mut body = Vec::new();
        serde::Serializer::collect_seq(&mut serde_json::Serializer::new(&mut body), wire)
            .map_err(Error::internal)?;
        Ok(Bytes::from(body))
    };
    match permissions.complete {
        // Rows that are made for one reader are nobody else's.
        Completeness::Partial => write(),
        Completeness::Complete => {
            let known = RENDERED.get(&permissions.holder.id);
            if let Some(known) = known.filter(|known| std::ptr::eq(known.rows.as_ptr(), Arc::as_ptr(rows))) {
                return Ok(known.body.clone());
            }
            let body = write()?;
            let made = Rendered { rows: Arc::downgrade(rows), body: body.clone() };
            RENDERED.insert(permissions.holder.id.clone(), Arc::new(made));
            Ok(body)
        }
    }
}
