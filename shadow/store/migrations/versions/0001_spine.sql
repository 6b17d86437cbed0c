-- The first schema, as it was when it shipped: never edited afterwards.
CREATE TABLE events (
    id UUID NOT NULL, 
    source TEXT NOT NULL, 
    door TEXT NOT NULL, 
    origin TEXT NOT NULL, 
    name TEXT NOT NULL, 
    tenant TEXT, 
    external_id TEXT, 
    delivery_id TEXT NOT NULL, 
    upstream_id TEXT, 
    occurred_at TIMESTAMP WITH TIME ZONE, 
    scheduled_at TIMESTAMP WITH TIME ZONE, 
    accepted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    route TEXT, 
    phase TEXT, 
    authority TEXT, 
    mapping_error TEXT, 
    CONSTRAINT events_pkey PRIMARY KEY (id)
)
 PARTITION BY RANGE (id);
CREATE INDEX events_delivery ON events (delivery_id);
COMMENT ON COLUMN events.door IS 'webhook, inngest or trigger.dev';
COMMENT ON COLUMN events.origin IS 'producer, legacy or candidate: whose key brought it';
COMMENT ON COLUMN events.external_id IS 'what the producer calls it: delivery id, event id, idempotency key';
COMMENT ON COLUMN events.delivery_id IS 'the event id that candidate runs carry';
COMMENT ON COLUMN events.upstream_id IS 'the ULID that Inngest assigns';
COMMENT ON COLUMN events.scheduled_at IS 'a delayed start; deadlines count from it';
COMMENT ON COLUMN events.route IS 'null when no task is fed by it';
COMMENT ON COLUMN events.phase IS 'of the route when it was accepted';
COMMENT ON COLUMN events.authority IS 'the side whose runs, and their children, may reach the world';
CREATE TABLE bodies (
    id UUID NOT NULL, 
    part TEXT NOT NULL, 
    content BYTEA NOT NULL, 
    CONSTRAINT bodies_pkey PRIMARY KEY (id, part)
)
 PARTITION BY RANGE (id);
COMMENT ON COLUMN bodies.id IS 'of the event, run or effect';
COMMENT ON COLUMN bodies.part IS 'data, request, headers, output';
COMMENT ON COLUMN bodies.content IS 'see store/codec.py';
CREATE TABLE dedupe_keys (
    scope TEXT NOT NULL, 
    key TEXT NOT NULL, 
    event_id UUID NOT NULL, 
    upstream_id TEXT, 
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT dedupe_keys_pkey PRIMARY KEY (scope, key)
);
COMMENT ON COLUMN dedupe_keys.scope IS 'the source, or what the key is unique within';
CREATE TABLE dispatches (
    id UUID NOT NULL, 
    event_id UUID NOT NULL, 
    side TEXT NOT NULL, 
    stage TEXT DEFAULT 'deliver' NOT NULL, 
    platform TEXT NOT NULL, 
    task TEXT, 
    tenant TEXT, 
    state TEXT DEFAULT 'due' NOT NULL, 
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    attempts INTEGER DEFAULT '0' NOT NULL, 
    lease UUID, 
    seed TEXT, 
    position INTEGER, 
    idempotency_key TEXT, 
    error TEXT, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    CONSTRAINT dispatches_pkey PRIMARY KEY (id)
)
 WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX dispatches_due ON dispatches (side, due_at) WHERE state = 'due';
CREATE INDEX dispatches_dead ON dispatches (id) WHERE state = 'dead';
CREATE INDEX dispatches_event ON dispatches (event_id);
COMMENT ON COLUMN dispatches.stage IS 'deliver, forward, map or cancel';
COMMENT ON COLUMN dispatches.task IS 'null where the platform fans out by itself';
COMMENT ON COLUMN dispatches.state IS 'due, held or dead';
COMMENT ON COLUMN dispatches.lease IS 'of the claim that works on it; results of any other are void';
COMMENT ON COLUMN dispatches.seed IS 'Inngest: the seed header of its batch, with `position` within it';
CREATE TABLE runs (
    id UUID NOT NULL, 
    event_id UUID, 
    pair_id UUID, 
    task TEXT NOT NULL, 
    side TEXT NOT NULL, 
    platform TEXT NOT NULL, 
    platform_run_id TEXT, 
    authority TEXT NOT NULL, 
    state TEXT NOT NULL, 
    status TEXT, 
    error_name TEXT, 
    error_message TEXT, 
    attempts INTEGER, 
    version TEXT, 
    cost_cents FLOAT, 
    scheduled_at TIMESTAMP WITH TIME ZONE, 
    started_at TIMESTAMP WITH TIME ZONE, 
    finished_at TIMESTAMP WITH TIME ZONE, 
    learned_by TEXT, 
    poll_at TIMESTAMP WITH TIME ZONE, 
    polls INTEGER DEFAULT '0' NOT NULL, 
    CONSTRAINT runs_pkey PRIMARY KEY (id)
)
 PARTITION BY RANGE (id);
CREATE INDEX runs_poll ON runs (platform, poll_at) WHERE poll_at IS NOT NULL;
CREATE INDEX runs_platform_run ON runs (platform_run_id);
CREATE INDEX runs_event ON runs (event_id);
COMMENT ON COLUMN runs.event_id IS 'null for a run that Shadow did not start';
COMMENT ON COLUMN runs.pair_id IS 'null where there is nothing to compare it with';
COMMENT ON COLUMN runs.authority IS 'real or none';
COMMENT ON COLUMN runs.state IS 'expected, sent or finished';
COMMENT ON COLUMN runs.status IS 'completed, failed, cancelled, timed_out, expired or crashed';
COMMENT ON COLUMN runs.learned_by IS 'watcher, poll or report';
COMMENT ON COLUMN runs.poll_at IS 'when the reconciler asks next; null once finished';
CREATE TABLE run_aliases (
    platform TEXT NOT NULL, 
    alias TEXT NOT NULL, 
    run_id UUID NOT NULL, 
    CONSTRAINT run_aliases_pkey PRIMARY KEY (platform, alias)
);
COMMENT ON COLUMN run_aliases.alias IS 'the platform''s run id, or `key:TASK:IDEMPOTENCY-KEY`';
CREATE TABLE effects (
    id UUID NOT NULL, 
    side TEXT NOT NULL, 
    platform_run_id TEXT NOT NULL, 
    task TEXT, 
    sequence BIGINT NOT NULL, 
    attempt INTEGER DEFAULT '1' NOT NULL, 
    kind TEXT NOT NULL, 
    target TEXT NOT NULL, 
    operation TEXT NOT NULL, 
    identity TEXT, 
    idempotency_key TEXT, 
    occurred_at TIMESTAMP WITH TIME ZONE, 
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    seen_by TEXT DEFAULT 'report' NOT NULL, 
    CONSTRAINT effects_pkey PRIMARY KEY (id)
)
 PARTITION BY RANGE (id);
CREATE INDEX effects_run ON effects (platform_run_id, side);
COMMENT ON COLUMN effects.side IS 'from the key that brought it';
COMMENT ON COLUMN effects.platform_run_id IS 'as the worker knows its run';
COMMENT ON COLUMN effects.sequence IS 'order of arrival within a report';
CREATE TABLE pairs (
    id UUID NOT NULL, 
    event_id UUID NOT NULL, 
    task TEXT NOT NULL, 
    tenant TEXT, 
    legacy_run UUID NOT NULL, 
    candidate_run UUID NOT NULL, 
    state TEXT NOT NULL, 
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    deadline_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    due_at TIMESTAMP WITH TIME ZONE, 
    incomparable TEXT, 
    verdict TEXT, 
    reason TEXT, 
    severity TEXT, 
    difference_count INTEGER DEFAULT '0' NOT NULL, 
    judged_at TIMESTAMP WITH TIME ZONE, 
    revision INTEGER DEFAULT '0' NOT NULL, 
    CONSTRAINT pairs_pkey PRIMARY KEY (id)
)
 PARTITION BY RANGE (id);
CREATE INDEX pairs_task ON pairs (task, id);
CREATE INDEX pairs_event ON pairs (event_id);
CREATE INDEX pairs_due ON pairs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX pairs_verdict ON pairs (task, verdict, id);
CREATE INDEX pairs_tenant ON pairs (tenant, id);
COMMENT ON COLUMN pairs.state IS 'open, waiting, settling, ready or judged';
COMMENT ON COLUMN pairs.due_at IS 'when to look at it again; null once judged';
COMMENT ON COLUMN pairs.incomparable IS 'a reason why the two cannot be compared';
COMMENT ON COLUMN pairs.revision IS 'how often it was judged';
CREATE TABLE differences (
    pair_id UUID NOT NULL, 
    ordinal SMALLINT NOT NULL, 
    signature TEXT NOT NULL, 
    kind TEXT NOT NULL, 
    path TEXT NOT NULL, 
    severity TEXT NOT NULL, 
    sentence TEXT NOT NULL, 
    legacy JSONB, 
    candidate JSONB, 
    CONSTRAINT differences_pkey PRIMARY KEY (pair_id, ordinal)
)
 PARTITION BY RANGE (pair_id);
CREATE INDEX differences_signature ON differences (signature, pair_id);
CREATE TABLE signatures (
    id TEXT NOT NULL, 
    task TEXT NOT NULL, 
    kind TEXT NOT NULL, 
    path TEXT NOT NULL, 
    severity TEXT NOT NULL, 
    sentence TEXT NOT NULL, 
    example_pair UUID NOT NULL, 
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    pairs BIGINT NOT NULL, 
    CONSTRAINT signatures_pkey PRIMARY KEY (id)
);
CREATE INDEX signatures_task ON signatures (task, pairs);
COMMENT ON COLUMN signatures.sentence IS 'of the representative pair';
COMMENT ON COLUMN signatures.pairs IS 'how many show it now';
CREATE TABLE signature_tenants (
    signature TEXT NOT NULL, 
    tenant TEXT NOT NULL, 
    pairs BIGINT NOT NULL, 
    CONSTRAINT signature_tenants_pkey PRIMARY KEY (signature, tenant)
);
CREATE TABLE tallies (
    task TEXT NOT NULL, 
    day DATE NOT NULL, 
    tenant TEXT NOT NULL, 
    opened BIGINT DEFAULT '0' NOT NULL, 
    match BIGINT DEFAULT '0' NOT NULL, 
    mismatch BIGINT DEFAULT '0' NOT NULL, 
    missing_candidate BIGINT DEFAULT '0' NOT NULL, 
    missing_legacy BIGINT DEFAULT '0' NOT NULL, 
    not_comparable BIGINT DEFAULT '0' NOT NULL, 
    CONSTRAINT tallies_pkey PRIMARY KEY (task, day, tenant)
);
COMMENT ON COLUMN tallies.day IS 'UTC, of the event''s acceptance';
COMMENT ON COLUMN tallies.tenant IS 'empty when the event has none';
CREATE TABLE phases (
    task TEXT NOT NULL, 
    phase TEXT NOT NULL, 
    previous TEXT NOT NULL, 
    effective_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    version BIGINT NOT NULL, 
    CONSTRAINT phases_pkey PRIMARY KEY (task)
);
COMMENT ON COLUMN phases.phase IS 'from `effective_at` on';
COMMENT ON COLUMN phases.previous IS 'until then';
CREATE TABLE moves (
    id UUID NOT NULL, 
    route TEXT NOT NULL, 
    tasks TEXT[] NOT NULL, 
    from_phase TEXT NOT NULL, 
    to_phase TEXT NOT NULL, 
    actor TEXT NOT NULL, 
    reason TEXT NOT NULL, 
    forced BOOLEAN NOT NULL, 
    decided_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    effective_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT moves_pkey PRIMARY KEY (id)
);
CREATE TABLE tokens (
    id UUID NOT NULL, 
    name TEXT NOT NULL, 
    digest BYTEA NOT NULL, 
    scopes TEXT[] NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE, 
    revoked_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT tokens_pkey PRIMARY KEY (id), 
    UNIQUE (digest)
);
COMMENT ON COLUMN tokens.digest IS 'SHA-256 of the token';
