//! The older lists have no pages: they hold everything.

use domain::{Principal, PrincipalKind, Result};
use service::{Call, PageRequest};

use crate::App;
use crate::head::Head;

/// All principals of one kind, or those of the name that the query asks for. A query that names another account finds
/// nothing there.
pub(super) async fn principals(
    app: &App,
    call: &Call,
    head: &Head,
    kind: PrincipalKind,
) -> Result<Vec<Principal>> {
    let found = match asked(head, "name") {
        Some(name) => app.service.list_principals_named(call, kind, name).await?,
        None => all(app, call, kind).await?,
    };
    let own = asked(head, "domain_id").is_none_or(|account| account == call.account().as_str());
    Ok(if own { found } else { Vec::new() })
}

async fn all(app: &App, call: &Call, kind: PrincipalKind) -> Result<Vec<Principal>> {
    let mut request = PageRequest { limit: Some(1000), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = app.service.list_principals(call, kind, &request).await?;
        found.extend(page.items);
        request.cursor = page.next;
        if request.cursor.is_none() {
            return Ok(found);
        }
    }
}

/// A filter of the query; an empty one is none.
pub(super) fn asked<'a>(head: &'a Head, key: &str) -> Option<&'a str> {
    head.query(key).filter(|value| !value.is_empty())
}
