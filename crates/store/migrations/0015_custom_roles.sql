-- What a grant of a custom role is accepted to allow in a cluster: the rules of its ClusterRole as they were when the
-- cluster's worker first bound it, or first looked after somebody confirmed it. Without rules where they were too many.
CREATE TABLE accepted_roles (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    cluster_role TEXT NOT NULL,
    digest TEXT NOT NULL,
    rules TEXT,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, grant_id)
);

CREATE INDEX accepted_roles_by_grant ON accepted_roles (grant_id);
