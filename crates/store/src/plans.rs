//! How SQLite goes about statements that must not read all grants of an account. It knows nothing about how many rows a
//! table has, and would take an account for ten.

use sqlx::Row;

use crate::administered::{ADMINISTERED, ADMINISTERED_NAMESPACES, GRANTED};
use crate::permissions::{AS_OF, CHANGES, CLUSTERS, HELD, LAST_VERSIONS, NAMESPACES, PRINCIPALS, REVISION};
use crate::testing::databases;

#[tokio::test]
async fn what_one_principal_holds_is_found_without_reading_the_grants_of_the_account() {
    for database in databases().await {
        if database.name() != "SQLite" {
            continue;
        }
        let store = database.open().await;
        let statements = [
            HELD,
            PRINCIPALS,
            CLUSTERS,
            NAMESPACES,
            LAST_VERSIONS,
            REVISION,
            CHANGES,
            AS_OF,
            ADMINISTERED,
            ADMINISTERED_NAMESPACES,
            GRANTED,
        ];
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

#[tokio::test]
async fn whether_a_session_lives_is_found_without_reading_what_was_vended_to_others() {
    let database = crate::testing::embedded();
    let store = database.open().await;
    let lent =
        concat!("SELECT 1 FROM certificates c WHERE c.id = $1 AND ", crate::certificates::still_asked!());
    for statement in [crate::sessions::LIVING, lent] {
        let mut tx = store.read().await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain).fetch_all(tx.connection()).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        // Of what was put together for one session a handful of rows is read.
        let few = |step: &str| ["SCAN a", "SCAN o", "SCAN CONSTANT ROW"].contains(&step);
        let reads_all = |step: &&String| step.starts_with("SCAN") && !few(step);
        assert_eq!(steps.iter().find(reads_all), None, "{statement}\n{steps:#?}");
        let by_id = |step: &String| step.contains("sqlite_autoindex_vended_sessions_1 (id=?)");
        assert!(steps.iter().any(by_id), "{statement}\n{steps:#?}");
    }
}

#[tokio::test]
async fn a_page_of_the_audit_is_found_without_sorting_all_of_it() {
    let database = crate::testing::embedded();
    let store = database.open().await;
    assert_eq!(crate::audit::PAGE.matches(crate::VENDED).count(), 2, "it is called so in the statement, too");
    let mut tx = store.read().await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", crate::audit::PAGE));
    let rows = sqlx::query(explain).fetch_all(tx.connection()).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    for (index, page) in
        [("audit_events_in_order", "SCAN events"), ("vended_sessions_in_order", "SCAN vended")]
    {
        let found = steps.iter().position(|step| step.starts_with("SEARCH") && step.contains(index));
        // What follows reads a page; a page may be sorted, and not what it is taken from.
        let next = found.and_then(|found| steps.get(found + 1)).map(String::as_str);
        assert_eq!(next, Some(page), "{steps:#?}");
    }
}

#[tokio::test]
async fn postgresql_reads_a_page_of_the_audit_in_its_order_too() {
    for database in databases().await {
        if database.name() == "SQLite" {
            continue;
        }
        let store = database.open().await;
        let mut tx = store.read().await.unwrap();
        // An empty table would be read as a whole and sorted; what is asked is whether it can be done otherwise.
        for way in ["seqscan", "sort", "bitmapscan", "incremental_sort"] {
            let off = sqlx::AssertSqlSafe(format!("SET LOCAL enable_{way} = off"));
            sqlx::query(off).execute(tx.connection()).await.unwrap();
        }
        let mut page = crate::audit::PAGE.to_owned();
        for (number, value) in
            [(11, "100"), (10, "''"), (9, "''"), (8, "''"), (7, "''"), (6, "''"), (5, "9"), (4, "0")]
        {
            page = page.replace(&format!("${number}"), value);
        }
        let page = page.replace("$3", "''").replace("$2", "0").replace("$1", "'a'");
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {page}"));
        let rows = sqlx::query(explain).fetch_all(tx.connection()).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for index in ["audit_events_in_order", "vended_sessions_in_order"] {
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:#?}");
        }
        // One sorts both pages together, and nothing is sorted below it.
        assert_eq!(steps.iter().filter(|step| step.contains("Sort ")).count(), 1, "{steps:#?}");
    }
}
