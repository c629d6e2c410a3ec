-- The number of the last commit that changed more than grants: who someone is and what they may do did not change since.
-- What is kept in memory about callers counts until then.
ALTER TABLE revision ADD COLUMN directory BIGINT NOT NULL DEFAULT 0;
