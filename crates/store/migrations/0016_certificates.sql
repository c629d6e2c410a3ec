-- Client certificates that clusters signed for people. Neither they nor their keys are kept: what counts is the name, which
-- is bound while the certificate lives. There is no reference to the principal, whose record may go before this one.
CREATE TABLE certificates (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    principal_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL CHECK (principal_kind IN ('user', 'agency')),
    principal_name TEXT NOT NULL,
    user_name TEXT NOT NULL UNIQUE,
    lasting BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    issued_by TEXT NOT NULL,
    -- With what it was asked for, and what that was when it was. It ends when that ends: for an access key, the number of
    -- its `ended`; for a token of one's own, that of its user; what was lent lives only while its session does.
    asked_with TEXT NOT NULL CHECK (asked_with IN ('nothing', 'access-key', 'token', 'lent')),
    asked_id TEXT NOT NULL,
    asked_epoch BIGINT NOT NULL,
    -- When its name is bound no more. Before it is signed that is soon.
    expires_at BIGINT NOT NULL,
    -- When the certificate says that it ends, which may be later; nothing before it is signed.
    not_after BIGINT,
    revoked_at BIGINT
);

CREATE INDEX certificates_by_cluster ON certificates (cluster_id, expires_at);

CREATE INDEX certificates_by_principal ON certificates (principal_id, cluster_id);

CREATE INDEX certificates_by_account ON certificates (account_id, issued_at, id);

CREATE INDEX certificates_by_asked ON certificates (asked_id);

-- For how many hours the lasting certificates of somebody are good in a cluster, where somebody chose that.
CREATE TABLE certificate_lifetimes (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    principal_id TEXT NOT NULL,
    hours BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, principal_id)
);
