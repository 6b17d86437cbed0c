-- What runs cost, by task, side and day.
ALTER TABLE runs ADD COLUMN executions INTEGER;
COMMENT ON COLUMN runs.executions IS 'of the run and its steps together, where somebody told';
CREATE TABLE cost_changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID,
    task TEXT NOT NULL,
    side TEXT NOT NULL,
    platform TEXT NOT NULL,
    day DATE NOT NULL,
    runs INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cents FLOAT NOT NULL,
    told INTEGER NOT NULL,
    executions BIGINT NOT NULL,
    CONSTRAINT cost_changes_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN cost_changes.event_id IS 'of the run''s event, which says what it was for; null: nothing of ours';
COMMENT ON COLUMN cost_changes.day IS 'UTC, on which the run ended';
COMMENT ON COLUMN cost_changes.priced IS 'of them, those of which the platform said what they cost';
COMMENT ON COLUMN cost_changes.cents IS 'what it said';
COMMENT ON COLUMN cost_changes.told IS 'of them, those whose executions somebody told';
COMMENT ON COLUMN cost_changes.executions IS 'what they said';
CREATE TABLE cost_tallies (
    task TEXT NOT NULL,
    side TEXT NOT NULL,
    platform TEXT NOT NULL,
    purpose TEXT NOT NULL,
    day DATE NOT NULL,
    runs BIGINT NOT NULL,
    priced BIGINT NOT NULL,
    cents FLOAT NOT NULL,
    told BIGINT NOT NULL,
    executions BIGINT NOT NULL,
    CONSTRAINT cost_tallies_pkey PRIMARY KEY (task, side, platform, purpose, day)
);
COMMENT ON COLUMN cost_tallies.purpose IS 'of the event: live, replay, canary, legacy_twice; or unsolicited';
-- Runs that ended before there were tallies: counted once, here.
INSERT INTO cost_tallies (task, side, platform, purpose, day, runs, priced, cents, told, executions)
SELECT run.task, run.side, run.platform, coalesce(event.purpose, 'unsolicited'),
       (run.finished_at AT TIME ZONE 'UTC')::date, count(*), count(run.cost_cents), coalesce(sum(run.cost_cents), 0), 0, 0
FROM runs AS run LEFT JOIN events AS event ON event.id = run.event_id
WHERE run.state = 'finished' AND run.finished_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;
