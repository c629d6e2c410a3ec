-- Which of the servers that share a database works for which cluster. No machine's clock is in it: whoever waits
-- watches a counter stand still.

CREATE TABLE servers (
    id TEXT PRIMARY KEY,
    counter BIGINT NOT NULL
);

-- Server '' holds what was given back. The counter moves whenever the holder relies on its lease.
CREATE TABLE leases (
    cluster_id TEXT PRIMARY KEY REFERENCES clusters (id),
    server_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    counter BIGINT NOT NULL
);

CREATE INDEX leases_by_server ON leases (server_id);
