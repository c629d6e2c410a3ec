-- Pod identity associations: the pods of a service account act as an agency. The agency is kept by its id, so that
-- another one that gets its name later is not taken for it.
CREATE TABLE associations (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    namespace TEXT NOT NULL,
    service_account TEXT NOT NULL,
    agency_id TEXT NOT NULL REFERENCES principals (id),
    -- Key and value on a line each.
    tags TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    UNIQUE (cluster_id, namespace, service_account)
);

CREATE INDEX associations_by_account ON associations (account_id, cluster_id);

CREATE INDEX associations_by_agency ON associations (agency_id);

-- Associations that were there, for agents that ask what changed since. Kept for a while; who asks about an earlier time is
-- told everything.
CREATE TABLE association_ends (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    revision BIGINT NOT NULL,
    ended_at BIGINT NOT NULL
);

CREATE INDEX association_ends_by_cluster ON association_ends (cluster_id, revision);

-- Service accounts that were seen to be gone, as `<cluster id>/<uid>`: what was vended for them is over. Kept longer than the
-- longest credential lives.
CREATE TABLE service_account_ends (
    id TEXT PRIMARY KEY,
    ended_at BIGINT NOT NULL
);

-- A session may also come from an association and from a service account of a cluster.
CREATE TABLE session_ancestors_next (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind TEXT NOT NULL
        CHECK (kind IN ('principal', 'password', 'access-key', 'session', 'association', 'service-account')),
    ancestor_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (session_id, kind, ancestor_id)
);

INSERT INTO session_ancestors_next (session_id, kind, ancestor_id, account_id, epoch)
SELECT session_id, kind, ancestor_id, account_id, epoch FROM session_ancestors;

DROP TABLE session_ancestors;

ALTER TABLE session_ancestors_next RENAME TO session_ancestors;

CREATE INDEX session_ancestors_by_ancestor ON session_ancestors (kind, ancestor_id);
