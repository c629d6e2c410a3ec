//! Every place in which a sealed value is kept, for sealing all of them anew.

use domain::Result;
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// A column of sealed values. A sealed value is `v1:`, 16 letters that name the key, `:`, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// The secret half of access keys.
    AccessKeys,
    /// The connections of clusters, removed ones too while they have one.
    Connections,
    /// The key that seals stamps.
    StampKeys,
    /// The secret half of temporary keys.
    TemporaryKeys,
}

/// A sealed value in its row.
#[derive(Clone, Debug)]
pub struct SealedValue {
    /// The row's id.
    pub id: String,
    /// The value.
    pub sealed: String,
}

/// The statements about one column.
struct Statements {
    otherwise: &'static str,
    replace: &'static str,
    count: &'static str,
}

impl Sealed {
    /// All of them. A test compares this with the schema.
    pub const ALL: [Self; 4] = [Self::AccessKeys, Self::Connections, Self::StampKeys, Self::TemporaryKeys];

    fn statements(self) -> Statements {
        match self {
            Self::AccessKeys => Statements {
                otherwise: "SELECT id, sealed_secret AS sealed FROM access_keys \
                            WHERE account_id = $1 AND substr(sealed_secret, 4, 16) <> $2 AND id > $3 \
                            ORDER BY id LIMIT $4",
                replace: "UPDATE access_keys SET sealed_secret = $4 \
                          WHERE account_id = $1 AND id = $2 AND sealed_secret = $3",
                count: "SELECT substr(sealed_secret, 4, 16) AS key_id, COUNT(*) AS n FROM access_keys \
                        GROUP BY substr(sealed_secret, 4, 16)",
            },
            Self::Connections => Statements {
                otherwise: "SELECT id, sealed_connection AS sealed FROM clusters \
                            WHERE account_id = $1 AND substr(sealed_connection, 4, 16) <> $2 AND id > $3 \
                            ORDER BY id LIMIT $4",
                replace: "UPDATE clusters SET sealed_connection = $4 \
                          WHERE account_id = $1 AND id = $2 AND sealed_connection = $3",
                count: "SELECT substr(sealed_connection, 4, 16) AS key_id, COUNT(*) AS n FROM clusters \
                        WHERE sealed_connection IS NOT NULL GROUP BY substr(sealed_connection, 4, 16)",
            },
            Self::StampKeys => Statements {
                otherwise: "SELECT id, sealed_key AS sealed FROM stamp_keys \
                            WHERE account_id = $1 AND substr(sealed_key, 4, 16) <> $2 AND id > $3 \
                            ORDER BY id LIMIT $4",
                replace: "UPDATE stamp_keys SET sealed_key = $4 \
                          WHERE account_id = $1 AND id = $2 AND sealed_key = $3",
                count: "SELECT substr(sealed_key, 4, 16) AS key_id, COUNT(*) AS n FROM stamp_keys \
                        GROUP BY substr(sealed_key, 4, 16)",
            },
            Self::TemporaryKeys => Statements {
                otherwise: "SELECT id, sealed_secret AS sealed FROM sessions \
                            WHERE account_id = $1 AND substr(sealed_secret, 4, 16) <> $2 AND id > $3 \
                            ORDER BY id LIMIT $4",
                replace: "UPDATE sessions SET sealed_secret = $4 \
                          WHERE account_id = $1 AND id = $2 AND sealed_secret = $3",
                count: "SELECT substr(sealed_secret, 4, 16) AS key_id, COUNT(*) AS n FROM sessions \
                        WHERE sealed_secret IS NOT NULL GROUP BY substr(sealed_secret, 4, 16)",
            },
        }
    }
}

impl WriteTx {
    /// Values of the account that another key than `key_id` sealed, by id, after the row `after`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn sealed_otherwise(
        &mut self,
        what: Sealed,
        key_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SealedValue>> {
        let account = self.account().clone();
        let rows = sqlx::query(what.statements().otherwise)
            .bind(account.as_str())
            .bind(key_id)
            .bind(after)
            .bind(limit)
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id = row.try_get("id").map_err(database)?;
                Ok(SealedValue { id, sealed: row.try_get("sealed").map_err(database)? })
            })
            .collect()
    }

    /// Puts a value that was sealed anew in the place of the one it was made of. Returns whether that was still there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn replace_sealed(&mut self, what: Sealed, former: &SealedValue, sealed: &str) -> Result<bool> {
        let account = self.account().clone();
        let done = sqlx::query(what.statements().replace)
            .bind(account.as_str())
            .bind(former.id.as_str())
            .bind(former.sealed.as_str())
            .bind(sealed)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// How many values each key sealed, over all accounts: (id of the key, number).
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn sealed_by(&mut self, what: Sealed) -> Result<Vec<(String, i64)>> {
        let rows =
            sqlx::query(what.statements().count).fetch_all(self.connection()).await.map_err(database)?;
        rows.iter()
            .map(|row| Ok((row.try_get("key_id").map_err(database)?, row.try_get("n").map_err(database)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `table.column` of every column of the schema whose name says that it is sealed.
    fn in_the_schema() -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for sql in crate::migrate::texts() {
            let mut table = String::new();
            for line in sql.lines().map(str::trim) {
                let mut words = line.split([' ', ',', '(']).filter(|word| !word.is_empty());
                if let Some(rest) =
                    line.strip_prefix("CREATE TABLE ").or_else(|| line.strip_prefix("ALTER TABLE "))
                {
                    table = rest.split(' ').next().unwrap_or_default().to_owned();
                }
                let column = words.find(|word| word.starts_with("sealed_"));
                if let Some(column) = column.filter(|_| line.contains(" TEXT")) {
                    found.insert(format!("{table}.{column}"));
                }
            }
        }
        found
    }

    #[test]
    fn every_sealed_column_of_the_schema_is_sealed_anew_when_the_key_changes() {
        let known = Sealed::ALL.map(|what| {
            let words: Vec<&str> = what.statements().replace.split(' ').collect();
            format!("{}.{}", words[1], words[3])
        });
        assert_eq!(in_the_schema(), known.into_iter().collect());
    }
}
