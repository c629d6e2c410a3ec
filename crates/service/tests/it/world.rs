//! A server without HTTP: a database, the door over it, and two accounts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::signer::Signer;
use domain::clock::Fixed;
use domain::{
    Cluster, ClusterIdentity, ClusterScope, Error, GrantSpec, Namespace, NamespaceScope, PolicyId, Principal,
    PrincipalKind, Principals, Result, Role, Secret, Timestamp,
};
use service::authz::{Fact, NamedAction, NamedKey, Shipped, Vocabulary};
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{AddressPolicy, Connection, Contact, Prober};
use service::fleet::leases::Lease;
use service::installation::bootstrap::{AccountSpec, Bootstrap, PreparedAccount, Purpose};
use service::policies::{NewPolicy, PolicyFilter, WhichPrincipal, WhichScope};
use service::{
    Call, Login, MasterKey, NewCluster, NewPrincipal, Origin, PageRequest, Quotas, Scope, Service, Settings,
};
use store::Store;
use store::testing::{TestDatabase, databases};

pub struct World {
    pub database: TestDatabase,
    pub store: Store,
    pub clock: Arc<Fixed>,
    pub service: Arc<Service>,
    pub bootstrap: Bootstrap,
    pub prepared: PreparedAccount,
    /// The root user of the first account.
    pub root: Call,
    /// The root user of another account.
    pub stranger: Call,
    /// What API servers say of themselves.
    pub api_servers: Arc<ApiServers>,
    /// Who signs certificates in them.
    pub signer: Arc<Signer>,
}

/// API servers by their addresses. Those that are not here do not answer.
#[derive(Default)]
pub struct ApiServers {
    known: Mutex<BTreeMap<String, ClusterIdentity>>,
    /// Who asks waits here for others who ask.
    pub meeting: Mutex<Option<Arc<tokio::sync::Barrier>>>,
    /// How often somebody asked.
    pub identified: std::sync::atomic::AtomicUsize,
}

impl ApiServers {
    /// Says what `server` will say.
    pub fn put(&self, server: &str, uid: &str, keys: &[&str]) {
        let uid = (!uid.is_empty()).then(|| uid.to_owned());
        let identity = ClusterIdentity { uid, keys: keys.iter().map(|key| (*key).to_owned()).collect() };
        self.known.lock().unwrap().insert(server.to_owned(), identity);
    }
}

impl Prober for ApiServers {
    fn identify<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<ClusterIdentity>> {
        self.identified.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let found = self.known.lock().unwrap().get(&connection.server).cloned();
        let meeting = self.meeting.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(meeting) = meeting {
                meeting.wait().await;
            }
            found.ok_or_else(|| Error::conflict("the API server does not answer"))
        })
    }
}

/// One world for each kind of database.
pub async fn worlds() -> Vec<World> {
    worlds_with(Quotas::default()).await
}

/// One world for each kind of database, in which accounts may hold so much.
pub async fn worlds_with(quotas: Quotas) -> Vec<World> {
    let mut worlds = Vec::new();
    for database in databases().await {
        worlds.push(World::new(database, quotas).await);
    }
    worlds
}

pub fn bootstrap(store: Store, clock: Arc<Fixed>, seed: u64) -> Bootstrap {
    let entropy = Arc::new(domain::entropy::Fixed::new(seed));
    let master_key = MasterKey::generate(&domain::entropy::Fixed::new(99)).into();
    Bootstrap { store, clock, entropy, master_key }
}

impl World {
    async fn new(database: TestDatabase, quotas: Quotas) -> Self {
        let store = database.open().await;
        let clock = Arc::new(Fixed::new(Timestamp::from_millis(1_795_293_660_000)));
        let bootstrap = bootstrap(store.clone(), Arc::clone(&clock), 1);
        let installation = bootstrap.installation(Purpose::Real).await.unwrap();
        let prepared = bootstrap.prepare(AccountSpec::default()).unwrap();
        assert!(bootstrap.store_first(&prepared).await.unwrap());
        let spec = AccountSpec { account_name: Some("stranger".into()), ..AccountSpec::default() };
        let other = bootstrap.prepare(spec).unwrap();
        bootstrap.store_account(&other).await.unwrap();
        let service = Service::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&bootstrap.entropy),
            bootstrap.master_key.clone(),
            installation.id,
            Settings {
                addresses: AddressPolicy { allow_loopback: true, ..AddressPolicy::default() },
                quotas,
                vocabulary: vocabulary(),
                ..Settings::default()
            },
        )
        .unwrap();
        let api_servers = Arc::new(ApiServers::default());
        let signer = Arc::new(Signer::default());
        let service = service.with_prober(api_servers.clone()).with_contact(signer.clone());
        let (root, stranger) = (root_of(&prepared), root_of(&other));
        Self {
            database,
            store,
            clock,
            service: Arc::new(service),
            bootstrap,
            prepared,
            root,
            stranger,
            api_servers,
            signer,
        }
    }

    /// Another server of the same installation, on the same database.
    pub fn another_server(&self) -> Arc<Service> {
        self.another_server_with(self.bootstrap.master_key.clone())
    }

    /// The same with master keys of its own.
    pub fn another_server_with(&self, master_key: service::MasterKeys) -> Arc<Service> {
        let settings = Settings {
            addresses: AddressPolicy { allow_loopback: true, ..AddressPolicy::default() },
            ..Settings::default()
        };
        self.server(master_key, settings)
    }

    /// The same with settings of its own.
    pub fn another_server_set(&self, settings: Settings) -> Arc<Service> {
        self.server(self.bootstrap.master_key.clone(), settings)
    }

    /// Another server that speaks to clusters by `contact`.
    pub fn another_server_asking(&self, contact: Arc<dyn Contact>, settings: Settings) -> Arc<Service> {
        Arc::new(self.door(self.bootstrap.master_key.clone(), settings).with_contact(contact))
    }

    /// Another server that asks clusters by `workloads` about what tokens name.
    pub fn another_server_vending(
        &self,
        workloads: Arc<dyn service::pod_identity::workloads::Workloads>,
        settings: Settings,
    ) -> Arc<Service> {
        Arc::new(self.door(self.bootstrap.master_key.clone(), settings).with_workloads(workloads))
    }

    fn server(&self, master_key: service::MasterKeys, settings: Settings) -> Arc<Service> {
        Arc::new(self.door(master_key, settings))
    }

    fn door(&self, master_key: service::MasterKeys, settings: Settings) -> Service {
        let service = Service::new(
            self.store.clone(),
            self.clock.clone(),
            Arc::new(domain::entropy::Fixed::new(7)),
            master_key,
            domain::InstallationId::stored("i"),
            Settings { vocabulary: vocabulary(), ..settings },
        );
        service.unwrap().with_prober(self.api_servers.clone())
    }

    /// The lease of a cluster, as the supervisor of workers would have it.
    pub async fn lease(&self, cluster: &str) -> Lease {
        let clusters = self.service.fleet_clusters().await.unwrap();
        let mut share = self.service.fleet_share(&clusters).await.unwrap();
        let id = domain::ClusterId::stored(cluster);
        share.held.remove(&id).unwrap_or(Lease { cluster: id, epoch: 0, connection_version: 1 })
    }

    /// What a failure should say first.
    pub fn on(&self) -> &'static str {
        self.database.name()
    }

    pub async fn principal(&self, kind: PrincipalKind, id: &str) -> Principal {
        self.service.create_principal(&self.root, new_principal(kind, Some(id), id)).await.unwrap()
    }

    pub async fn user(&self, id: &str) -> Principal {
        self.principal(PrincipalKind::User, id).await
    }

    pub async fn cluster(&self, id: &str) -> Cluster {
        let new = NewCluster { id: Some(id.to_owned()), name: id.to_owned(), ..NewCluster::default() };
        self.service.create_cluster(&self.root, new).await.unwrap()
    }

    /// A new policy with that document, held for the whole account.
    pub async fn give(&self, to: &Principal, document: &str) -> PolicyId {
        self.give_in(to, document, WhichScope::Account).await
    }

    /// The same in a scope.
    pub async fn give_in(&self, to: &Principal, document: &str, scope: WhichScope<'_>) -> PolicyId {
        let id = self.policy(document).await;
        let to = WhichPrincipal { kind: to.kind, which: to.id.as_str().into() };
        self.service.attach_policy(&self.root, id.as_str(), to, scope).await.unwrap();
        id
    }

    /// A new policy with that document.
    pub async fn policy(&self, document: &str) -> PolicyId {
        let page = PageRequest { limit: Some(1000), cursor: None };
        let have = self.service.list_policies(&self.root, PolicyFilter::default(), &page).await.unwrap();
        let name = format!("policy-{}", have.items.len());
        let new = NewPolicy { id: None, name, description: String::new(), document: document.to_owned() };
        self.service.create_policy(&self.root, new).await.unwrap().id
    }

    /// The instant in so many seconds.
    pub fn clock_in(&self, seconds: i64) -> Timestamp {
        self.service.now().plus_seconds(seconds)
    }

    /// A token of the user with that id, by password.
    pub async fn token(&self, user: &str, password: &str) -> Result<String> {
        let login = Login::Id { user: user.to_owned(), password: Secret::new(password.to_owned()) };
        let issued = self.service.issue_token(&login, &Scope::Account { named: None }, &origin()).await?;
        Ok(issued.token.expose().to_owned())
    }

    /// A user of the account as a caller, as a signature would make them.
    pub async fn call_of(&self, user: &Principal) -> Call {
        let new = self.service.create_access_key(&self.root, user.id.as_str(), "").await.unwrap();
        let key = self.service.signing_key(new.key.id.as_str()).await.unwrap().unwrap();
        Call { caller: Arc::clone(&key.caller), project: None, origin: origin(), signed: None }
    }
}

/// Words of a dialect that there is not, and one policy that is shipped.
pub fn vocabulary() -> Arc<Vocabulary> {
    let named = |name: &str, action: &str, resource: Option<&str>| NamedAction {
        name: name.to_owned(),
        aliases: vec![format!("{name}Alias")],
        action: action.to_owned(),
        resource: resource.map(str::to_owned),
        keys: Vec::new(),
    };
    let actions = vec![
        named("x:grant:post", "bailiwick:grant:create", None),
        named("x:grant:list", "bailiwick:grant:list", None),
        named("x:cluster:get", "bailiwick:cluster:show", Some("x:{region}:{account}:cluster:{id}")),
        named("x:users:attach", "bailiwick:policy:attach", Some("x::{account}:user:{name}")),
    ];
    let keys = vec![NamedKey { key: "x:ClusterId".to_owned(), fact: Fact::ClusterId }];
    let reading = allow(&["bailiwick:*:list", "bailiwick:*:show"]);
    let shipped = vec![Shipped::new("reader", "Reader", "Reading.", &reading).unwrap()];
    Arc::new(Vocabulary::new(actions, keys, shipped).unwrap())
}

/// A document that allows these actions on everything.
pub fn allow(actions: &[&str]) -> String {
    statement("Allow", actions, "")
}

/// A document that denies these actions on everything.
pub fn deny(actions: &[&str]) -> String {
    statement("Deny", actions, "")
}

/// A document of one statement on everything, with a condition if it is not empty.
pub fn statement(effect: &str, actions: &[&str], condition: &str) -> String {
    let condition = if condition.is_empty() { String::new() } else { format!(",\"Condition\":{condition}") };
    format!(
        r#"{{"Version":"5.0","Statement":[{{"Effect":"{effect}","Action":{actions:?},"Resource":["*"]{condition}}}]}}"#
    )
}

pub fn origin() -> Origin {
    Origin {
        request_id: Arc::from("r"),
        source: Arc::from("127.0.0.1"),
        at: Timestamp::from_millis(1_795_293_660_000),
        dialect: "native",
    }
}

fn root_of(prepared: &PreparedAccount) -> Call {
    let caller = prepared.root_caller();
    Call { caller: Arc::new(caller), project: None, origin: origin(), signed: None }
}

pub fn new_principal(kind: PrincipalKind, id: Option<&str>, name: &str) -> NewPrincipal {
    NewPrincipal { id: id.map(str::to_owned), ..NewPrincipal::named(kind, name.to_owned()) }
}

/// A grant to users in clusters and namespaces; an empty list means all.
pub fn spec(users: &[&str], clusters: &[&str], namespaces: &[&str]) -> GrantSpec {
    GrantSpec {
        name: "g".to_owned(),
        role: Role::Viewer,
        principals: Principals {
            kind: PrincipalKind::User,
            ids: users.iter().map(|id| domain::PrincipalId::stored(id)).collect(),
        },
        clusters: match clusters {
            [] => ClusterScope::All,
            ids => ClusterScope::Listed(ids.iter().map(|id| domain::ClusterId::stored(id)).collect()),
        },
        namespaces: match namespaces {
            [] => NamespaceScope::All,
            names => NamespaceScope::Listed(names.iter().map(|name| Namespace::stored(name)).collect()),
        },
    }
}
