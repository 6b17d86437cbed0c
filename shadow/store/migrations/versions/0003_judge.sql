-- Decisions: what is allowed to differ, until when, and who said so.
CREATE TABLE allowances (
    id UUID NOT NULL,
    signature TEXT NOT NULL,
    task TEXT NOT NULL,
    tenant TEXT,
    max_severity TEXT NOT NULL,
    acknowledged_critical BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by TEXT,
    pairs BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT allowances_pkey PRIMARY KEY (id)
);
CREATE INDEX allowances_signature ON allowances (signature, id);
CREATE INDEX allowances_task ON allowances (task, id);
CREATE INDEX allowances_standing ON allowances (expires_at) WHERE ended_at IS NULL;
COMMENT ON COLUMN allowances.task IS 'the signature''s';
COMMENT ON COLUMN allowances.tenant IS 'for whose pairs it holds; null: all; empty: those of events without one';
COMMENT ON COLUMN allowances.max_severity IS 'up to which its differences are covered';
COMMENT ON COLUMN allowances.acknowledged_critical IS 'whether the actor said that money or recipients are meant';
COMMENT ON COLUMN allowances.ended_at IS 'null while it stands';
COMMENT ON COLUMN allowances.ended_by IS 'who revoked it; null when it expired';
COMMENT ON COLUMN allowances.pairs IS 'how many have a difference that it covers now';
CREATE TABLE allowance_sweeps (
    allowance UUID NOT NULL,
    position UUID NOT NULL,
    CONSTRAINT allowance_sweeps_pkey PRIMARY KEY (allowance)
);
COMMENT ON COLUMN allowance_sweeps.position IS 'pairs up to this one have their verdict anew';
ALTER TABLE tallies ADD COLUMN allowed BIGINT DEFAULT '0' NOT NULL;
ALTER TABLE differences ADD COLUMN allowance UUID;
COMMENT ON COLUMN differences.allowance IS 'that covers it';
ALTER TABLE signatures ADD COLUMN allowed BIGINT DEFAULT '0' NOT NULL;
ALTER TABLE signatures ADD COLUMN example_differences INTEGER DEFAULT '0' NOT NULL;
COMMENT ON COLUMN signatures.allowed IS 'in how many of them it is allowed';
COMMENT ON COLUMN signatures.example_differences IS 'of the representative pair: the fewer, the easier to read';
ALTER TABLE pairs ADD COLUMN rules TEXT;
COMMENT ON COLUMN pairs.rules IS 'fingerprint of the rules with which it was judged';
ALTER TABLE pairs ADD COLUMN rule_uses JSONB;
COMMENT ON COLUMN pairs.rule_uses IS 'rule to values that it selected, and of these hid';
CREATE TABLE task_rules (
    task TEXT NOT NULL,
    rule TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT task_rules_pkey PRIMARY KEY (task, rule)
);
COMMENT ON COLUMN task_rules.rule IS 'its id: a fingerprint of what it says';
COMMENT ON COLUMN task_rules.since IS 'when the judge first had it';
CREATE TABLE rule_tallies (
    task TEXT NOT NULL,
    day DATE NOT NULL,
    rule TEXT NOT NULL,
    selected BIGINT DEFAULT '0' NOT NULL,
    hid BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT rule_tallies_pkey PRIMARY KEY (task, day, rule)
);
COMMENT ON COLUMN rule_tallies.day IS 'UTC, of the event''s acceptance';
COMMENT ON COLUMN rule_tallies.selected IS 'values that it spoke of';
COMMENT ON COLUMN rule_tallies.hid IS 'of which differ without it, not with it';
CREATE TABLE orders_seen (
    task TEXT NOT NULL,
    one TEXT NOT NULL,
    other TEXT NOT NULL,
    before BIGINT DEFAULT '0' NOT NULL,
    after BIGINT DEFAULT '0' NOT NULL,
    mixed BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT orders_seen_pkey PRIMARY KEY (task, one, other)
);
COMMENT ON COLUMN orders_seen.one IS 'a shape of effects, as JSON: kind, target, operation';
COMMENT ON COLUMN orders_seen.other IS 'another, later by name';
COMMENT ON COLUMN orders_seen.before IS 'legacy runs: all of one came first';
COMMENT ON COLUMN orders_seen.after IS 'all of the other came first';
COMMENT ON COLUMN orders_seen.mixed IS 'neither';
CREATE TABLE replays (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    purpose TEXT NOT NULL,
    signature TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    skipped JSONB NOT NULL,
    CONSTRAINT replays_pkey PRIMARY KEY (id)
);
CREATE INDEX replays_task ON replays (task, id);
COMMENT ON COLUMN replays.purpose IS 'replay (on the candidate) or legacy_twice';
COMMENT ON COLUMN replays.signature IS 'shown by the pairs whose events were run again; null: any of the task''s';
COMMENT ON COLUMN replays.skipped IS 'pair -> why its event could not be run again';
ALTER TABLE pairs ADD COLUMN replay UUID;
ALTER TABLE pairs ADD COLUMN replays UUID;
CREATE INDEX pairs_replay ON pairs (replay, id) WHERE replay IS NOT NULL;
COMMENT ON COLUMN pairs.replay IS 'that it belongs to; such pairs are counted apart';
COMMENT ON COLUMN pairs.replays IS 'the pair whose event was run again';
CREATE TABLE proposals (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    place TEXT NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    settings JSONB,
    rule TEXT,
    refusal TEXT,
    because TEXT,
    evidence JSONB NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT,
    reason TEXT,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT proposals_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX proposals_place ON proposals (task, place);
COMMENT ON COLUMN proposals.place IS 'where values differ, as a rule can name it';
COMMENT ON COLUMN proposals.state IS 'open, refused, accepted or rejected';
COMMENT ON COLUMN proposals.source IS 'legacy_twice or history';
COMMENT ON COLUMN proposals.settings IS 'the rule; null: refused';
COMMENT ON COLUMN proposals.rule IS 'its id, by which its uses are counted';
COMMENT ON COLUMN proposals.refusal IS 'why no rule is proposed';
COMMENT ON COLUMN proposals.because IS 'the same in words';
COMMENT ON COLUMN proposals.evidence IS 'how often values differed, some of them, what it would hide';
COMMENT ON COLUMN proposals.seen_at IS 'when it was last looked at';
COMMENT ON COLUMN proposals.reason IS 'of the decision';
COMMENT ON COLUMN proposals.expires_at IS 'until when an accepted rule is in force';
