-- What the vendors' directories tell about principals and keys beside their names.
ALTER TABLE principals ADD COLUMN description TEXT NOT NULL DEFAULT '';

ALTER TABLE principals ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;

UPDATE principals SET updated_at = created_at;

-- When the password was set; nothing where there is none.
ALTER TABLE principals ADD COLUMN password_set_at BIGINT;

UPDATE principals SET password_set_at = created_at WHERE password_hash IS NOT NULL;

-- The last request that an access key signed, to some minutes.
ALTER TABLE access_keys ADD COLUMN last_used_at BIGINT;
