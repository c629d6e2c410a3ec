-- Which cluster a connection leads to, and under which names people arrive there. Lists are lines: neither a thumbprint
-- nor a template holds a line break.

ALTER TABLE clusters ADD COLUMN identified_at BIGINT;

ALTER TABLE clusters ADD COLUMN identity_uid TEXT;

ALTER TABLE clusters ADD COLUMN identity_keys TEXT NOT NULL DEFAULT '';

-- Since when grants are suspended, because the connection leads to another cluster than before.
ALTER TABLE clusters ADD COLUMN suspended_at BIGINT;

ALTER TABLE clusters ADD COLUMN user_names TEXT NOT NULL DEFAULT '{id}';

ALTER TABLE clusters ADD COLUMN group_names TEXT NOT NULL DEFAULT '{id}';

ALTER TABLE clusters ADD COLUMN group_members TEXT NOT NULL DEFAULT 'as-presented';
