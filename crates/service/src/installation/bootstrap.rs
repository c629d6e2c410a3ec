//! Making accounts: the first one at the first start, more of them by the server's operator.

use std::sync::Arc;

use domain::{
    AccessKeyId, Account, AccountId, Clock, Entropy, Error, Id, InstallationId, Principal, PrincipalKind,
    Project, Result, Secret,
};
use store::{AuditEvent, Installation, Outcome, Store, WriteTx};

use crate::authz::{ADMINISTRATORS, Rights, Vocabulary};
use crate::call::{Caller, Proof};
use crate::directory::access_keys::{KEY_ID_ALPHABET, SECRET_ALPHABET, random_text, seal_key};
use crate::installation::key_ring::MasterKeys;

/// What was chosen for a new account; the rest is generated.
#[derive(Clone, Debug, Default)]
pub struct AccountSpec {
    /// The account's id.
    pub account_id: Option<String>,
    /// The account's name; the root user's name otherwise.
    pub account_name: Option<String>,
    /// The id of its first project.
    pub project_id: Option<String>,
    /// The name of its first project.
    pub project_name: Option<String>,
    /// The root user's id.
    pub user_id: Option<String>,
    /// The root user's name.
    pub user_name: Option<String>,
    /// The root user's password.
    pub password: Option<Secret>,
    /// The root user's access key: its public half.
    pub access_key_id: Option<String>,
    /// The root user's access key: its secret half.
    pub secret_access_key: Option<Secret>,
}

/// An account with its root user and key, complete but not stored yet.
#[derive(Debug)]
pub struct PreparedAccount {
    /// The account.
    pub account: Account,
    /// Its first project.
    pub project: Project,
    /// Its root user.
    pub root: Principal,
    /// The root user's password.
    pub password: Secret,
    /// The public half of the root user's key.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret_access_key: Secret,
}

impl PreparedAccount {
    /// The account's root user as a caller, for what the server does on its behalf while it starts.
    #[must_use]
    pub fn root_caller(&self) -> Caller {
        Caller {
            account: self.account.id.clone(),
            account_name: self.account.name.clone(),
            principal: self.root.id.clone(),
            kind: self.root.kind,
            name: self.root.name.clone(),
            root: true,
            administrator: false,
            projects: vec![self.project.id.clone()],
            rights: Arc::new(Rights::none(Arc::new(Vocabulary::own()))),
            revision: 0,
            proof: Proof::Server,
        }
    }
}

/// Makes accounts without a door: there is nobody yet who could pass one.
pub struct Bootstrap {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The keys that seal and open.
    pub master_key: MasterKeys,
}

impl Bootstrap {
    /// What the database says it is, made at the first start.
    ///
    /// # Errors
    /// `Conflict` if the database needs another master key, or is a demo where none is wanted or the reverse.
    pub async fn installation(&self, wanted: Purpose) -> Result<Installation> {
        let id = InstallationId::random_hex(&*self.entropy);
        let demo = wanted == Purpose::Demo;
        let new = Installation { id, master_key_id: self.master_key.first_id()?, demo };
        let found = self.store.claim_installation(&new, self.clock.now()).await?;
        if found.demo && !demo {
            return Err(Error::conflict(
                "the database holds a demo; choose another data directory for real use",
            ));
        }
        if demo && !found.demo {
            return Err(Error::conflict("the database is not a demo's; a demo never touches a real one"));
        }
        self.require_keys(&found.master_key_id).await?;
        self.make_stamp_key().await?;
        Ok(found)
    }

    /// Whether the database has any account yet.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn is_empty(&self) -> Result<bool> {
        let mut tx = self.store.read().await?;
        let any = tx.any_account().await?;
        tx.end().await?;
        Ok(!any)
    }

    /// Fills in what was not chosen.
    ///
    /// # Errors
    /// `Invalid` naming what breaks a rule.
    pub fn prepare(&self, spec: AccountSpec) -> Result<PreparedAccount> {
        let now = self.clock.now();
        let user_name = spec.user_name.unwrap_or_else(|| "admin".to_owned());
        let account_name = spec.account_name.unwrap_or_else(|| user_name.clone());
        let project_name = spec.project_name.unwrap_or_else(|| "default".to_owned());
        for (field, name) in
            [("user name", &user_name), ("account name", &account_name), ("project name", &project_name)]
        {
            crate::directory::names::check(field, name)?;
        }
        let account_id: AccountId = self.id("account id", spec.account_id)?;
        let password = spec.password.unwrap_or_else(|| self.secret(24));
        crate::directory::password::check("password", &password)?;
        let access_key_id = match spec.access_key_id {
            Some(text) => AccessKeyId::parse("access key id", &text)?,
            None => AccessKeyId::stored(&format!("BW{}", random_text(&*self.entropy, KEY_ID_ALPHABET, 18))),
        };
        let secret_access_key = spec.secret_access_key.unwrap_or_else(|| self.secret(40));
        if secret_access_key.expose().is_empty() || secret_access_key.expose().len() > 256 {
            return Err(Error::invalid("secret access key", "must be 1 to 256 bytes long"));
        }
        Ok(PreparedAccount {
            project: Project {
                id: self.id("project id", spec.project_id)?,
                account: account_id.clone(),
                name: project_name,
                created_at: now,
            },
            root: Principal {
                id: self.id("user id", spec.user_id)?,
                account: account_id.clone(),
                kind: PrincipalKind::User,
                name: user_name,
                enabled: true,
                root: true,
                external_ids: Vec::new(),
                description: String::new(),
                password_set_at: Some(now),
                created_at: now,
                updated_at: now,
            },
            account: Account { id: account_id, name: account_name, created_at: now },
            password,
            access_key_id,
            secret_access_key,
        })
    }

    fn id<K>(&self, field: &str, chosen: Option<String>) -> Result<Id<K>> {
        match chosen {
            Some(text) => Id::parse(field, &text),
            None => Ok(Id::random_hex(&*self.entropy)),
        }
    }

    fn secret(&self, length: usize) -> Secret {
        Secret::new(random_text(&*self.entropy, SECRET_ALPHABET, length))
    }

    /// Stores the first account, unless another server came first. Returns whether it was stored.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn store_first(&self, prepared: &PreparedAccount) -> Result<bool> {
        let mut tx = self.store.begin_account(&prepared.account.id).await?;
        if tx.any_account().await? {
            return Ok(false);
        }
        self.fill(&mut tx, prepared).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Stores one more account.
    ///
    /// # Errors
    /// `Conflict` if one of its ids was ever used or its name is taken.
    pub async fn store_account(&self, prepared: &PreparedAccount) -> Result<()> {
        let mut tx = self.store.begin_account(&prepared.account.id).await?;
        self.fill(&mut tx, prepared).await?;
        tx.commit().await
    }

    async fn fill(&self, tx: &mut WriteTx, prepared: &PreparedAccount) -> Result<()> {
        let PreparedAccount { account, project, root, password, access_key_id, secret_access_key } = prepared;
        let hash = crate::directory::password::hash(password, domain::entropy::bytes(&*self.entropy))?;
        tx.insert_account(account).await?;
        tx.insert_project(project).await?;
        tx.insert_principal(root, Some(&hash)).await?;
        let administrators = Principal {
            id: self.id("group id", None)?,
            kind: PrincipalKind::Group,
            name: ADMINISTRATORS.to_owned(),
            root: false,
            password_set_at: None,
            ..root.clone()
        };
        tx.insert_principal(&administrators, None).await?;
        let sealing = self.master_key.sealing(tx).await?;
        let key = seal_key(
            &sealing,
            &*self.entropy,
            account.created_at,
            &account.id,
            &root.id,
            access_key_id.clone(),
            secret_access_key,
            "the root user's first key",
        )?;
        tx.insert_access_key(&key).await?;
        let event = AuditEvent {
            id: domain::GrantId::random_uuid(&*self.entropy).as_str().to_owned(),
            at: account.created_at,
            actor: Some(root.id.clone()),
            actor_name: root.name.clone(),
            action: "bailiwick:account:create".to_owned(),
            resource: format!("account/{}", account.id),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: String::new(),
            source: "server operator".to_owned(),
        };
        tx.audit(&event).await
    }
}

/// What a start is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Real use.
    Real,
    /// A sample fleet to look at, in a database of its own.
    Demo,
}
