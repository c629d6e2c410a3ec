-- When somebody was last seen in a cluster, and of which time that is known at all: both from the cluster's own audit log.
CREATE TABLE activity (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    principal_id TEXT NOT NULL REFERENCES principals (id),
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, principal_id)
);

CREATE INDEX activity_by_principal ON activity (principal_id);

CREATE TABLE activity_coverage (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, from_at)
);

-- Since when somebody is called what they are called, and since when a cluster's names are made as they are: a log from
-- before says other names, which were nobody's when it was read.
ALTER TABLE principals ADD COLUMN named_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE clusters ADD COLUMN arrival_at BIGINT NOT NULL DEFAULT 0;
