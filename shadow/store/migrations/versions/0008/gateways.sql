CREATE TABLE gateways (
    id UUID NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    left_at TIMESTAMP WITH TIME ZONE,
    noted BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT gateways_pkey PRIMARY KEY (id)
);
CREATE INDEX gateways_since ON gateways (since);
COMMENT ON COLUMN gateways.seen_at IS 'by itself: not indexed, as it changes each second';
COMMENT ON COLUMN gateways.closed_at IS 'from then on it took no new calls';
COMMENT ON COLUMN gateways.left_at IS 'it had answered all; null of one that has gone quiet: it was cut off';
COMMENT ON COLUMN gateways.noted IS 'whether it was told of that it was cut off'
