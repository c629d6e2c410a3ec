-- The audit becomes readable: how it ended, how often, and what the actor was called then. Events of nobody's account
-- (failures without valid credentials) have the account ''.

ALTER TABLE audit_events ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';

ALTER TABLE audit_events ADD COLUMN occurrences BIGINT NOT NULL DEFAULT 1;

ALTER TABLE audit_events ADD COLUMN actor_name TEXT NOT NULL DEFAULT '';

CREATE INDEX audit_events_in_order ON audit_events (account_id, at, id);

CREATE INDEX audit_events_by_age ON audit_events (at);
