//! A sample fleet to look at. Everything in it is named `demo-…`, its credentials are random, its database is its
//! own and is made anew at each start.

use std::path::Path;
use std::sync::Arc;

use domain::{
    ClusterId, ClusterScope, Error, GrantSpec, Namespace, NamespaceScope, PrincipalId, PrincipalKind,
    Principals, Result, Role,
};
use service::installation::bootstrap::PreparedAccount;
use service::{Call, NewCluster, NewPrincipal, Origin, Service};

use super::files;

/// A folder with this file in it is a demo's and may be thrown away.
const MARKER: &str = "THIS-IS-A-DEMO";

/// The file with what the command line needs.
const CLI_FILE: &str = "cli.env";

/// Refuses a folder that holds something else than a demo.
///
/// # Errors
/// `Conflict` then.
pub fn require_own_folder(data_dir: &Path) -> Result<()> {
    let occupied = data_dir.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !data_dir.join(MARKER).exists() {
        let message =
            format!("{} is not a demo's folder: a demo never touches real data", data_dir.display());
        return Err(Error::conflict(message));
    }
    Ok(())
}

/// Throws an earlier demo away and marks the folder as a demo's.
///
/// # Errors
/// `Invalid` if that cannot be done.
pub fn clear(data_dir: &Path) -> Result<()> {
    let marker = data_dir.join(MARKER);
    for name in ["bailiwick.db", "bailiwick.db-wal", "bailiwick.db-shm", super::first_start::FILE, CLI_FILE] {
        files::remove(&data_dir.join(name))?;
    }
    files::private_folder(data_dir)?;
    files::private_file(&marker)
}

/// Refuses a demo's folder for real use: the next demo there would throw the data away.
///
/// # Errors
/// `Conflict` if the folder is a demo's.
pub fn refuse(data_dir: &Path) -> Result<()> {
    if data_dir.join(MARKER).exists() {
        let message =
            format!("{} is a demo's folder, which demos throw away: choose another", data_dir.display());
        return Err(Error::conflict(message));
    }
    Ok(())
}

/// Fills the fleet and says what to try.
///
/// # Errors
/// `Internal` if the sample breaks a rule, which is a defect.
pub async fn fill(
    service: &Service,
    account: &PreparedAccount,
    data_dir: &Path,
    url: &str,
) -> Result<String> {
    let call = root_call(account);
    let fleet = Sample { service, call: &call };
    let (ada, grace) = (fleet.user("demo-ada").await?, fleet.user("demo-grace").await?);
    let platform = fleet.principal(PrincipalKind::Group, "demo-platform").await?;
    let deployer = fleet.principal(PrincipalKind::Agency, "demo-deployer").await?;
    service.add_member(&call, platform.as_str(), grace.as_str()).await?;
    let production = fleet.cluster("demo-production", "eu-west-1").await?;
    let staging = fleet.cluster("demo-staging", "eu-west-1").await?;
    fleet.cluster("demo-cellar", "home").await?;
    fleet.grant("demo-platform-operates", Role::Operator, PrincipalKind::Group, &platform, &[], &[]).await?;
    fleet
        .grant(
            "demo-ada-develops",
            Role::Developer,
            PrincipalKind::User,
            &ada,
            &[&staging],
            &["shop", "billing"],
        )
        .await?;
    fleet.grant("demo-ada-looks", Role::Viewer, PrincipalKind::User, &ada, &[&production], &["shop"]).await?;
    fleet
        .grant(
            "demo-deployer-deploys",
            Role::Developer,
            PrincipalKind::Agency,
            &deployer,
            &[&production, &staging],
            &["shop"],
        )
        .await?;
    let path = data_dir.join(CLI_FILE);
    let lines = format!(
        "BAILIWICK_SERVER={url}\nBAILIWICK_ACCESS_KEY_ID={}\nBAILIWICK_SECRET_ACCESS_KEY={}\n",
        account.access_key_id,
        account.secret_access_key.expose()
    );
    files::replace_secret(&path, &lines)?;
    Ok(advice(&path))
}

/// The call to try. The key is read from a file: in the arguments of a process everybody could see it.
fn advice(path: &Path) -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "bailiwick".to_owned(), |path| path.display().to_string());
    let file = path.display();
    format!(
        "This is a demo: a sample fleet of clusters that do not exist. It is thrown away at the next start.\n\
         Try, in another terminal:\n\n  \
         set -a; . {file}; set +a\n  \
         {program} call GET /api/v3/access-policies\n  \
         {program} grant list\n\n\
         Stop it with Ctrl-C.\n"
    )
}

fn root_call(account: &PreparedAccount) -> Call {
    let caller = account.root_caller();
    let origin = Origin {
        request_id: Arc::from("demo"),
        source: Arc::from("demo"),
        at: account.account.created_at,
        dialect: "",
    };
    Call { caller: Arc::new(caller), project: None, origin, signed: None }
}

struct Sample<'a> {
    service: &'a Service,
    call: &'a Call,
}

impl Sample<'_> {
    async fn user(&self, name: &str) -> Result<PrincipalId> {
        self.principal(PrincipalKind::User, name).await
    }

    async fn principal(&self, kind: PrincipalKind, name: &str) -> Result<PrincipalId> {
        let new = NewPrincipal { id: Some(name.to_owned()), ..NewPrincipal::named(kind, name.to_owned()) };
        self.service.create_principal(self.call, new).await.map(|principal| principal.id)
    }

    async fn cluster(&self, name: &str, region: &str) -> Result<ClusterId> {
        let new = NewCluster {
            id: Some(name.to_owned()),
            name: name.to_owned(),
            region: Some(region.to_owned()),
            provider: Some("demo".to_owned()),
            ..NewCluster::default()
        };
        self.service.create_cluster(self.call, new).await.map(|cluster| cluster.id)
    }

    async fn grant(
        &self,
        name: &str,
        role: Role,
        kind: PrincipalKind,
        principal: &PrincipalId,
        clusters: &[&ClusterId],
        namespaces: &[&str],
    ) -> Result<()> {
        let clusters = match clusters {
            [] => ClusterScope::All,
            listed => ClusterScope::Listed(listed.iter().map(|id| (*id).clone()).collect()),
        };
        let namespaces = match namespaces {
            [] => NamespaceScope::All,
            listed => NamespaceScope::Listed(listed.iter().map(|name| Namespace::stored(name)).collect()),
        };
        let principals = Principals { kind, ids: vec![principal.clone()] };
        let spec = GrantSpec { name: name.to_owned(), role, principals, clusters, namespaces };
        self.service.create_grant(self.call, spec).await.map(drop)
    }
}
