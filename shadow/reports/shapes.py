"""What reports look like, for the API and the command alike."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.reports.originals import OriginalsState

VerdictName = Literal["match", "allowed", "mismatch", "missing_candidate", "missing_legacy", "not_comparable"]
SeverityName = Literal["minor", "major", "critical"]


_ORIGINALS = (
    "What has become of the sealed originals of its event: with `deleted` (retention) or `forgotten` (the tenant's key"
    " was destroyed) it can't be delivered or replayed any more."
)


class Shape(BaseModel):
    """Unknown members are kept out, and none is left out: null says that there is nothing to say."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class Counts(Shape):
    """How the pairs of a task were judged."""

    events: int = Field(description="Events for the task that both sides are to get.")
    pairs: int = Field(description="Pairs opened for them; less than `events` while some wait for delivery.")
    match: int
    allowed: int = Field(description="Pairs that differ only in what allowances cover; never counted as a match.")
    mismatch: int
    missing_candidate: int
    missing_legacy: int
    not_comparable: int = Field(description="Pairs that could not be compared; never counted as a match.")
    pending: int = Field(description="Pairs without a verdict yet.")
    parity: float | None = Field(
        description="match / (match + mismatch + missing); allowed pairs are in neither; null when there is nothing to"
        " divide."
    )


class DayCounts(Counts):
    day: date = Field(description="UTC day on which the events were accepted.")


class LegacyTarget(Shape):
    platform: str
    task: str


class CandidateTarget(Shape):
    platform: str
    function: str


class TaskSummary(Shape):
    """A task: where it stands and how its pairs were judged so far."""

    task: str
    category: str | None
    description: str | None
    route: str = Field(description="Tasks of one route change phase together.")
    phase: Phase
    event: str
    sources: list[str]
    legacy: LegacyTarget
    candidate: CandidateTarget
    counts: Counts


class Tasks(Shape):
    items: list[TaskSummary]


class Parity(Shape):
    """How well a task's candidate does what legacy does."""

    task: str
    phase: Phase
    since: date | None = Field(description="First UTC day counted; null: from the beginning.")
    until: date | None = Field(description="Last UTC day counted; null: until now.")
    tenant: str | None = Field(description="The tenant it is of; null: all.")
    unattributed: int = Field(
        description="Effects of which nobody knows whose they are, and that may be of this task, whatever the tenant;"
        " for a token that is limited to tenants those that can be of its tenants' runs alone, as an effect that may be"
        " anybody's is of no tenant."
    )
    counts: Counts
    days: list[DayCounts] = Field(description="The same by UTC day of acceptance, oldest first.")


class PairSummary(Shape):
    id: UUID
    event_id: UUID
    task: str
    tenant: str | None
    state: Literal["open", "waiting", "settling", "probing", "ready", "judged"]
    verdict: VerdictName | None = Field(description="Null until it was judged for the first time.")
    reason: str | None
    severity: SeverityName | None = Field(description="Of its worst difference.")
    difference_count: int
    accepted_at: datetime = Field(description="When its event was accepted.")
    judged_at: datetime | None
    revision: int = Field(description="How often its verdict was written.")
    rules: str | None = Field(description="Fingerprint of the task's rules with which it was judged.")
    replay: UUID | None = Field(description="The replay that it belongs to; such pairs are counted apart.")
    replays: UUID | None = Field(description="The pair whose event was run again in a replay.")


class PairPage(Shape):
    items: list[PairSummary]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


class EffectView(Shape):
    """One thing a run did to the outside world."""

    id: UUID
    kind: str
    target: str
    operation: str
    identity: str | None
    idempotency_key: str | None
    attempt: int
    occurred_at: datetime | None
    received_at: datetime
    seen_by: str = Field(description="report, gateway, probe, rows, mail, door or platform.")
    attributed_by: str | None = Field(
        description="How it is known whose it is: report, headers, transaction, parent, trace or key."
    )
    disposition: Literal["forward", "replay", "stub", "refuse"] | None = Field(
        description="What the egress gateway did with the call; null where it was seen otherwise."
    )
    status: int | None = Field(description="Of the answer that the gateway gave.")
    waited_ms: int | None = Field(description="How long the gateway held the call for its twin's answer.")
    data: JsonValue


class RunSummary(Shape):
    id: UUID
    task: str
    side: Side
    platform: str
    platform_run_id: str | None = Field(description="Null until the platform named it.")
    authority: Literal["real", "none"]
    state: Literal["expected", "sent", "finished"]
    status: str | None
    error_name: str | None
    error_message: str | None
    attempts: int | None
    version: str | None
    cost_cents: float | None
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    learned_by: str | None
    world: str | None = Field(
        description="What became of the rows that it needed: copied, late; stale_world or not_copied, with the reason."
    )


class RunView(RunSummary):
    """One run with what it returned and its ledger, in the order in which things happened."""

    output: JsonValue
    effects: list[EffectView]


class DifferenceView(Shape):
    kind: str
    path: str = Field(description="JSONPath (RFC 9535) into the pair.")
    severity: SeverityName
    sentence: str
    signature: str
    legacy: JsonValue = Field(description="Legacy's value; null where it has none.")
    candidate: JsonValue = Field(description="The candidate's value; null where it has none.")
    allowance: UUID | None = Field(description="The allowance that covers it; null where none does.")


class JudgedDifference(Shape):
    """A difference that judging anew finds."""

    kind: str
    path: str
    severity: SeverityName
    sentence: str
    signature: str


class JudgedAnew(Shape):
    """What the judge says of a pair at this moment, by today's rules and evidence, and how it came to it."""

    verdict: str
    reason: str | None
    as_stored: bool = Field(
        description="Whether it is what was judged when the pair was; rules or evidence may have changed since."
    )
    differences: list[JudgedDifference]
    stages: dict[str, JsonValue] | None = Field(
        description="What each stage did: normalised, collapsed, paired, unified, hidden, classified, and both values"
        " of whatever differs, with an RFC 6902 patch. Null where a run never came, or the pair can't be compared."
    )


class PairDetail(PairSummary):
    """A pair with its runs and all that is kept of their differences, worst first."""

    deadline_at: datetime
    legacy: RunView | None
    candidate: RunView | None
    originals: OriginalsState = Field(description=_ORIGINALS)
    extra: list[RunView] = Field(
        description="Further runs of the event for the task, at most 50: what they did counts with their side's ledger."
    )
    differences: list[DifferenceView]
    explanation: JudgedAnew | None = Field(default=None, description="Where `explain=true` asked for it; never stored.")


class SignatureSummary(Shape):
    """The same difference over many pairs."""

    id: str
    task: str
    kind: str
    path: str
    severity: SeverityName
    sentence: str = Field(description="Of the example.")
    example_pair: UUID
    pairs: int = Field(description="How many pairs show it now.")
    allowed: int = Field(description="In how many of them allowances cover it.")
    tenant_count: int = Field(description="Of how many tenants these pairs are.")
    first_seen: datetime = Field(description="When the first event was accepted of which a pair showed it.")
    last_seen: datetime = Field(description="When the last one was.")

    @property
    def open(self) -> int:
        """In how many pairs it is not allowed."""
        return self.pairs - self.allowed


class Signatures(Shape):
    items: list[SignatureSummary]


class AllowanceView(Shape):
    """A reviewed decision that a signature is acceptable."""

    id: UUID
    signature: str
    task: str
    tenant: str | None = Field(description="For whose pairs it holds; null: all; empty: of events without a tenant.")
    state: Literal["standing", "expired", "revoked"]
    deciding: bool = Field(description="Whether pairs are still to get their verdict anew since it last changed.")
    pairs: int = Field(description="How many have a difference that it covers now.")
    max_severity: SeverityName = Field(description="Up to which it covers: the signature's, when it was reviewed.")
    acknowledged_critical: bool
    reason: str
    actor: str
    made_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None = Field(description="Who revoked it.")


class VerdictChange(Shape):
    before: VerdictName
    after: VerdictName
    pairs: int


class SignatureChange(Shape):
    signature: str
    severity: SeverityName
    sentence: str = Field(description="Of one of the pairs.")
    added: int = Field(description="Pairs that show it now and did not.")
    removed: int = Field(description="Pairs that showed it and do not now.")


class ChangeExample(Shape):
    pair: UUID
    before: VerdictName
    after: VerdictName
    shows: str | None = Field(description="A difference that it shows now and did not.")
    shows_no_longer: str | None = Field(description="A difference that it showed and does not now.")


class UnreadablePairs(Shape):
    reason: str
    pairs: int
    listed: list[UUID] = Field(description="Which, newest first, at most 100.")


class Judgements(Shape):
    """What judging again came to, or would."""

    task: str
    since: datetime
    until: datetime | None
    dry_run: bool
    rules: str = Field(description="Fingerprint of the task's rules that they were judged with.")
    examined: int
    judged: int = Field(description="Of them, those that were judged again.")
    current: int = Field(description="Judged with these very rules already, and left alone.")
    waiting: int = Field(description="Without a verdict yet, or about to be judged anyway.")
    unreadable: list[UnreadablePairs] = Field(
        description="Those that can't be judged any more, since their evidence is gone: they keep their verdict."
    )
    changed: int = Field(description="Of those judged, how many have another verdict or show other signatures.")
    verdicts: list[VerdictChange] = Field(description="Of all that were judged, the same verdict included.")
    signatures: list[SignatureChange] = Field(description="Those with the most changes first, at most 50.")
    examples: list[ChangeExample] = Field(description="A few pairs for each change of verdict.")
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


class Allowances(Shape):
    items: list[AllowanceView] = Field(description="Newest first.")


class RuleView(Shape):
    """A rule of a task, and what it did in the last 30 days."""

    rule: str = Field(description="Its id: a fingerprint of what it says, whatever its reason.")
    key: str = Field(description="Where it stands below the task's rules, defaults included, such as `values[0]`.")
    type: str = Field(description="identity, before, ignore or a type of `values`.")
    says: dict[str, JsonValue] = Field(description="Its entry in the catalogue.")
    state: Literal["used", "young", "unproven", "dead"] = Field(
        description=(
            "used: it spoke of something; young: it did not, but has not been in force for 30 days; unproven: no pair "
            "was judged; dead: pairs were judged, and it spoke of nothing."
        )
    )
    since: datetime | None = Field(description="When the judge first had it; null: it has not looked yet.")
    selected: int = Field(description="Values that it spoke of (effects, of rules for identity).")
    hid: int = Field(description="How many of these differ without it and not with it.")
    last_selected: date | None = Field(description="The last UTC day of acceptance of an event where it spoke of any.")


class OrderView(Shape):
    """What legacy's runs always did in one order."""

    first: dict[str, str] = Field(description="Effects by kind, target and operation.")
    then: dict[str, str]
    runs: int = Field(description="How many had both; in none was it otherwise.")
    kept: bool = Field(description="Whether these are enough for it to be learned.")


class TaskRules(Shape):
    task: str
    fingerprint: str = Field(description="What all rules of the task together are recognised by: a pair keeps it.")
    dead: int
    judged: int = Field(description="Pairs with a verdict whose events were accepted in the last 30 days.")
    order: Literal["declared", "learned"] = Field(description="Whether the candidate is held to what is learned.")
    rules: list[RuleView]
    orders: list[OrderView] = Field(description="Of legacy, most runs first, at most 100.")


class TenantCount(Shape):
    tenant: str | None
    pairs: int


class SignatureDetail(SignatureSummary):
    tenants: list[TenantCount] = Field(description="Those with the most pairs first, at most 100.")
    allowances: list[AllowanceView] = Field(description="That were ever made for it, newest first, at most 20.")


class DispatchView(Shape):
    """An event being handed to one side. It goes when that is done, and its run tells the rest."""

    id: UUID
    event_id: UUID
    side: Side
    stage: str
    platform: str
    task: str | None
    state: Literal["due", "held", "sequenced", "dead"]
    attempts: int
    due_at: datetime
    error: str | None
    created_at: datetime


class EventDetail(Shape):
    id: UUID
    source: str
    door: str
    origin: str
    name: str
    tenant: str | None
    external_id: str | None = Field(description="What its producer calls it.")
    delivery_id: str = Field(description="The event id that candidate runs carry.")
    upstream_id: str | None = Field(description="The ULID that Inngest assigns.")
    occurred_at: datetime | None
    scheduled_at: datetime | None
    accepted_at: datetime
    route: str | None
    phase: Phase | None = Field(description="Of its route when it was accepted.")
    authority: Side | None = Field(description="The side whose runs may reach the world.")
    ramp_key: str | None = Field(description="By which a ramp decides, where it is not its tenant.")
    mapping_error: str | None
    data: JsonValue = Field(description="Redacted; null until the event was first handed over.")
    originals: OriginalsState = Field(description=_ORIGINALS)
    runs: list[RunSummary]
    dispatches: list[DispatchView]
    pairs: list[UUID]


class DeadLetter(DispatchView):
    """A dispatch that its platform will not take; it waits for a person."""

    tenant: str | None
    event_name: str | None
    source: str | None


class DeadLetterPage(Shape):
    items: list[DeadLetter]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


class MoveView(Shape):
    """One audited change of phase, or of what a ramp takes."""

    id: UUID
    route: str
    tasks: list[str]
    from_phase: Phase
    to_phase: Phase
    from_share: int = Field(description="Percent of keys for which the candidate had authority.")
    to_share: int
    allow: list[str] = Field(description="Of a ramp: keys that go to the candidate whatever the share is.")
    deny: list[str] = Field(description="Of a ramp: keys that stay with legacy.")
    actor: str
    reason: str
    forced: bool = Field(description="Past what would have refused it: a closed gate, or a phase left out.")
    cause: Literal["person", "automatic"]
    evidence_hash: str | None = Field(description="SHA-256, in hexadecimal, of what the gates said (`evidence`).")
    decided_at: datetime
    effective_at: datetime


class MoveDetail(MoveView):
    """A move with what it rested on."""

    evidence: dict[str, JsonValue] | None = Field(description="By task: what its gate said when the move was decided.")


class IncidentView(Shape):
    """Something that must not happen and did."""

    id: UUID
    kind: Literal["leak", "wrong_side", "unguarded_host", "wrong_credential", "stale_decision"]
    task: str | None
    route: str | None
    side: Side | None
    run: UUID | None = Field(description="The run that did it.")
    effect: UUID | None = Field(description="What was done, where it is recorded.")
    target: str | None
    operation: str | None
    detail: str
    noticed_at: datetime
    moved_back: bool = Field(description="Whether the route was moved back to legacy for it.")


class IncidentList(Shape):
    items: list[IncidentView]


class Moves(Shape):
    items: list[MoveView]


class PartView(Shape):
    """What one part of a proof showed."""

    state: Literal["passed", "failed", "unknown"]
    says: list[str] = Field(description="What was found, a sentence each.")
    todo: list[str] = Field(description="What to do about it.")
    warnings: list[str] = Field(description="What does not fail it and should be known all the same.")
    facts: dict[str, JsonValue] = Field(description="What it was concluded from.")


class ContainmentView(Shape):
    """A proof that was tried, or a declaration."""

    id: UUID
    task: str
    kind: Literal["proof", "declaration"]
    version: str | None = Field(description="Of the candidate, with which a proof ends.")
    state: Literal["running", "proven", "failed", "declared", "ended"]
    parts: dict[str, PartView] = Field(description="Of a proof: guard, databases, canary, witness.")
    leaks: Literal["none", "found", "unknown"] = Field(description="`unknown`: nobody outside the gateway watched.")
    actor: str
    reason: str | None
    made_at: datetime
    ended_at: datetime | None
    ended_because: str | None


class ContainmentReport(Shape):
    """Whether a task's candidate is contained, and all that is on record of it."""

    task: str
    state: Literal["none", "running", "proven", "failed", "declared", "ended"]
    contained: bool = Field(description="Whether a proof or a declaration holds, so that it may enter `shadow`.")
    items: list[ContainmentView] = Field(description="Newest first.")


class ShownAnew(Shape):
    """A difference that pairs of a replay show besides the one that it is about."""

    signature: str
    pairs: int
    sentence: str


class ReplayView(Shape):
    """Events that were run again, compared with the recorded runs of legacy."""

    id: UUID
    task: str
    purpose: Literal["replay", "legacy_twice"] = Field(description="Run again on the candidate, or by legacy itself.")
    signature: str | None = Field(
        description="Shown by the pairs whose events were run again; null when legacy ran any of the task's."
    )
    actor: str
    reason: str
    made_at: datetime
    pairs: int = Field(description="Events that were run again.")
    pending: int = Field(description="Without a verdict yet.")
    cleared: int = Field(description="Compared, and the signature is shown no more; of legacy itself: all compared.")
    shown: int = Field(description="The signature is shown still.")
    inconclusive: int = Field(description="Missing or not comparable: it says nothing of the signature.")
    verdicts: dict[VerdictName, int]
    others: list[ShownAnew] = Field(description="What else they show; empty in lists.")
    skipped: dict[str, str] = Field(description="Pair -> why its event could not be run again.")


class Replays(Shape):
    items: list[ReplayView]
