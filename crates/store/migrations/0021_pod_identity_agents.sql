-- Up to which revision of its account it was forgotten which associations of a cluster ended.
CREATE TABLE association_ends_forgotten (
    cluster_id TEXT PRIMARY KEY REFERENCES clusters (id),
    revision BIGINT NOT NULL
);

CREATE INDEX association_ends_by_time ON association_ends (ended_at);

CREATE INDEX associations_by_revision ON associations (cluster_id, revision);

-- Users that are the agent of pod identity in a cluster, and nothing else.
CREATE TABLE agents (
    user_id TEXT PRIMARY KEY REFERENCES principals (id),
    cluster_id TEXT NOT NULL UNIQUE REFERENCES clusters (id)
);

-- From when on a key's signatures are refused; none for one that lasts until somebody ends it.
ALTER TABLE access_keys ADD COLUMN ends_at BIGINT;
