-- What clusters answered about the credentials of their connections. Answers that are the same as the ones before make no row
-- of their own: the row says from when to when they were given.
CREATE TABLE checks (
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    number BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    found TEXT NOT NULL,
    PRIMARY KEY (cluster_id, number)
);
