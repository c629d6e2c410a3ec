-- Whether this database is the one that clusters know, or an older copy; what it may do until somebody says so; and
-- what every grant ever said, so that a right is taken away for a recorded reason.

-- One row for each start of a server and each confirmation; total is the sum of revision.n at that instant.
CREATE TABLE lineage (
    seq BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    total BIGINT NOT NULL,
    at BIGINT NOT NULL
);

-- While there is a row, nothing is applied and nobody is let in.
CREATE TABLE hold (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    since BIGINT NOT NULL,
    reason TEXT NOT NULL
);

-- What workers would do if there were no hold; shown to whoever is to confirm it.
CREATE TABLE held_plans (
    cluster_id TEXT PRIMARY KEY REFERENCES clusters (id),
    at BIGINT NOT NULL,
    grows BIGINT NOT NULL,
    shrinks BIGINT NOT NULL,
    lines TEXT NOT NULL
);

-- No foreign key to grants: the record must outlive what it is about.
CREATE TABLE grant_history (
    grant_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    role TEXT NOT NULL,
    revoked BIGINT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (grant_id, generation)
);

CREATE INDEX grant_history_by_role ON grant_history (account_id, role);

-- Bindings that no recorded revoke explains the end of, and whether somebody said that they may go.
CREATE TABLE waiting_removals (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    what TEXT NOT NULL,
    since BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, namespace, name)
);
