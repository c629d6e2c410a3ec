-- Of one agency there may be a session for each of thousands of pods: how many one pod has is found by their name.
CREATE INDEX sessions_by_name ON sessions (principal_id, name, expires_at);
