-- Each cluster has two users of pod identity: as one its nodes follow and vend, as the other the keys of both are renewed.
CREATE TABLE agents_next (
    user_id TEXT PRIMARY KEY REFERENCES principals (id),
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    role TEXT NOT NULL CHECK (role IN ('node', 'keeper')),
    UNIQUE (cluster_id, role)
);

INSERT INTO agents_next (user_id, cluster_id, role) SELECT user_id, cluster_id, 'node' FROM agents;

DROP TABLE agents;

ALTER TABLE agents_next RENAME TO agents;

-- Keys of both that were made together, and by which keeper's key they were replaced. Kept for as long as the keeper's key is
-- there.
CREATE TABLE agent_pairs (
    keeper_key_id TEXT PRIMARY KEY,
    node_key_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    made_at BIGINT NOT NULL,
    -- Whether the keeper asked for it, and not somebody else.
    renewal BIGINT NOT NULL,
    replaced_by TEXT
);

CREATE INDEX agent_pairs_by_cluster ON agent_pairs (cluster_id);

-- How often everything was ended that an association had vended.
ALTER TABLE associations ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
