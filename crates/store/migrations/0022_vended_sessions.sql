-- Of one agency there may be a session for each of thousands of pods: how many one user has is found by their name.
CREATE INDEX sessions_by_name ON sessions (principal_id, name, expires_at);

-- For whom sessions were vended: by these they are counted, and found when the service account is gone. The pod is empty for
-- tokens that are bound to none.
CREATE TABLE vended_sessions (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    cluster_id TEXT NOT NULL,
    service_account_uid TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX vended_sessions_by_pod ON vended_sessions (cluster_id, service_account_uid, pod_uid, expires_at);

CREATE INDEX service_account_ends_by_time ON service_account_ends (ended_at);
