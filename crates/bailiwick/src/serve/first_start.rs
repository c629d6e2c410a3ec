//! The first start on an empty database: one account, one project, one root user with a key.

use std::path::Path;

use domain::{Result, Secret};
use service::installation::bootstrap::{AccountSpec, Bootstrap, PreparedAccount};

use super::files;

/// The file that holds what was generated.
pub const FILE: &str = "bootstrap.env";

/// Makes the first account if there is none. What was not chosen is generated and written to `bootstrap.env`, before
/// the account is stored: a secret that only the database knew would be lost.
///
/// # Errors
/// `Invalid` naming a chosen value that breaks a rule.
pub async fn run(
    bootstrap: &Bootstrap,
    chosen: &AccountSpec,
    data_dir: &Path,
) -> Result<Option<PreparedAccount>> {
    if !bootstrap.is_empty().await? {
        return Ok(None);
    }
    let prepared = bootstrap.prepare(chosen.clone())?;
    let path = data_dir.join(FILE);
    let lines = generated(chosen, &prepared);
    if !lines.is_empty() {
        files::replace_secret(&path, &lines)?;
    }
    if !bootstrap.store_first(&prepared).await? {
        // Another server of the same database came first: what we generated is nobody's.
        files::remove(&path)?;
        return Ok(None);
    }
    if !lines.is_empty() {
        tracing::info!(
            "made the first account; what was generated is in {}: move it to a safe place",
            path.display()
        );
    }
    Ok(Some(prepared))
}

/// `KEY=value` lines for what was not chosen.
fn generated(chosen: &AccountSpec, prepared: &PreparedAccount) -> String {
    let text = |value: &str| value.to_owned();
    let secret = |value: &Secret| value.expose().to_owned();
    let all = [
        ("ACCOUNT_ID", chosen.account_id.is_none(), text(prepared.account.id.as_str())),
        ("ACCOUNT_NAME", chosen.account_name.is_none(), text(&prepared.account.name)),
        ("PROJECT_ID", chosen.project_id.is_none(), text(prepared.project.id.as_str())),
        ("PROJECT_NAME", chosen.project_name.is_none(), text(&prepared.project.name)),
        ("USER_ID", chosen.user_id.is_none(), text(prepared.root.id.as_str())),
        ("USER_NAME", chosen.user_name.is_none(), text(&prepared.root.name)),
        ("PASSWORD", chosen.password.is_none(), secret(&prepared.password)),
        ("ACCESS_KEY_ID", chosen.access_key_id.is_none(), text(prepared.access_key_id.as_str())),
        ("SECRET_ACCESS_KEY", chosen.secret_access_key.is_none(), secret(&prepared.secret_access_key)),
    ];
    let lines = all.into_iter().filter(|(_, generated, _)| *generated);
    lines.map(|(key, _, value)| format!("BAILIWICK_BOOTSTRAP_{key}={value}\n")).collect()
}
