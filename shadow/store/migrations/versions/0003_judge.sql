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
