-- Policies that an account wrote. Those that are shipped live in the program and have rows in attachments only.
CREATE TABLE policies (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    default_version BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE policy_versions (
    policy_id TEXT NOT NULL REFERENCES policies (id),
    version BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (policy_id, version)
);

-- Who holds which policy, in which part of the account. An empty scope_id is the whole account.
CREATE TABLE attachments (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    principal_id TEXT NOT NULL REFERENCES principals (id),
    policy_id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('account', 'project', 'enterprise-project')),
    scope_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal_id, policy_id, scope, scope_id)
);

CREATE INDEX attachments_by_policy ON attachments (account_id, policy_id);

-- Why a caller was refused, and the short id that the caller was told.
ALTER TABLE audit_events ADD COLUMN detail TEXT NOT NULL DEFAULT '';

ALTER TABLE audit_events ADD COLUMN explanation_id TEXT NOT NULL DEFAULT '';
