-- What follows a move: legacy's runs that are still to end, and the candidate's that have ended with authority.
CREATE INDEX runs_draining ON runs (task, id) WHERE side = 'legacy' AND authority = 'real' AND state <> 'finished';
CREATE INDEX runs_awaited ON runs (task, id) WHERE side = 'candidate' AND authority = 'real' AND state <> 'finished';
CREATE INDEX runs_acting ON runs (task, finished_at) WHERE side = 'candidate' AND authority = 'real' AND state = 'finished';
CREATE INDEX pairs_critical ON pairs (task, id)
    WHERE verdict = 'mismatch' AND severity = 'critical' AND replay IS NULL;
