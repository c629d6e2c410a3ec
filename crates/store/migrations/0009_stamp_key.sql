-- The key that seals stamps in clusters. It stays when the master key changes: else nobody could read the stamps that were
-- written before. One row; its account is nobody's, and is there because values are sealed anew account by account.
CREATE TABLE stamp_keys (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    sealed_key TEXT NOT NULL
);
