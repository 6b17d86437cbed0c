-- What people are told.
CREATE TABLE notices (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    task TEXT,
    route TEXT,
    title TEXT NOT NULL,
    facts JSONB NOT NULL,
    once TEXT,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    fanned_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT notices_pkey PRIMARY KEY (id),
    CONSTRAINT notices_once_key UNIQUE (once)
);
CREATE INDEX notices_made ON notices (made_at);
CREATE INDEX notices_unfanned ON notices (made_at) WHERE fanned_at IS NULL;
COMMENT ON COLUMN notices.kind IS 'gate_opened, gate_closed, gate_regressed, moved, moved_back or leak';
COMMENT ON COLUMN notices.title IS 'one sentence';
COMMENT ON COLUMN notices.once IS 'what makes it that notice, so that it is made once; null: as it comes';
COMMENT ON COLUMN notices.fanned_at IS 'when deliveries were made of it; null until then';
CREATE TABLE notice_deliveries (
    id UUID NOT NULL,
    notice UUID NOT NULL,
    channel TEXT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT '0' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT notice_deliveries_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX notice_deliveries_once ON notice_deliveries (notice, channel);
CREATE INDEX notice_deliveries_due ON notice_deliveries (channel, due_at) WHERE due_at IS NOT NULL;
COMMENT ON COLUMN notice_deliveries.channel IS 'of the catalogue''s `notifications`';
COMMENT ON COLUMN notice_deliveries.due_at IS 'null once it was taken, or given up';
