-- One text for SQLite and PostgreSQL: TEXT and BIGINT only, times in milliseconds since 1970 UTC, booleans as 0 and 1.

CREATE TABLE installation (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    demo BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- The write lock of an account, and the order of its commits.
CREATE TABLE revision (
    account_id TEXT PRIMARY KEY,
    n BIGINT NOT NULL
);

-- Every id that was ever given, so that none is given again.
CREATE TABLE used_ids (
    space TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (space, id)
);

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE enterprise_projects (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE principals (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL CHECK (kind IN ('user', 'group', 'agency')),
    name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    root BIGINT NOT NULL,
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, kind, name)
);

CREATE TABLE external_ids (
    account_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal_id TEXT NOT NULL REFERENCES principals (id),
    PRIMARY KEY (account_id, issuer, subject)
);

CREATE INDEX external_ids_by_principal ON external_ids (principal_id);

CREATE TABLE memberships (
    group_id TEXT NOT NULL REFERENCES principals (id),
    user_id TEXT NOT NULL REFERENCES principals (id),
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES principals (id),
    sealed_secret TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX access_keys_by_user ON access_keys (user_id);

CREATE TABLE tokens (
    hash TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES principals (id),
    project_id TEXT REFERENCES projects (id),
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE clusters (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    project_id TEXT NOT NULL REFERENCES projects (id),
    enterprise_project_id TEXT REFERENCES enterprise_projects (id),
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    region TEXT NOT NULL,
    owner_id TEXT REFERENCES principals (id),
    server TEXT,
    sealed_connection TEXT,
    connection_version BIGINT NOT NULL,
    connection_state TEXT NOT NULL,
    connection_reason TEXT NOT NULL,
    kubernetes_version TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    removed_at BIGINT
);

-- A removed cluster's record stays until its bindings are gone; its name is free at once.
CREATE UNIQUE INDEX clusters_by_name ON clusters (account_id, name) WHERE removed_at IS NULL;

CREATE TABLE cluster_labels (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    label_key TEXT NOT NULL,
    label_value TEXT NOT NULL,
    PRIMARY KEY (cluster_id, label_key)
);

-- A grant is a rule. Its lists are rows so that ids have foreign keys; the product is never stored.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    all_clusters BIGINT NOT NULL,
    all_namespaces BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX grants_by_account ON grants (account_id, created_at, id);

CREATE TABLE grant_principals (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    ordinal BIGINT NOT NULL,
    principal_id TEXT NOT NULL REFERENCES principals (id),
    PRIMARY KEY (grant_id, principal_id)
);

CREATE INDEX grant_principals_by_principal ON grant_principals (principal_id);

CREATE TABLE grant_clusters (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    ordinal BIGINT NOT NULL,
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    PRIMARY KEY (grant_id, cluster_id)
);

CREATE INDEX grant_clusters_by_cluster ON grant_clusters (cluster_id);

CREATE TABLE grant_namespaces (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    ordinal BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    PRIMARY KEY (grant_id, namespace)
);

CREATE TABLE grant_states (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    observed_generation BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, grant_id)
);

CREATE INDEX grant_states_by_grant ON grant_states (grant_id);

-- Names of bindings that we applied and whose deletion was not observed yet. Namespace '' is a ClusterRoleBinding.
CREATE TABLE applied_names (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (cluster_id, namespace, name)
);

CREATE TABLE audit_events (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    request_id TEXT NOT NULL,
    source TEXT NOT NULL
);

CREATE INDEX audit_events_by_account ON audit_events (account_id, revision);
