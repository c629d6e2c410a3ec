-- What one principal alone was given, found by principal and commit; through which dialect each version of a grant was
-- said; and the grants that are the right of a cluster's owner.

ALTER TABLE grants ADD COLUMN of_owner BIGINT NOT NULL DEFAULT 0;

ALTER TABLE grant_history ADD COLUMN sole_principal TEXT;

ALTER TABLE grant_history ADD COLUMN dialect TEXT NOT NULL DEFAULT '';

-- Of versions from before this, the principals that the grant has now: nothing else is known in columns.
UPDATE grant_history SET sole_principal = (SELECT MIN(p.principal_id) FROM grant_principals p
    WHERE p.grant_id = grant_history.grant_id GROUP BY p.grant_id HAVING COUNT(*) = 1);

CREATE INDEX grant_history_by_principal ON grant_history (sole_principal, revision);
