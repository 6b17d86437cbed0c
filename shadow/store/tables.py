"""The tables (SQLAlchemy Core). One table a noun; every row says in which stage it was made.

The big tables (`PARTITIONED`) are range-partitioned by a UUIDv7: an event's, or one derived from it, so that
all that belongs to one event falls into the same period and can be dropped by age together.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.access_tables import acts as acts
from shadow.store.access_tables import raw_reads as raw_reads
from shadow.store.access_tables import tokens as tokens
from shadow.store.condition_tables import gate_runs as gate_runs
from shadow.store.condition_tables import shape_marks as shape_marks
from shadow.store.condition_tables import task_shapes as task_shapes
from shadow.store.containment_tables import containments as containments
from shadow.store.containment_tables import egress_keys as egress_keys
from shadow.store.containment_tables import guard_keys as guard_keys
from shadow.store.containment_tables import guard_reports as guard_reports
from shadow.store.containment_tables import incidents as incidents
from shadow.store.containment_tables import sealing_keys as sealing_keys
from shadow.store.cost_tables import cost_changes as cost_changes
from shadow.store.cost_tables import cost_tallies as cost_tallies
from shadow.store.cron_tables import queue_copies as queue_copies
from shadow.store.cron_tables import tick_marks as tick_marks
from shadow.store.cron_tables import ticks as ticks
from shadow.store.cutover_tables import moves as moves
from shadow.store.cutover_tables import phases as phases
from shadow.store.door_tables import linked_keys as linked_keys
from shadow.store.door_tables import run_tags as run_tags
from shadow.store.evidence_tables import evidence_packs as evidence_packs
from shadow.store.gate_tables import deployments as deployments
from shadow.store.gate_tables import epochs as epochs
from shadow.store.gate_tables import gate_corrections as gate_corrections
from shadow.store.gate_tables import gates as gates
from shadow.store.gate_tables import sign_offs as sign_offs
from shadow.store.gateway_tables import gateways as gateways
from shadow.store.judge_tables import allowance_sweeps as allowance_sweeps
from shadow.store.judge_tables import allowances as allowances
from shadow.store.judge_tables import differences as differences
from shadow.store.judge_tables import pairs as pairs
from shadow.store.judge_tables import proposals as proposals
from shadow.store.judge_tables import replays as replays
from shadow.store.judge_tables import signature_tenants as signature_tenants
from shadow.store.judge_tables import signatures as signatures
from shadow.store.judge_tables import tallies as tallies
from shadow.store.notice_tables import notice_deliveries as notice_deliveries
from shadow.store.notice_tables import notices as notices
from shadow.store.page_tables import page_sessions as page_sessions
from shadow.store.rule_tables import orders_seen as orders_seen
from shadow.store.rule_tables import rule_tallies as rule_tallies
from shadow.store.rule_tables import task_rules as task_rules
from shadow.store.schema import NOW, Moment
from shadow.store.schema import metadata as metadata

PARTITIONED = {
    "events": "id",
    "bodies": "id",
    "runs": "id",
    "run_keys": "run_id",
    "run_traces": "run_id",
    "effects": "id",
    "pairs": "id",
    "differences": "pair_id",
}
"""Table -> the UUIDv7 column whose range makes its partitions."""

events = Table(
    "events",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    Column(
        "door",
        Text,
        nullable=False,
        comment="webhook, inngest, trigger.dev, or platform: found in a platform's own records",
    ),
    Column("origin", Text, nullable=False, comment="producer, legacy or candidate: whose key brought it"),
    Column("name", Text, nullable=False),
    Column("tenant", Text),
    Column("external_id", Text, comment="what the producer calls it: delivery id, event id, idempotency key"),
    Column("delivery_id", Text, nullable=False, comment="the event id that candidate runs carry"),
    Column("upstream_id", Text, comment="the ULID that Inngest assigns"),
    Column("occurred_at", Moment),
    Column("scheduled_at", Moment, comment="a delayed start; deadlines count from it"),
    Column("accepted_at", Moment, nullable=False, server_default=NOW),
    Column("route", Text, comment="null when no task is fed by it"),
    Column("phase", Text, comment="of the route when it was accepted"),
    Column("authority", Text, comment="the side whose runs, and their children, may reach the world"),
    Column("mapping_error", Text),
    Column("purpose", Text, nullable=False, server_default="live", comment="live, replay, canary or legacy_twice"),
    Column("parent_run", Uuid, comment="the run that emitted it, where that is known"),
    Column("sides", ARRAY(Text), comment="that get it; null: as its phase says"),
    Column("child_key", Text, comment="which child of its parent it is; the twin's has the same"),
    Column("task", Text, comment="the one task that it means, where a worker's call named it; null: all that it feeds"),
    Column("repeats", Uuid, comment="the event that it is once more, whose recorded answers its calls get"),
    Column(
        "ramp_key",
        Text,
        comment="by which a ramp decides, where that is another than its tenant: its root's key, or a declared entity",
    ),
    Column(
        "decided",
        ARRAY(Text),
        comment="the sides that its route gives an event of its key, the one with authority first; "
        "null: as its phase says",
    ),
    PrimaryKeyConstraint("id"),
    Index("events_delivery", "delivery_id"),
    Index("events_parent", "parent_run", postgresql_where=text("parent_run IS NOT NULL")),
    Index("events_issued", "id", postgresql_where=text("door = 'trigger.dev' AND authority = 'candidate'")),
    Index("events_found", "id", postgresql_where=text("door = 'platform'")),
    postgresql_partition_by="RANGE (id)",
)

bodies = Table(
    "bodies",
    metadata,
    Column("id", Uuid, nullable=False, comment="of the event, run or effect"),
    Column(
        "part",
        Text,
        nullable=False,
        comment="originals: data (of an event), request, headers, overlay, answer, answer_headers, pending, traits; "
        "evidence: evidence (of an event), output, and data of an effect that has none in its row",
    ),
    Column("content", LargeBinary, nullable=False, comment="see store/codec.py"),
    PrimaryKeyConstraint("id", "part"),
    postgresql_partition_by="RANGE (id)",
)

dedupe_keys = Table(
    "dedupe_keys",
    metadata,
    Column("scope", Text, nullable=False, comment="the source, or what the key is unique within"),
    Column("key", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("upstream_id", Text),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("scope", "key"),
)

dispatches = Table(
    "dispatches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("side", Text, nullable=False),
    Column("stage", Text, nullable=False, server_default="deliver", comment="deliver, forward, map or cancel"),
    Column("platform", Text, nullable=False),
    Column("task", Text, comment="null where the platform fans out by itself"),
    Column("tenant", Text),
    Column("state", Text, nullable=False, server_default="due", comment="due, held, sequenced or dead"),
    Column("due_at", Moment, nullable=False, server_default=NOW),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease", Uuid, comment="of the claim that works on it; results of any other are void"),
    Column("seed", Text, comment="Inngest: the seed header of its batch, with `position` within it"),
    Column("position", Integer),
    Column("idempotency_key", Text),
    Column("error", Text),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Index("dispatches_due", "side", "due_at", postgresql_where=text("state = 'due'")),
    Index("dispatches_dead", "id", postgresql_where=text("state = 'dead'")),
    Index("dispatches_event", "event_id"),
    Index("dispatches_mapped", "due_at", postgresql_where=text("state = 'due' AND stage = 'map'")),
    Index("dispatches_sequenced", "due_at", postgresql_where=text("state = 'sequenced'")),
    postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02", "vacuum_truncate": "off"},
)

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("event_id", Uuid, comment="null for a run that Shadow did not start"),
    Column("pair_id", Uuid, comment="null where there is nothing to compare it with"),
    Column("task", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("platform_run_id", Text),
    Column("authority", Text, nullable=False, comment="real or none"),
    Column("state", Text, nullable=False, comment="expected, sent or finished"),
    Column("status", Text, comment="completed, failed, cancelled, timed_out, expired or crashed"),
    Column("error_name", Text),
    Column("error_message", Text),
    Column("attempts", Integer),
    Column("version", Text),
    Column("cost_cents", Float),
    Column("scheduled_at", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("learned_by", Text, comment="watcher, poll or report"),
    Column("poll_at", Moment, comment="when the reconciler asks next; null once finished"),
    Column("polls", Integer, nullable=False, server_default="0"),
    Column("parent_run", Uuid, comment="the nearest run above it that is known"),
    Column("world", Text, comment="how the rows that it needs were copied: copied, or why they are stale"),
    Column(
        "decided",
        Boolean,
        nullable=False,
        server_default="false",
        comment="of a run that no event expected: its authority was decided; else it is none for want of knowledge",
    ),
    Column("executions", Integer, comment="of the run and its steps together, where somebody told"),
    PrimaryKeyConstraint("id"),
    Index("runs_event", "event_id"),
    Index("runs_platform_run", "platform_run_id"),
    Index(
        "runs_contained_legacy",
        "id",
        postgresql_where=text("side = 'legacy' AND authority = 'none' AND state <> 'finished'"),
    ),
    Index(
        "runs_draining",
        "task",
        "id",
        postgresql_where=text("side = 'legacy' AND authority = 'real' AND state <> 'finished'"),
    ),
    Index(
        "runs_awaited",
        "task",
        "id",
        postgresql_where=text("side = 'candidate' AND authority = 'real' AND state <> 'finished'"),
    ),
    Index(
        "runs_acting",
        "task",
        "finished_at",
        postgresql_where=text("side = 'candidate' AND authority = 'real' AND state = 'finished'"),
    ),
    Index("runs_poll", "platform", "poll_at", postgresql_where=text("poll_at IS NOT NULL")),
    Index("runs_finished", "side", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

run_aliases = Table(
    "run_aliases",
    metadata,
    Column("platform", Text, nullable=False),
    Column("alias", Text, nullable=False, comment="the platform's run id, or `key:TASK:IDEMPOTENCY-KEY`"),
    Column("run_id", Uuid, nullable=False),
    PrimaryKeyConstraint("platform", "alias"),
)

run_keys = Table(
    "run_keys",
    metadata,
    Column("run_id", Uuid, nullable=False),
    Column("side", Text, nullable=False),
    Column("digest", BigInteger, nullable=False, comment="keyed, of the value of a business key in the run's event"),
    PrimaryKeyConstraint("run_id", "digest"),
    Index("run_keys_digest", "digest", "side", "run_id"),
    postgresql_partition_by="RANGE (run_id)",
)

run_traces = Table(
    "run_traces",
    metadata,
    Column("run_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("trace", Text, nullable=False, comment="W3C's, as the platform says; several runs may share it"),
    PrimaryKeyConstraint("run_id", "trace"),
    Index("run_traces_trace", "trace", "platform", "run_id"),
    postgresql_partition_by="RANGE (run_id)",
)

effects = Table(
    "effects",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("side", Text, nullable=False, comment="from the key that brought it"),
    Column("platform_run_id", Text, comment="as the worker knows its run; null where nobody said"),
    Column("task", Text),
    Column("sequence", BigInteger, nullable=False, comment="order of arrival within a report"),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("identity", Text),
    Column("idempotency_key", Text),
    Column("occurred_at", Moment),
    Column("received_at", Moment, nullable=False, server_default=NOW),
    Column(
        "seen_by",
        Text,
        nullable=False,
        server_default="report",
        comment="report, gateway, probe, rows, mail, door or platform",
    ),
    Column("run_id", Uuid, comment="the run of ours that did it, once that is known"),
    Column(
        "attributed_by",
        Text,
        comment="report, headers, trace, key, transaction or parent; null while it is nobody's",
    ),
    Column(
        "emitted", Text, comment="of an emitted event: the id that its platform gave it, as far as who saw it knows"
    ),
    Column("disposition", Text, comment="gateway: forward, replay, stub or refuse"),
    Column("writes", Boolean, comment="gateway: whether the operation writes"),
    Column("status", SmallInteger, comment="gateway: of the answer; null while there is none"),
    Column("digest", LargeBinary, comment="gateway: of the call's canonical content"),
    Column("answered_at", Moment),
    Column("waited_ms", Integer, comment="gateway: how long the call was held for its twin's answer"),
    Column("suspects", ARRAY(Uuid), comment="unattributed: the runs it may be of; null: any that was under way"),
    Column("data", LargeBinary, comment="the evidence, see store/codec.py; null: in `bodies`, as part data"),
    PrimaryKeyConstraint("id"),
    Index("effects_run", "platform_run_id", "side"),
    Index("effects_of_run", "run_id"),
    Index(
        "effects_unattributed",
        "side",
        "received_at",
        postgresql_where=text("run_id IS NULL AND platform_run_id IS NULL"),
    ),
    postgresql_partition_by="RANGE (id)",
)

task_targets = Table(
    "task_targets",
    metadata,
    Column("task", Text, nullable=False),
    Column("target", Text, nullable=False, comment="that its runs were seen to have effects on"),
    PrimaryKeyConstraint("task", "target"),
)

blind_spots = Table(
    "blind_spots",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("side", Text, nullable=False),
    Column("target", Text, nullable=False, comment="whose effects were not seen meanwhile"),
    Column("since", Moment, nullable=False),
    Column("until", Moment, comment="null while it lasts"),
    Column("reason", Text, nullable=False),
    Index("blind_spots_side", "side", "since"),
    Index("blind_spots_open", "side", "target", unique=True, postgresql_where=text("until IS NULL")),
)

row_slots = Table(
    "row_slots",
    metadata,
    Column("database", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("holder", Uuid, comment="the process that reads it"),
    Column("lease_until", Moment, nullable=False, server_default=NOW),
    Column("stored_at", Moment, comment="commit time of the last transaction that was stored"),
    Column("lag_bytes", BigInteger, comment="of the server's log, that is not read yet"),
    PrimaryKeyConstraint("database", "side"),
)

expected_replays = Table(
    "expected_replays",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column(
        "original",
        Uuid,
        nullable=False,
        comment="the run without authority that somebody has asked its platform to run again;"
        " the row goes when the new run is known",
    ),
    Column("expected_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
    Index("expected_replays_task", "platform", "task", "expected_at"),
)

trigger_batches = Table(
    "trigger_batches",
    metadata,
    Column("platform", Text, nullable=False),
    Column("name", Text, nullable=False, comment="as the run that asked for it knows it"),
    Column("parent", Text, comment="the run that asked for it, as its platform names it"),
    Column("awaited", Boolean, nullable=False, comment="whether that run waits for the results"),
    Column("run_count", Integer, nullable=False),
    Column("issued", Boolean, nullable=False, comment="whether the name is ours: Trigger.dev knows another, or none"),
    Column(
        "announced",
        JSONB,
        comment="issued: the body and the headers of its announcement, for the part that is legacy's",
    ),
    Column("key", Text, comment="issued: of the batch itself, as its run chose it"),
    Column("upstream", Text, comment="what Trigger.dev calls the part that is legacy's"),
    Column(
        "events",
        ARRAY(Uuid),
        nullable=False,
        server_default=text("'{}'"),
        comment="the part that was bridged to the candidate",
    ),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("sealed_at", Moment, comment="when all its items had been taken"),
    PrimaryKeyConstraint("platform", "name"),
    Index("trigger_batches_key", "platform", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
)

retention_marks = Table(
    "retention_marks",
    metadata,
    Column("what", Text, primary_key=True, comment="originals"),
    Column("done_before", Uuid, nullable=False, comment="everything older has been gone through"),
)

versions_seen = Table(
    "versions_seen",
    metadata,
    Column("task", Text, primary_key=True),
    Column("side", Text, primary_key=True),
    Column("version", Text, primary_key=True, comment="of the workers that run it: as calls, guards or outcomes said"),
    Column("first_seen_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
    Column("last_seen_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
)
