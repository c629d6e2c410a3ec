-- Most states of a busy installation are finished revokes; workers ask for the others with every pass.
CREATE INDEX grant_states_unfinished ON grant_states (cluster_id, grant_id) WHERE state <> 'revoked';
