-- Runs that Shadow issues in Trigger.dev's stead.
CREATE TABLE linked_keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT linked_keys_pkey PRIMARY KEY (scope, key)
);
COMMENT ON COLUMN linked_keys.scope IS 'as of dedupe_keys';
COMMENT ON COLUMN linked_keys.run IS 'of Trigger.dev: it had been started under that key, and belongs to no event of that key';
CREATE TABLE run_tags (
    tag BYTEA NOT NULL,
    event_id UUID NOT NULL,
    CONSTRAINT run_tags_pkey PRIMARY KEY (tag, event_id)
);
CREATE INDEX run_tags_event ON run_tags (event_id);
COMMENT ON COLUMN run_tags.tag IS 'keyed hash of a tag of an issued run, to list runs by it';
CREATE INDEX events_issued ON events (id) WHERE door = 'trigger.dev' AND authority = 'candidate';
COMMENT ON COLUMN bodies.part IS 'originals: data (of an event), request, headers, overlay, answer, answer_headers, pending, traits; evidence: evidence (of an event), data (of an effect), output';
