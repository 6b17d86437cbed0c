-- What a migration rested on, kept for good.
CREATE TABLE evidence_packs (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    route TEXT NOT NULL,
    move UUID NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    json BYTEA NOT NULL,
    html BYTEA NOT NULL,
    digest TEXT NOT NULL,
    CONSTRAINT evidence_packs_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX evidence_packs_once ON evidence_packs (move, task);
CREATE INDEX evidence_packs_task ON evidence_packs (task, made_at);
COMMENT ON COLUMN evidence_packs.move IS 'to `retired`, that it was made for';
COMMENT ON COLUMN evidence_packs.json IS 'see store/codec.py';
COMMENT ON COLUMN evidence_packs.html IS 'see store/codec.py';
COMMENT ON COLUMN evidence_packs.digest IS 'SHA-256 of the JSON, in hexadecimal';
