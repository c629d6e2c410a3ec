-- Signed requests that changed something, until their signatures are good no longer. The same signature always comes with
-- the same end, so the key is unique by signature, grows at its end, and old rows go from its beginning.
CREATE TABLE signed_requests (
    valid_until BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (valid_until, account_id, digest)
);
