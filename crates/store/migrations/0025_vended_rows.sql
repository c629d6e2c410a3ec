-- What is vended to pods is one row that is written once: the session, the line of the audit, and the memory of the request
-- that asked for it. Keys follow from their ids, which grow with time, so that a burst of thousands appends to one table. It
-- stays for as long as the audit is kept.

-- The service accounts that sessions were vended for, and until when at the most.
CREATE TABLE vended_service_accounts (
    cluster_id TEXT NOT NULL,
    uid TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, uid)
);

INSERT INTO vended_service_accounts (cluster_id, uid, until)
SELECT cluster_id, service_account_uid, MAX(expires_at) FROM vended_sessions GROUP BY cluster_id, service_account_uid;

-- What was vended until now stays where all sessions are, and ends there.
DROP TABLE vended_sessions;

-- Nothing refers to other tables: what is gone must stay named here, that is how the row is known to be over.
CREATE TABLE vended_sessions (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    agency_id TEXT NOT NULL,
    agency_ended BIGINT NOT NULL,
    -- Who brought the token; empty if it was the pod itself.
    messenger_id TEXT NOT NULL,
    messenger_ended BIGINT NOT NULL,
    association_id TEXT NOT NULL,
    association_ended BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    namespace TEXT NOT NULL,
    service_account TEXT NOT NULL,
    service_account_uid TEXT NOT NULL,
    service_account_ended BIGINT NOT NULL,
    -- Both empty for tokens that are bound to no pod.
    pod TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    actor_name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    source TEXT NOT NULL
);

CREATE INDEX vended_sessions_in_order ON vended_sessions (account_id, issued_at, id);

CREATE VIEW all_sessions (id, kind, account_id, principal_id, expires_at) AS
SELECT id, kind, account_id, principal_id, expires_at FROM sessions
UNION ALL
SELECT id, 'temporary-key', account_id, agency_id, expires_at FROM vended_sessions;

CREATE VIEW all_ancestors (session_id, kind, ancestor_id, account_id, epoch) AS
SELECT session_id, kind, ancestor_id, account_id, epoch FROM session_ancestors
UNION ALL
SELECT id, 'principal', agency_id, account_id, agency_ended FROM vended_sessions
UNION ALL
SELECT id, 'principal', messenger_id, account_id, messenger_ended FROM vended_sessions WHERE messenger_id <> ''
UNION ALL
SELECT id, 'association', association_id, account_id, association_ended FROM vended_sessions
UNION ALL
SELECT id, 'service-account', cluster_id || '/' || service_account_uid, account_id, service_account_ended
FROM vended_sessions;
