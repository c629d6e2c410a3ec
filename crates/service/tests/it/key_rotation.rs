//! A new master key in the place of the old one, interrupted anywhere.

use std::sync::{Arc, Mutex};

use domain::entropy::Fixed;
use service::clusters::connection::AddressPolicy;
use service::installation::bootstrap::{Bootstrap, Purpose};
use service::installation::key_ring::MasterKeys;
use service::{MasterKey, NewCluster, Service, Settings};
use store::testing::{execute, number, text};

use crate::clusters::KUBECONFIG;
use crate::world::{World, bootstrap, worlds};

/// How far a change of the key goes before it is killed.
const STEPS: [&str; 6] = ["added", "announced", "switched", "half sealed", "sealed", "done"];

/// What several processes of one installation share: the file with the keys.
type KeyFile = Arc<Mutex<Vec<MasterKey>>>;

fn ring(file: &KeyFile) -> MasterKeys {
    let (first, file) = (file.lock().unwrap().clone(), Arc::clone(file));
    MasterKeys::from_source(first, Arc::new(move || Ok(file.lock().unwrap().clone())))
}

/// The operator's command: a process of its own over the same database and file.
fn operator(world: &World, file: &KeyFile) -> Bootstrap {
    let mut own = bootstrap(world.store.clone(), world.clock.clone(), 77);
    own.master_key = ring(file);
    own
}

/// A server over the same database and file.
async fn server(world: &World, file: &KeyFile) -> Service {
    let mut own = bootstrap(world.store.clone(), world.clock.clone(), 78);
    own.master_key = ring(file);
    let installation = own.installation(Purpose::Real).await.unwrap();
    let keys = own.master_key.clone();
    let (clock, entropy) = (Arc::clone(&own.clock), Arc::clone(&own.entropy));
    Service::new(world.store.clone(), clock, entropy, keys, installation.id, settings()).unwrap()
}

fn settings() -> Settings {
    let addresses = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    Settings { addresses, ..Settings::default() }
}

async fn change(operator: &Bootstrap, file: &KeyFile, new: &MasterKey, until: &str) {
    let old = file.lock().unwrap()[0].clone();
    for step in STEPS {
        match step {
            "added" => file.lock().unwrap().push(new.clone()),
            "announced" => operator.announce_key(new).await.unwrap(),
            "switched" => operator.switch_key(old.id(), new).await.unwrap(),
            "half sealed" => {
                let keys = operator.master_key.clone();
                assert!(keys.find(new.id()).is_some());
                let mut tx = operator.store.write(&first_account(operator).await).await.unwrap();
                let values = tx.sealed_otherwise(store::Sealed::AccessKeys, new.id(), "", 1).await.unwrap();
                let account = tx.account().clone();
                let record = service::installation::seal::Record {
                    kind: "access-key",
                    id: &values[0].id,
                    account: &account,
                };
                let plain = keys.open(&record, &values[0].sealed).unwrap();
                let sealed = new.seal(&*operator.entropy, &record, &plain).unwrap();
                assert!(tx.replace_sealed(store::Sealed::AccessKeys, &values[0], &sealed).await.unwrap());
                tx.commit().await.unwrap();
            }
            "sealed" => assert!(operator.reseal(new).await.unwrap().broken.is_empty()),
            _ => operator.end_key_change().await.unwrap(),
        }
        if step == until {
            return;
        }
    }
}

async fn first_account(operator: &Bootstrap) -> domain::AccountId {
    operator.store.revisions().await.unwrap().into_iter().next().unwrap().account
}

async fn opens_everything(service: &Service, key: &str, cluster: &domain::ClusterId) -> bool {
    let signs = service.signing_key(key).await.is_ok_and(|found| found.is_some());
    signs && service.fleet_connection(cluster).await.is_ok_and(|found| found.is_some())
}

#[tokio::test]
async fn a_change_of_the_master_key_killed_anywhere_leaves_what_serves_and_can_be_finished() {
    for until in STEPS {
        for world in worlds().await {
            let at = format!("{}, killed when {until}", world.on());
            let old = MasterKey::generate(&Fixed::new(99));
            let new = MasterKey::generate(&Fixed::new(100));
            let file: KeyFile = Arc::new(Mutex::new(vec![old.clone()]));
            let running = server(&world, &file).await;
            let key = running.create_access_key(&world.root, "admin", "").await.unwrap().key.id;
            let temporary = running.issue_temporary_key(&world.root, 3600, Vec::new()).await.unwrap().id;
            let cluster =
                NewCluster { name: "c".into(), kubeconfig: Some(KUBECONFIG.into()), ..NewCluster::default() };
            let cluster = running.create_cluster(&world.root, cluster).await.unwrap().id;

            change(&operator(&world, &file), &file, &new, until).await;
            running.follow_revisions().await.unwrap();
            assert!(opens_everything(&running, key.as_str(), &cluster).await, "{at}: it goes on");
            let later = running.create_access_key(&world.root, "admin", "").await.unwrap().key.id;
            let started = server(&world, &file).await;
            for one in [&running, &started] {
                assert!(opens_everything(one, later.as_str(), &cluster).await, "{at}: new and old open");
            }

            let again = operator(&world, &file);
            let state = again.keys_in_use().await.unwrap().unwrap().state;
            if until != "done" {
                if state.current == old.id() {
                    again.announce_key(&new).await.unwrap();
                    again.switch_key(old.id(), &new).await.unwrap();
                }
                again.reseal(&new).await.unwrap();
                again.end_key_change().await.unwrap();
            }
            let in_use = again.keys_in_use().await.unwrap().unwrap();
            assert_eq!((in_use.state.current.as_str(), in_use.state.next), (new.id(), None), "{at}");
            assert_eq!(in_use.sealed.len(), 1, "{at}: {:?}", in_use.sealed);
            assert_eq!(in_use.sealed[0].0, new.id(), "{at}");

            *file.lock().unwrap() = vec![new.clone()];
            let without_old = server(&world, &file).await;
            assert!(opens_everything(&without_old, later.as_str(), &cluster).await, "{at}");
            assert!(
                opens_everything(&without_old, temporary.as_str(), &cluster).await,
                "{at}: temporary keys"
            );
            let mut with_old = bootstrap(world.store.clone(), world.clock.clone(), 5);
            with_old.master_key = old.into();
            let error = with_old.installation(Purpose::Real).await.unwrap_err();
            assert!(error.message().contains(new.id()), "{at}: {error}");
        }
    }
}

#[tokio::test]
async fn a_start_in_the_middle_of_a_change_needs_every_key_that_still_opens_something() {
    for world in worlds().await {
        let old = MasterKey::generate(&Fixed::new(99));
        let new = MasterKey::generate(&Fixed::new(100));
        let file: KeyFile = Arc::new(Mutex::new(vec![old.clone()]));
        change(&operator(&world, &file), &file, &new, "switched").await;
        *file.lock().unwrap() = vec![new];
        let error = operator(&world, &file).installation(Purpose::Real).await.unwrap_err();
        assert!(error.message().contains(old.id()), "{}: {error}", world.on());
    }
}

#[tokio::test]
async fn a_sealed_secret_moved_to_another_row_is_not_made_good_by_sealing_it_anew() {
    for world in worlds().await {
        world.user("ada").await;
        world.user("eve").await;
        let ada = world.service.create_access_key(&world.root, "ada", "").await.unwrap().key.id;
        let eve = world.service.create_access_key(&world.root, "eve", "").await.unwrap().key.id;
        let stolen =
            text(&world.store, &format!("SELECT sealed_secret FROM access_keys WHERE id = '{eve}'")).await;
        let swap = format!("UPDATE access_keys SET sealed_secret = '{stolen}' WHERE id = '{ada}'");
        execute(&world.store, &swap).await;
        let new = MasterKey::generate(&Fixed::new(100));
        let file: KeyFile = Arc::new(Mutex::new(vec![MasterKey::generate(&Fixed::new(99))]));
        let operator = operator(&world, &file);
        change(&operator, &file, &new, "switched").await;
        let resealed = operator.reseal(&new).await.unwrap();
        assert_eq!(resealed.broken, [format!("access-key/{ada}")], "{}", world.on());
        let server = server(&world, &file).await;
        assert!(server.signing_key(ada.as_str()).await.is_err(), "{}", world.on());
        assert!(server.signing_key(eve.as_str()).await.unwrap().is_some(), "{}", world.on());
    }
}

#[tokio::test]
async fn servers_say_whether_they_hold_the_announced_key_and_one_without_it_seals_nothing() {
    for world in worlds().await {
        let old = MasterKey::generate(&Fixed::new(99));
        let new = MasterKey::generate(&Fixed::new(100));
        let file: KeyFile = Arc::new(Mutex::new(vec![old.clone()]));
        let elsewhere: KeyFile = Arc::new(Mutex::new(vec![old]));
        let (here, there) = (server(&world, &file).await, server(&world, &elsewhere).await);
        assert_eq!(here.answer_key_question("here").await.unwrap(), None, "nobody asks");
        let operator = operator(&world, &file);
        change(&operator, &file, &new, "announced").await;
        for (one, name) in [(&here, "here"), (&there, "there")] {
            assert_eq!(one.answer_key_question(name).await.unwrap().as_deref(), Some(new.id()));
        }
        let answers = operator.key_answers(&new).await.unwrap();
        let said: Vec<(&str, bool)> =
            answers.iter().map(|answer| (answer.server.as_str(), answer.held)).collect();
        assert_eq!(said, [("here", true), ("there", false)], "{}", world.on());

        let former = file.lock().unwrap()[0].clone();
        operator.switch_key(former.id(), &new).await.unwrap();
        let before = number(&world.store, "SELECT COUNT(*) FROM access_keys").await;
        assert!(there.create_access_key(&world.root, "admin", "").await.is_err(), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM access_keys").await, before);
        elsewhere.lock().unwrap().push(new.clone());
        assert!(there.create_access_key(&world.root, "admin", "").await.is_ok(), "the copy of the file came");
        let again = operator.switch_key(new.id(), &new).await;
        assert!(again.is_ok(), "a repeated switch changes nothing: {again:?}");
    }
}

#[tokio::test]
async fn keys_made_while_everything_is_sealed_anew_are_never_lost() {
    for world in worlds().await {
        let new = MasterKey::generate(&Fixed::new(100));
        let file: KeyFile = Arc::new(Mutex::new(vec![MasterKey::generate(&Fixed::new(99))]));
        let server = server(&world, &file).await;
        let operator = operator(&world, &file);
        let making = async {
            let mut made = Vec::new();
            for _ in 0..40 {
                let new = server.create_access_key(&world.root, "admin", "").await.unwrap();
                made.push((new.key.id, new.secret));
                tokio::task::yield_now().await;
            }
            made
        };
        let changing = change(&operator, &file, &new, "done");
        let (made, ()) = futures::join!(making, changing);
        let in_use = operator.keys_in_use().await.unwrap().unwrap();
        assert_eq!(in_use.sealed.len(), 1, "{}: {:?}", world.on(), in_use.sealed);
        *file.lock().unwrap() = vec![new];
        let fresh = self::server(&world, &file).await;
        for (id, secret) in made {
            let found = fresh.signing_key(id.as_str()).await.unwrap().unwrap();
            assert_eq!(found.secret.expose(), secret.expose(), "{}", world.on());
        }
    }
}
