-- What the gate counts, by epoch, and what it says.
CREATE TABLE epochs (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    number INTEGER NOT NULL,
    legacy_version TEXT,
    candidate_version TEXT,
    rules TEXT NOT NULL,
    because TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    counts JSONB NOT NULL,
    log_e JSONB NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE,
    opened_after BIGINT,
    regressed_at TIMESTAMP WITH TIME ZONE,
    counted_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT epochs_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX epochs_current ON epochs (task) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX epochs_task ON epochs (task, number);
COMMENT ON COLUMN epochs.number IS '1, 2, ... of the task';
COMMENT ON COLUMN epochs.legacy_version IS 'null while nobody told one';
COMMENT ON COLUMN epochs.candidate_version IS 'null while nobody told one';
COMMENT ON COLUMN epochs.rules IS 'fingerprint of the task''s rules';
COMMENT ON COLUMN epochs.because IS 'what began it, in words';
COMMENT ON COLUMN epochs.started_at IS 'pairs of events accepted from then on count';
COMMENT ON COLUMN epochs.ended_at IS 'null while it lasts';
COMMENT ON COLUMN epochs.counts IS 'live, replay, left_out: what was counted -> pairs; standing';
COMMENT ON COLUMN epochs.log_e IS 'logarithms of the e-values, and what was asked of them';
COMMENT ON COLUMN epochs.opened_at IS 'when the statistic first reached its threshold';
COMMENT ON COLUMN epochs.opened_after IS 'how many pairs had been counted then';
COMMENT ON COLUMN epochs.regressed_at IS 'when the opposite one did, after that';
COMMENT ON COLUMN epochs.counted_until IS 'pairs that started before are all counted';
CREATE TABLE gate_corrections (
    pair_id UUID NOT NULL,
    CONSTRAINT gate_corrections_pkey PRIMARY KEY (pair_id)
);
COMMENT ON COLUMN gate_corrections.pair_id IS 'that was judged again; the row goes when that is counted';
CREATE TABLE deployments (
    id UUID NOT NULL,
    side TEXT NOT NULL,
    app TEXT,
    version TEXT NOT NULL,
    tasks TEXT[] NOT NULL,
    actor TEXT NOT NULL,
    note TEXT,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT deployments_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN deployments.app IS 'the platform''s name for it, or the catalogue''s for the platform; null: all';
CREATE TABLE sign_offs (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    epoch UUID NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoked_by TEXT,
    CONSTRAINT sign_offs_pkey PRIMARY KEY (id)
);
CREATE INDEX sign_offs_epoch ON sign_offs (epoch);
COMMENT ON COLUMN sign_offs.epoch IS 'with which it ends';
CREATE TABLE gates (
    task TEXT NOT NULL,
    open BOOLEAN NOT NULL,
    report JSONB NOT NULL,
    evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT gates_pkey PRIMARY KEY (task)
);
COMMENT ON COLUMN gates.report IS 'see gate/report.py';
COMMENT ON COLUMN gates.changed_at IS 'since when it is open, or closed';
ALTER TABLE pairs ADD COLUMN starts_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN pairs.starts_at IS 'acceptance of its event, or the later start that was asked for: the order in which pairs are counted';
ALTER TABLE pairs ADD COLUMN counted TEXT;
COMMENT ON COLUMN pairs.counted IS 'as what it stands in its epoch; null until the gate has come to it';
ALTER TABLE pairs ADD COLUMN counted_in UUID;
COMMENT ON COLUMN pairs.counted_in IS 'the epoch';
ALTER TABLE pairs ADD COLUMN counted_place BIGINT;
COMMENT ON COLUMN pairs.counted_place IS 'the how-manieth of its epoch it was; null where it was left out';
CREATE INDEX pairs_uncounted ON pairs (task, starts_at, id) WHERE counted IS NULL AND starts_at IS NOT NULL;
CREATE INDEX pairs_replays ON pairs (replays) WHERE replays IS NOT NULL;
CREATE INDEX pairs_critical_start ON pairs (task, starts_at, id)
    WHERE verdict = 'mismatch' AND severity = 'critical' AND replay IS NULL;
