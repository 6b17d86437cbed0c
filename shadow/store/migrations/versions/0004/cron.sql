-- The ticks of tasks that a clock starts.
CREATE TABLE ticks (
    task TEXT NOT NULL,
    nominal_at TIMESTAMP WITH TIME ZONE NOT NULL,
    external_id TEXT DEFAULT '' NOT NULL,
    phase TEXT NOT NULL,
    authority TEXT NOT NULL,
    event_id UUID,
    legacy_runs INTEGER DEFAULT '0' NOT NULL,
    candidate_runs INTEGER DEFAULT '0' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    missed_at TIMESTAMP WITH TIME ZONE,
    doubled_at TIMESTAMP WITH TIME ZONE,
    decided_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT ticks_pkey PRIMARY KEY (task, nominal_at, external_id)
);
CREATE INDEX ticks_waiting ON ticks (nominal_at) WHERE event_id IS NULL;
COMMENT ON COLUMN ticks.external_id IS 'of legacy''s schedule, where each is a tenant''s; else empty';
COMMENT ON COLUMN ticks.phase IS 'of the route at the nominal time';
COMMENT ON COLUMN ticks.authority IS 'the side whose run it is: decided once, by the nominal time';
COMMENT ON COLUMN ticks.event_id IS 'that stands for it; null until the run with authority is known';
COMMENT ON COLUMN ticks.legacy_runs IS 'that legacy''s scheduler started';
COMMENT ON COLUMN ticks.candidate_runs IS 'that the candidate''s own trigger started';
COMMENT ON COLUMN ticks.started_at IS 'when the run with authority began, as far as it was told';
COMMENT ON COLUMN ticks.missed_at IS 'when it was late beyond its grace; stays when the run comes after all';
COMMENT ON COLUMN ticks.doubled_at IS 'when a second run of one side was known';
CREATE TABLE tick_marks (
    task TEXT NOT NULL,
    expected_until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT tick_marks_pkey PRIMARY KEY (task)
);
COMMENT ON COLUMN tick_marks.expected_until IS 'nominal times up to then have their rows';
CREATE TABLE queue_copies (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    nominal_at TIMESTAMP WITH TIME ZONE NOT NULL,
    external_id TEXT DEFAULT '' NOT NULL,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    content BYTEA NOT NULL,
    CONSTRAINT queue_copies_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX queue_copies_tick ON queue_copies (task, nominal_at, external_id);
CREATE INDEX queue_copies_taken ON queue_copies (taken_at);
COMMENT ON COLUMN queue_copies.taken_at IS 'by legacy''s database, before its rows were read';
COMMENT ON COLUMN queue_copies.content IS 'the queue''s rows, sealed like a body';
