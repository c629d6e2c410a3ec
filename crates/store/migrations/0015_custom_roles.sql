-- What a grant of a custom role is accepted to allow in a cluster: the rules of its ClusterRole as they were when the
-- cluster's worker first bound it, or first looked after somebody confirmed it.
CREATE TABLE accepted_roles (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    cluster_role TEXT NOT NULL,
    digest TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, grant_id)
);

CREATE INDEX accepted_roles_by_grant ON accepted_roles (grant_id);
CREATE INDEX accepted_roles_by_digest ON accepted_roles (cluster_id, digest);

-- The rules themselves, once however many grants were accepted with them. Those that were too many are not here.
CREATE TABLE accepted_rules (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (cluster_id, digest)
);
