"""The tables of the judge: pairs, what differs in them, how many there are of what, and what is allowed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.schema import NOW, Moment, metadata

pairs = Table(
    "pairs",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("task", Text, nullable=False),
    Column("tenant", Text),
    Column("legacy_run", Uuid, nullable=False),
    Column("candidate_run", Uuid, nullable=False),
    Column("state", Text, nullable=False, comment="open, waiting, settling, probing, ready or judged"),
    Column("opened_at", Moment, nullable=False, server_default=NOW),
    Column("deadline_at", Moment, nullable=False),
    Column("due_at", Moment, comment="when to look at it again; null once judged"),
    Column("incomparable", Text, comment="a reason why the two cannot be compared"),
    Column("verdict", Text),
    Column("reason", Text),
    Column("severity", Text),
    Column("difference_count", Integer, nullable=False, server_default="0"),
    Column("judged_at", Moment),
    Column("revision", Integer, nullable=False, server_default="0", comment="how often it was judged"),
    Column("parent_pair", Uuid, comment="the pair of the two runs that triggered these"),
    Column("probed_at", Moment, comment="when its probes were read, well or not"),
    Column("probe_failures", Text, comment="why some could not be read"),
    Column("probe_lease", Moment, comment="until when somebody reads them"),
    Column("rules", Text, comment="fingerprint of the rules with which it was judged"),
    Column("rule_uses", JSONB, comment="rule to values that it selected, and of these hid"),
    Column("replay", Uuid, comment="that it belongs to; such pairs are counted apart"),
    Column("replays", Uuid, comment="the pair whose event was run again"),
    Column(
        "starts_at",
        Moment,
        comment="acceptance of its event, or the later start that was asked for: the order in which pairs are counted",
    ),
    Column("counted", Text, comment="as what it stands in its epoch; null until the gate has come to it"),
    Column("counted_in", Uuid, comment="the epoch"),
    Column("counted_place", BigInteger, comment="the how-manieth of its epoch it was; null where it was left out"),
    PrimaryKeyConstraint("id"),
    Index("pairs_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("pairs_probing", "due_at", postgresql_where=text("state = 'probing'")),
    Index("pairs_event", "event_id"),
    Index("pairs_task", "task", "id"),
    Index("pairs_verdict", "task", "verdict", "id"),
    Index("pairs_tenant", "tenant", "id"),
    Index("pairs_replay", "replay", "id", postgresql_where=text("replay IS NOT NULL")),
    Index("pairs_replays", "replays", postgresql_where=text("replays IS NOT NULL")),
    Index(
        "pairs_uncounted",
        "task",
        "starts_at",
        "id",
        postgresql_where=text("counted IS NULL AND starts_at IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (id)",
)

differences = Table(
    "differences",
    metadata,
    Column("pair_id", Uuid, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("signature", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("legacy", JSONB(none_as_null=False)),
    Column("candidate", JSONB(none_as_null=False)),
    Column("allowance", Uuid, comment="that covers it"),
    PrimaryKeyConstraint("pair_id", "ordinal"),
    Index("differences_signature", "signature", "pair_id"),
    postgresql_partition_by="RANGE (pair_id)",
)

signatures = Table(
    "signatures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("sentence", Text, nullable=False, comment="of the representative pair"),
    Column("example_pair", Uuid, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("pairs", BigInteger, nullable=False, comment="how many show it now"),
    Column("allowed", BigInteger, nullable=False, server_default="0", comment="in how many of them it is allowed"),
    Column(
        "example_differences",
        Integer,
        nullable=False,
        server_default="0",
        comment="of the representative pair: the fewer, the easier to read",
    ),
    Index("signatures_task", "task", "pairs"),
)

signature_tenants = Table(
    "signature_tenants",
    metadata,
    Column("signature", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("pairs", BigInteger, nullable=False),
    PrimaryKeyConstraint("signature", "tenant"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("task", Text, nullable=False),
    Column("day", Date, nullable=False, comment="UTC, of the event's acceptance"),
    Column("tenant", Text, nullable=False, comment="empty when the event has none"),
    Column("opened", BigInteger, nullable=False, server_default="0"),
    Column("match", BigInteger, nullable=False, server_default="0"),
    Column("mismatch", BigInteger, nullable=False, server_default="0"),
    Column("missing_candidate", BigInteger, nullable=False, server_default="0"),
    Column("missing_legacy", BigInteger, nullable=False, server_default="0"),
    Column("not_comparable", BigInteger, nullable=False, server_default="0"),
    Column("allowed", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("task", "day", "tenant"),
)

allowances = Table(
    "allowances",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("signature", Text, nullable=False),
    Column("task", Text, nullable=False, comment="the signature's"),
    Column("tenant", Text, comment="for whose pairs it holds; null: all; empty: those of events without one"),
    Column("max_severity", Text, nullable=False, comment="up to which its differences are covered"),
    Column(
        "acknowledged_critical",
        Boolean,
        nullable=False,
        comment="whether the actor said that money or recipients are meant",
    ),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, nullable=False),
    Column("ended_at", Moment, comment="null while it stands"),
    Column("ended_by", Text, comment="who revoked it; null when it expired"),
    Column(
        "pairs", BigInteger, nullable=False, server_default="0", comment="how many have a difference that it covers now"
    ),
    Index("allowances_signature", "signature", "id"),
    Index("allowances_task", "task", "id"),
    Index("allowances_standing", "expires_at", postgresql_where=text("ended_at IS NULL")),
)

allowance_sweeps = Table(
    "allowance_sweeps",
    metadata,
    Column("allowance", Uuid, primary_key=True),
    Column("position", Uuid, nullable=False, comment="pairs up to this one have their verdict anew"),
)

replays = Table(
    "replays",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("purpose", Text, nullable=False, comment="replay (on the candidate) or legacy_twice"),
    Column("signature", Text, comment="shown by the pairs whose events were run again; null: any of the task's"),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("skipped", JSONB, nullable=False, comment="pair -> why its event could not be run again"),
    Index("replays_task", "task", "id"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("place", Text, nullable=False, comment="where values differ, as a rule can name it"),
    Column("state", Text, nullable=False, comment="open, refused, accepted or rejected"),
    Column("source", Text, nullable=False, comment="legacy_twice or history"),
    Column("settings", JSONB, comment="the rule; null: refused"),
    Column("rule", Text, comment="its id, by which its uses are counted"),
    Column("refusal", Text, comment="why no rule is proposed"),
    Column("because", Text, comment="the same in words"),
    Column("evidence", JSONB, nullable=False, comment="how often values differed, some of them, what it would hide"),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("seen_at", Moment, nullable=False, server_default=NOW, comment="when it was last looked at"),
    Column("decided_at", Moment),
    Column("decided_by", Text),
    Column("reason", Text, comment="of the decision"),
    Column("expires_at", Moment, comment="until when an accepted rule is in force"),
    Index("proposals_place", "task", "place", unique=True),
)
