//! How SQLite goes about statements that must not read all grants of an account. It knows nothing about how many rows a
//! table has, and would take an account for ten.

use sqlx::Row;

use crate::administered::{ADMINISTERED, ADMINISTERED_NAMESPACES, GRANTED};
use crate::permissions::{AS_OF, CHANGES, HELD, LAST_VERSIONS};
use crate::testing::databases;

#[tokio::test]
async fn what_one_principal_holds_is_found_without_reading_the_grants_of_the_account() {
    for database in databases().await {
        if database.name() != "SQLite" {
            continue;
        }
        let store = database.open().await;
        let statements =
            [HELD, LAST_VERSIONS, CHANGES, AS_OF, ADMINISTERED, ADMINISTERED_NAMESPACES, GRANTED];
        for statement in statements {
            let mut tx = store.read().await.unwrap();
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let rows = sqlx::query(explain).fetch_all(tx.connection()).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let few = ["SCAN held", "SCAN alone"];
            let reads_all = |step: &&String| {
                let whole = step.contains("grants_by_account") || step.contains("grant_history_by_role");
                whole || (step.starts_with("SCAN") && !few.contains(&step.as_str()))
            };
            assert_eq!(steps.iter().find(reads_all), None, "{statement}\n{steps:#?}");
            assert!(steps.iter().any(|step| step.contains("_by_principal")), "{statement}\n{steps:#?}");
        }
    }
}
