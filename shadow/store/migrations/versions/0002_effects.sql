-- Causes: what an event is for, and which run it is of.
ALTER TABLE events ADD COLUMN purpose TEXT DEFAULT 'live' NOT NULL;
ALTER TABLE events ADD COLUMN parent_run UUID;
ALTER TABLE events ADD COLUMN sides TEXT[];
ALTER TABLE events ADD COLUMN child_key TEXT;
ALTER TABLE events ADD COLUMN task TEXT;
ALTER TABLE events ADD COLUMN repeats UUID;
CREATE INDEX events_parent ON events (parent_run) WHERE parent_run IS NOT NULL;
COMMENT ON COLUMN events.door IS 'webhook, inngest, trigger.dev, or platform: found in a platform''s own records';
COMMENT ON COLUMN events.purpose IS 'live, replay, canary or legacy_twice';
COMMENT ON COLUMN events.parent_run IS 'the run that emitted it, where that is known';
COMMENT ON COLUMN events.sides IS 'that get it; null: as its phase says';
COMMENT ON COLUMN events.repeats IS 'the event that it is once more, whose recorded answers its calls get';
COMMENT ON COLUMN events.child_key IS 'which child of its parent it is; the twin''s has the same';
COMMENT ON COLUMN bodies.part IS 'originals: data (of an event), request, headers, answer, answer_headers, pending, traits; evidence: evidence (of an event), data (of an effect), output';
COMMENT ON COLUMN events.task IS 'the one task that it means, where a worker''s call named it; null: all that it feeds';
COMMENT ON COLUMN dispatches.state IS 'due, held, sequenced or dead';
CREATE INDEX dispatches_sequenced ON dispatches (due_at) WHERE state = 'sequenced';
ALTER TABLE runs ADD COLUMN parent_run UUID;
ALTER TABLE runs ADD COLUMN world TEXT;
ALTER TABLE runs ADD COLUMN decided BOOLEAN DEFAULT false NOT NULL;
CREATE INDEX runs_contained_legacy ON runs (id)
    WHERE side = 'legacy' AND authority = 'none' AND state <> 'finished';
COMMENT ON COLUMN runs.parent_run IS 'the nearest run above it that is known';
COMMENT ON COLUMN runs.decided IS 'of a run that no event expected: its authority was decided; else it is none for want of knowledge';
COMMENT ON COLUMN runs.world IS 'how the rows that it needs were copied: copied, or why they are stale';
ALTER TABLE pairs ADD COLUMN parent_pair UUID;
COMMENT ON COLUMN pairs.parent_pair IS 'the pair of the two runs that triggered these';
CREATE TABLE expected_replays (
    id UUID NOT NULL,
    platform TEXT NOT NULL,
    task TEXT NOT NULL,
    original UUID NOT NULL,
    expected_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT expected_replays_pkey PRIMARY KEY (id)
);
CREATE INDEX expected_replays_task ON expected_replays (platform, task, expected_at);
COMMENT ON COLUMN expected_replays.original IS 'the run without authority that somebody has asked its platform to run again; the row goes when the new run is known';
CREATE TABLE trigger_batches (
    platform TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT,
    awaited BOOLEAN NOT NULL,
    run_count INTEGER NOT NULL,
    issued BOOLEAN NOT NULL,
    announced JSONB,
    key TEXT,
    upstream TEXT,
    events UUID[] DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sealed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT trigger_batches_pkey PRIMARY KEY (platform, name)
);
CREATE UNIQUE INDEX trigger_batches_key ON trigger_batches (platform, key) WHERE key IS NOT NULL;
COMMENT ON COLUMN trigger_batches.name IS 'as the run that asked for it knows it';
COMMENT ON COLUMN trigger_batches.parent IS 'the run that asked for it, as its platform names it';
COMMENT ON COLUMN trigger_batches.awaited IS 'whether that run waits for the results';
COMMENT ON COLUMN trigger_batches.issued IS 'whether the name is ours: Trigger.dev knows another, or none';
COMMENT ON COLUMN trigger_batches.announced IS 'issued: the body and the headers of its announcement, for the part that is legacy''s';
COMMENT ON COLUMN trigger_batches.key IS 'issued: of the batch itself, as its run chose it';
COMMENT ON COLUMN trigger_batches.upstream IS 'what Trigger.dev calls the part that is legacy''s';
COMMENT ON COLUMN trigger_batches.events IS 'the part that was bridged to the candidate';
COMMENT ON COLUMN trigger_batches.sealed_at IS 'when all its items had been taken';
-- Effects that the gateway, probes, row changes, mail, doors and platforms see.
ALTER TABLE effects ALTER COLUMN platform_run_id DROP NOT NULL;
ALTER TABLE effects ADD COLUMN run_id UUID;
ALTER TABLE effects ADD COLUMN attributed_by TEXT;
ALTER TABLE effects ADD COLUMN emitted TEXT;
ALTER TABLE effects ADD COLUMN disposition TEXT;
ALTER TABLE effects ADD COLUMN writes BOOLEAN;
ALTER TABLE effects ADD COLUMN status SMALLINT;
ALTER TABLE effects ADD COLUMN digest BYTEA;
ALTER TABLE effects ADD COLUMN answered_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE effects ADD COLUMN waited_ms INTEGER;
CREATE INDEX effects_of_run ON effects (run_id);
CREATE INDEX effects_unattributed ON effects (side, received_at) WHERE run_id IS NULL AND platform_run_id IS NULL;
COMMENT ON COLUMN effects.platform_run_id IS 'as the worker knows its run; null where nobody said';
COMMENT ON COLUMN effects.seen_by IS 'report, gateway, probe, rows, mail, door or platform';
COMMENT ON COLUMN effects.run_id IS 'the run of ours that did it, once that is known';
COMMENT ON COLUMN effects.attributed_by IS 'report, headers, trace, key, transaction or parent; null while it is nobody''s';
COMMENT ON COLUMN effects.emitted IS 'of an emitted event: the id that its platform gave it, as far as who saw it knows';
COMMENT ON COLUMN effects.disposition IS 'gateway: forward, replay, stub or refuse';
COMMENT ON COLUMN effects.writes IS 'gateway: whether the operation writes';
COMMENT ON COLUMN effects.status IS 'gateway: of the answer; null while there is none';
COMMENT ON COLUMN effects.digest IS 'gateway: of the call''s canonical content';
COMMENT ON COLUMN effects.waited_ms IS 'gateway: how long the call was held for its twin''s answer';
CREATE TABLE egress_keys (
    id UUID NOT NULL,
    side TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT egress_keys_pkey PRIMARY KEY (id),
    UNIQUE (digest)
);
COMMENT ON COLUMN egress_keys.digest IS 'SHA-256 of the key';
CREATE TABLE incidents (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    task TEXT,
    route TEXT,
    side TEXT,
    run_id UUID,
    effect_id UUID,
    target TEXT,
    operation TEXT,
    detail TEXT NOT NULL,
    noticed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    moved_back BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT incidents_pkey PRIMARY KEY (id)
);
CREATE INDEX incidents_task ON incidents (task, id);
CREATE UNIQUE INDEX incidents_effect ON incidents (effect_id) WHERE effect_id IS NOT NULL;
COMMENT ON COLUMN incidents.kind IS 'leak, wrong_side, unguarded_host, wrong_credential or stale_decision';
CREATE TABLE containments (
    id UUID NOT NULL,
    task TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT,
    state TEXT NOT NULL,
    parts JSONB NOT NULL,
    leaks TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_because TEXT,
    CONSTRAINT containments_pkey PRIMARY KEY (id)
);
CREATE INDEX containments_task ON containments (task, id);
CREATE INDEX containments_proven ON containments (task) WHERE state = 'proven';
COMMENT ON COLUMN containments.kind IS 'proof or declaration';
COMMENT ON COLUMN containments.version IS 'of the candidate, with which a proof ends';
COMMENT ON COLUMN containments.state IS 'running, proven, failed, declared or ended';
COMMENT ON COLUMN containments.parts IS 'proof: what each part showed';
COMMENT ON COLUMN containments.leaks IS 'none, found or unknown (there was no witness)';
CREATE TABLE sealing_keys (
    id UUID NOT NULL,
    tenant TEXT NOT NULL,
    wrapped BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    forgotten_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT sealing_keys_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX sealing_keys_present ON sealing_keys (tenant) WHERE forgotten_at IS NULL;
CREATE INDEX sealing_keys_forgotten ON sealing_keys (forgotten_at) WHERE forgotten_at IS NOT NULL;
COMMENT ON COLUMN sealing_keys.tenant IS 'empty for what has no tenant';
COMMENT ON COLUMN sealing_keys.wrapped IS 'the key, sealed by the master key; null once forgotten';
COMMENT ON COLUMN sealing_keys.forgotten_at IS 'from when on it opens nothing; it seals nothing as soon as this is set';
CREATE TABLE retention_marks (
    what TEXT NOT NULL,
    done_before UUID NOT NULL,
    CONSTRAINT retention_marks_pkey PRIMARY KEY (what)
);
COMMENT ON COLUMN retention_marks.what IS 'originals';
COMMENT ON COLUMN retention_marks.done_before IS 'everything older has been gone through';
-- Guards: what the client packages in workers say of themselves.
CREATE TABLE guard_keys (
    id SMALLINT NOT NULL,
    key BYTEA NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT guard_keys_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN guard_keys.key IS 'with which workers and Shadow take fingerprints of secrets';
CREATE TABLE guard_reports (
    id UUID NOT NULL,
    side TEXT NOT NULL,
    version TEXT,
    gateway TEXT,
    denies BOOLEAN NOT NULL,
    allowed TEXT[] NOT NULL,
    reached TEXT[] NOT NULL,
    fingerprints TEXT[] NOT NULL,
    tasks TEXT[],
    covers TEXT DEFAULT 'clients' NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT guard_reports_pkey PRIMARY KEY (id)
);
CREATE INDEX guard_reports_side ON guard_reports (side, made_at);
COMMENT ON COLUMN guard_reports.version IS 'of the worker''s deployment';
COMMENT ON COLUMN guard_reports.gateway IS 'the host of the gateway, as the worker knows it';
COMMENT ON COLUMN guard_reports.denies IS 'whether every other host is denied';
COMMENT ON COLUMN guard_reports.allowed IS 'hosts that are let through beside the gateway';
COMMENT ON COLUMN guard_reports.reached IS 'hosts beyond these that calls went to all the same';
COMMENT ON COLUMN guard_reports.fingerprints IS 'HMAC-SHA256 of every secret that the worker holds, in hexadecimal';
COMMENT ON COLUMN guard_reports.covers IS 'what the guard reaches: the package''s own clients, or the whole process';
COMMENT ON COLUMN guard_reports.tasks IS 'that the worker runs; null: any of its side';
CREATE TABLE versions_seen (
    task TEXT NOT NULL,
    side TEXT NOT NULL,
    version TEXT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT versions_seen_pkey PRIMARY KEY (task, side, version)
);
COMMENT ON COLUMN versions_seen.version IS 'of the workers that run it: as calls, guards or outcomes said';
-- Whose an effect is, when its call does not say: by the values of business keys.
CREATE TABLE run_keys (
    run_id UUID NOT NULL,
    side TEXT NOT NULL,
    digest BIGINT NOT NULL,
    CONSTRAINT run_keys_pkey PRIMARY KEY (run_id, digest)
) PARTITION BY RANGE (run_id);
CREATE INDEX run_keys_digest ON run_keys (digest, side, run_id);
COMMENT ON COLUMN run_keys.digest IS 'keyed, of the value of a business key in the run''s event';
CREATE TABLE run_traces (
    run_id UUID NOT NULL,
    platform TEXT NOT NULL,
    trace TEXT NOT NULL,
    CONSTRAINT run_traces_pkey PRIMARY KEY (run_id, trace)
) PARTITION BY RANGE (run_id);
CREATE INDEX run_traces_trace ON run_traces (trace, platform, run_id);
COMMENT ON COLUMN run_traces.trace IS 'W3C''s, as the platform says; several runs may share it';
ALTER TABLE effects ADD COLUMN suspects UUID[];
COMMENT ON COLUMN effects.suspects IS 'unattributed: the runs it may be of; null: any that was under way';
CREATE INDEX runs_finished ON runs (side, finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE task_targets (
    task TEXT NOT NULL,
    target TEXT NOT NULL,
    CONSTRAINT task_targets_pkey PRIMARY KEY (task, target)
);
COMMENT ON COLUMN task_targets.target IS 'that its runs were seen to have effects on';
CREATE TABLE blind_spots (
    id UUID NOT NULL,
    side TEXT NOT NULL,
    target TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    reason TEXT NOT NULL,
    CONSTRAINT blind_spots_pkey PRIMARY KEY (id)
);
CREATE INDEX blind_spots_side ON blind_spots (side, since);
CREATE UNIQUE INDEX blind_spots_open ON blind_spots (side, target) WHERE until IS NULL;
COMMENT ON COLUMN blind_spots.target IS 'whose effects were not seen meanwhile';
COMMENT ON COLUMN blind_spots.until IS 'null while it lasts';
CREATE TABLE row_slots (
    database TEXT NOT NULL,
    side TEXT NOT NULL,
    holder UUID,
    lease_until TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    stored_at TIMESTAMP WITH TIME ZONE,
    lag_bytes BIGINT,
    CONSTRAINT row_slots_pkey PRIMARY KEY (database, side)
);
COMMENT ON COLUMN row_slots.holder IS 'the process that reads it';
COMMENT ON COLUMN row_slots.stored_at IS 'commit time of the last transaction that was stored';
COMMENT ON COLUMN row_slots.lag_bytes IS 'of the server''s log, that is not read yet';
-- Probes are read between settling and judging.
ALTER TABLE pairs ADD COLUMN probed_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE pairs ADD COLUMN probe_failures TEXT;
ALTER TABLE pairs ADD COLUMN probe_lease TIMESTAMP WITH TIME ZONE;
CREATE INDEX pairs_probing ON pairs (due_at) WHERE state = 'probing';
COMMENT ON COLUMN pairs.state IS 'open, waiting, settling, probing, ready or judged';
COMMENT ON COLUMN pairs.probed_at IS 'when its probes were read, well or not';
COMMENT ON COLUMN pairs.probe_failures IS 'why some could not be read';
COMMENT ON COLUMN pairs.probe_lease IS 'until when somebody reads them';
