-- What an agency is beside a principal: whom it trusts and how long its sessions may be. An agency without a row trusts
-- nobody.
CREATE TABLE agency_details (
    agency_id TEXT PRIMARY KEY REFERENCES principals (id),
    trust_policy TEXT,
    trusted_account_id TEXT,
    max_session_seconds BIGINT NOT NULL,
    description TEXT NOT NULL,
    path TEXT NOT NULL,
    expires_at BIGINT
);

-- How often everything that somebody, their password or a key had begun was ended. A session remembers the number it
-- began with, so it stays ended also if whoever it came from is let in again.
ALTER TABLE principals ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;

ALTER TABLE principals ADD COLUMN passwords_set BIGINT NOT NULL DEFAULT 0;

ALTER TABLE access_keys ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;

-- Tokens and temporary keys. The id of a temporary key is its access key id, the proof is the token or the security token.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('token', 'temporary-key')),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    principal_id TEXT NOT NULL REFERENCES principals (id),
    project_id TEXT REFERENCES projects (id),
    name TEXT NOT NULL,
    methods TEXT NOT NULL,
    assumer_id TEXT,
    limits TEXT NOT NULL,
    tags TEXT NOT NULL,
    source_identity TEXT NOT NULL,
    proof_hash TEXT NOT NULL UNIQUE,
    sealed_secret TEXT,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_expiry ON sessions (account_id, expires_at);

CREATE INDEX sessions_by_principal ON sessions (principal_id);

-- Everything a session came from, at any depth, itself not included: it ends with each of them. Ancestors may belong to
-- another account. There is no reference to them, because what is gone must stay named here: that is how its
-- descendants are known to be over.
CREATE TABLE session_ancestors (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('principal', 'password', 'access-key', 'session')),
    ancestor_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (session_id, kind, ancestor_id)
);

CREATE INDEX session_ancestors_by_ancestor ON session_ancestors (kind, ancestor_id);

INSERT INTO sessions (id, kind, account_id, principal_id, project_id, name, methods, limits, tags, source_identity,
    proof_hash, issued_at, expires_at)
SELECT substr(hash, 1, 32), 'token', account_id, user_id, project_id, '', 'password', '[]', '[]', '', hash, issued_at,
    expires_at
FROM tokens;

INSERT INTO session_ancestors (session_id, kind, ancestor_id, account_id, epoch)
SELECT substr(hash, 1, 32), 'principal', user_id, account_id, 0 FROM tokens;

INSERT INTO session_ancestors (session_id, kind, ancestor_id, account_id, epoch)
SELECT substr(hash, 1, 32), 'password', user_id, account_id, 0 FROM tokens;

DROP TABLE tokens;
