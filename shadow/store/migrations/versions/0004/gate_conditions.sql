-- What the gate's conditions rest on: how runs ended and how long they took, and which shapes were shown.
CREATE TABLE gate_runs (
    epoch UUID NOT NULL,
    neither_failed BIGINT DEFAULT '0' NOT NULL,
    candidate_failed BIGINT DEFAULT '0' NOT NULL,
    legacy_failed BIGINT DEFAULT '0' NOT NULL,
    both_failed BIGINT DEFAULT '0' NOT NULL,
    latency_bound TEXT,
    timed BIGINT DEFAULT '0' NOT NULL,
    slower BIGINT DEFAULT '0' NOT NULL,
    log_ratio DOUBLE PRECISION DEFAULT '0' NOT NULL,
    newest_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT gate_runs_pkey PRIMARY KEY (epoch)
);
COMMENT ON COLUMN gate_runs.neither_failed IS 'pairs';
COMMENT ON COLUMN gate_runs.latency_bound IS 'the one that pairs were held against; with another one they are counted anew';
COMMENT ON COLUMN gate_runs.timed IS 'pairs whose runs completed and took a time that is known';
COMMENT ON COLUMN gate_runs.slower IS 'of which the candidate took longer than the bound';
COMMENT ON COLUMN gate_runs.log_ratio IS 'sum over them of the logarithms of candidate / legacy';
COMMENT ON COLUMN gate_runs.newest_at IS 'when the event of the newest pair that could be compared was accepted';
CREATE TABLE shape_marks (
    what TEXT NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id UUID NOT NULL,
    CONSTRAINT shape_marks_pkey PRIMARY KEY (what)
);
COMMENT ON COLUMN shape_marks.what IS 'legacy';
COMMENT ON COLUMN shape_marks.finished_at IS 'with the run''s id: how far runs were read, in the order in which they ended';
CREATE TABLE task_shapes (
    task TEXT NOT NULL,
    of TEXT NOT NULL,
    shape TEXT NOT NULL,
    legacy_at TIMESTAMP WITH TIME ZONE NOT NULL,
    compared_at TIMESTAMP WITH TIME ZONE,
    example_pair UUID,
    CONSTRAINT task_shapes_pkey PRIMARY KEY (task, of, shape)
);
COMMENT ON COLUMN task_shapes.of IS 'effect or event';
COMMENT ON COLUMN task_shapes.shape IS 'as JSON: of an effect its kind, target and operation; of an event its keys with their types';
COMMENT ON COLUMN task_shapes.legacy_at IS 'when the newest event was accepted whose legacy run showed it';
COMMENT ON COLUMN task_shapes.compared_at IS 'the same of those whose pair was compared';
COMMENT ON COLUMN task_shapes.example_pair IS 'the newest live one that shows it, to be replayed; null: none does';
