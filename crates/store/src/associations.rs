//! Pod identity associations, and what became of those that are gone.

use std::collections::BTreeMap;

use domain::{
    AccountId, Association, AssociationId, ClusterId, Error, Namespace, PrincipalId, Result,
    ServiceAccountName, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database, unless_taken};
use crate::transaction::{ReadTx, WriteTx};

/// What an association's row is read as.
macro_rules! columns {
    () => {
        "SELECT a.id, a.account_id, a.cluster_id, a.namespace, a.service_account, a.agency_id, a.tags, a.epoch, \
         a.ended, a.revision, a.created_at, a.modified_at FROM associations a "
    };
}

impl WriteTx {
    /// Adds an association, which gets this commit's revision.
    ///
    /// # Errors
    /// `Conflict` if the service account has one.
    pub async fn insert_association(&mut self, new: &Association) -> Result<()> {
        self.take_id("association", "association", new.id.as_str()).await?;
        let revision = self.revision();
        let done = sqlx::query(
            "INSERT INTO associations (id, account_id, cluster_id, namespace, service_account, agency_id, tags, epoch, \
             revision, created_at, modified_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        )
        .bind(new.id.as_str())
        .bind(new.account.as_str())
        .bind(new.cluster.as_str())
        .bind(new.namespace.as_str())
        .bind(new.service_account.as_str())
        .bind(new.agency.as_str())
        .bind(lines_of(&new.tags))
        .bind(new.epoch)
        .bind(revision)
        .bind(new.created_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(done, || {
            let message = format!(
                "service account `{}/{}` has an association in this cluster already",
                new.namespace, new.service_account
            );
            Error::conflict(message)
        })?;
        Ok(())
    }

    /// Gives an association another agency, and ends what was vended by it so many times more. Returns whether it is there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_association_agency(
        &mut self,
        id: &AssociationId,
        (agency, ends): (&PrincipalId, i64),
        now: Timestamp,
    ) -> Result<bool> {
        if ends > 0 {
            self.note_ended();
        }
        let (account, revision) = (self.account().clone(), self.revision());
        let done = sqlx::query(
            "UPDATE associations SET agency_id = $3, epoch = epoch + 1, revision = $4, modified_at = $5, ended = ended + $6 \
             WHERE account_id = $1 AND id = $2",
        )
        .bind(account.as_str())
        .bind(id.as_str())
        .bind(agency.as_str())
        .bind(revision)
        .bind(now.as_millis())
        .bind(ends)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends everything that was vended by the associations of a cluster, which stay. Agents are told.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_vended_in_cluster(&mut self, cluster: &ClusterId) -> Result<()> {
        let revision = self.revision();
        self.note_ended();
        sqlx::query(
            "UPDATE associations SET epoch = epoch + 1, revision = $2, ended = ended + 1 WHERE cluster_id = $1",
        )
        .bind(cluster.as_str())
        .bind(revision)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Deletes an association, and remembers that it was there. Returns whether it was. What was vended by it is over,
    /// because it is an ancestor of it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_association(&mut self, id: &AssociationId, now: Timestamp) -> Result<bool> {
        let (account, revision) = (self.account().clone(), self.revision());
        sqlx::query(
            "INSERT INTO association_ends (id, account_id, cluster_id, revision, ended_at) \
             SELECT id, account_id, cluster_id, $3, $4 FROM associations WHERE account_id = $1 AND id = $2",
        )
        .bind(account.as_str())
        .bind(id.as_str())
        .bind(revision)
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.note_ended();
        let done = sqlx::query("DELETE FROM associations WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// An association of the account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn association(&mut self, account: &AccountId, id: &str) -> Result<Option<Association>> {
        let row = sqlx::query(concat!(columns!(), "WHERE a.account_id = $1 AND a.id = $2"))
            .bind(account.as_str())
            .bind(id)
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.as_ref().map(association).transpose()
    }

    /// The association of a service account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn association_of(
        &mut self,
        cluster: &ClusterId,
        namespace: &str,
        service_account: &str,
    ) -> Result<Option<Association>> {
        let row = sqlx::query(concat!(
            columns!(),
            "WHERE a.cluster_id = $1 AND a.namespace = $2 AND a.service_account = $3"
        ))
        .bind(cluster.as_str())
        .bind(namespace)
        .bind(service_account)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(association).transpose()
    }

    /// The associations of a cluster that were changed after `after`, by namespace and service account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn associations_of_cluster(
        &mut self,
        cluster: &ClusterId,
        after: i64,
    ) -> Result<Vec<Association>> {
        let rows = sqlx::query(concat!(
            columns!(),
            "WHERE a.cluster_id = $1 AND a.revision > $2 ORDER BY a.namespace, a.service_account"
        ))
        .bind(cluster.as_str())
        .bind(after)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(association).collect()
    }

    /// The associations of which an agency is one half.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn associations_of_agency(&mut self, agency: &PrincipalId) -> Result<Vec<Association>> {
        let rows = sqlx::query(concat!(columns!(), "WHERE a.agency_id = $1 ORDER BY a.id"))
            .bind(agency.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter().map(association).collect()
    }

    /// How many associations a cluster has.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_associations_of(&mut self, cluster: &ClusterId) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM associations WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .fetch_one(self.connection())
            .await
            .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// The names that the agencies of a cluster's associations have now.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn agency_names_of_cluster(
        &mut self,
        cluster: &ClusterId,
    ) -> Result<BTreeMap<PrincipalId, String>> {
        let rows = sqlx::query(
            "SELECT p.id, p.name FROM principals p \
             WHERE p.id IN (SELECT a.agency_id FROM associations a WHERE a.cluster_id = $1)",
        )
        .bind(cluster.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                Ok((PrincipalId::stored(&id), row.try_get("name").map_err(database)?))
            })
            .collect()
    }
}

fn association(row: &AnyRow) -> Result<Association> {
    let text = |column| row.try_get::<String, _>(column).map_err(database);
    let number = |column| row.try_get::<i64, _>(column).map_err(database);
    let id = text("id")?;
    let tags = tags_of(&text("tags")?).ok_or_else(|| corrupt("associations", "tags", &id))?;
    Ok(Association {
        id: AssociationId::stored(&id),
        account: AccountId::stored(&text("account_id")?),
        cluster: ClusterId::stored(&text("cluster_id")?),
        namespace: Namespace::stored(&text("namespace")?),
        service_account: ServiceAccountName::stored(&text("service_account")?),
        agency: PrincipalId::stored(&text("agency_id")?),
        tags,
        epoch: number("epoch")?,
        ended: number("ended")?,
        revision: number("revision")?,
        created_at: Timestamp::from_millis(number("created_at")?),
        modified_at: Timestamp::from_millis(number("modified_at")?),
    })
}

/// Tags as they are stored: key and value on a line each. Neither has a line break in it.
fn lines_of(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(key, value)| format!("{key}\n{value}\n")).collect()
}

fn tags_of(lines: &str) -> Option<BTreeMap<String, String>> {
    let mut lines = lines.lines();
    let mut tags = BTreeMap::new();
    while let Some(key) = lines.next() {
        tags.insert(key.to_owned(), lines.next()?.to_owned());
    }
    Some(tags)
}
