//! Servers that start together bring the schema up to date once.

use futures::future::join_all;
use store::Store;
use store::testing::{databases, number};

const MIGRATIONS: &str = "SELECT COUNT(*) FROM schema_migrations";

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_on_an_empty_database_make_its_schema_once() {
    for database in databases().await {
        let stores = join_all((0..6).map(|_| Store::open(&database.location))).await;
        let stores: Vec<Store> = stores.into_iter().collect::<Result<_, _>>().unwrap_or_else(|error| {
            panic!("{}: {error:?}", database.name());
        });
        let made = number(&stores[0], MIGRATIONS).await;
        assert_eq!(made, number(&stores[0], "SELECT COUNT(DISTINCT checksum) FROM schema_migrations").await);
        for store in &stores {
            assert_eq!(number(store, MIGRATIONS).await, made, "{}", database.name());
            store.close().await;
        }
    }
}
