-- A master key that is taking another's place. There is a row from the announcement until nothing is sealed otherwise.
CREATE TABLE master_key_rotation (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    next_key_id TEXT NOT NULL,
    begun_at BIGINT NOT NULL
);

-- What the servers of this database say about the announced key: whether they hold it.
CREATE TABLE master_key_answers (
    server TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    held BIGINT NOT NULL
);
