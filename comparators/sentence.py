"""Sentences: a difference as one line of English for a person."""

from __future__ import annotations

from comparators.canonical import JSON, canonical
from comparators.diff import Change, How, type_name
from comparators.generated import HOLE
from comparators.ledger import COMPLETED, Outcome
from comparators.normalise import Entry
from comparators.path import Parts

_VERBS = {"email": "sent", "event": "emitted", "http": "called", "sql": "wrote", "state": "left"}
_LONGEST_VALUE = 60


def effect_name(entry: Entry) -> str:
    """What a person calls an effect: "email mail/send for order 1001"."""
    about = f" for {entry.label}" if entry.label else ""
    return f"{entry.kind} {entry.target}/{entry.operation.replace(HOLE, '{id}')}{about}"


def counted(entry: Entry, legacy: int, candidate: int) -> str:
    """One effect, done another number of times by the candidate."""
    verb = _VERBS.get(entry.kind, "performed")
    if candidate == 0:
        return f"candidate never {verb} {effect_name(entry)}; legacy did {_times(legacy)}"
    return f"candidate {verb} {effect_name(entry)} {_times(candidate)}; legacy {_times(legacy)}"


def changed_effect(entry: Entry, change: Change) -> str:
    """A difference inside an effect that both sides performed."""
    verb = _VERBS.get(entry.kind, "performed")
    return f"candidate {verb} {effect_name(entry)} {_with(change)}"


def changed_key(entry: Entry, *, dropped: bool) -> str:
    """A provider's idempotency key that only one side sent."""
    verb = _VERBS.get(entry.kind, "performed")
    if dropped:
        return f"candidate {verb} {effect_name(entry)} without an idempotency key; legacy had one"
    return f"candidate {verb} {effect_name(entry)} with an idempotency key; legacy had none"


def changed_output(change: Change) -> str:
    """A difference inside the outputs."""
    return f"candidate returned {_with(change, preposition='')}"


def ended(legacy: Outcome, candidate: Outcome) -> str:
    """Two runs that ended differently."""
    return f"candidate {_ending(candidate)}; legacy {_ending(legacy)}"


def reordered(first: str, then: str, *, by_candidate: bool, learned: bool = False) -> str:
    """An order that only one side kept."""
    breaks, keeps = ("candidate", "legacy") if by_candidate else ("legacy", "candidate")
    order = "order in which legacy always did them" if learned else "declared order"
    return f"{breaks} did {then} before {first}; {keeps} did them in the {order}"


def overwrote(entry: Entry, member: Parts) -> str:
    """A row that was written several times, and last by another write."""
    what = f": its {_place(member)} stays another" if member else ""
    return f"candidate did {effect_name(entry)} before another write of it that legacy did earlier{what}"


def attempted(legacy: Outcome, candidate: Outcome) -> str:
    """Two failed runs that gave up after different numbers of attempts."""
    return f"candidate gave up after {_attempts(candidate)}; legacy after {_attempts(legacy)}"


def shown(value: JSON) -> str:
    """A value as short JSON."""
    text = canonical(value).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _with(change: Change, preposition: str = "with ") -> str:
    place = _place(change.parts)
    if change.how is How.dropped:
        return f"without {place}; legacy had {shown(change.legacy)}"
    if change.how is How.added:
        return f"with an additional {place} = {shown(change.candidate)}; legacy had none"
    if change.how is How.retyped:
        return f"{preposition}{place} as {_typed(change.candidate)}; legacy had {_typed(change.legacy)}"
    return f"{preposition}{place} = {shown(change.candidate)}; legacy had {shown(change.legacy)}"


def _typed(value: JSON) -> str:
    return "null" if value is None else f"{type_name(value)} {shown(value)}"


def _place(parts: Parts) -> str:
    place = ""
    for part in parts:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place or "the whole value"


def _ending(outcome: Outcome) -> str:
    if outcome.status == COMPLETED:
        return COMPLETED
    error = ": ".join(text for text in (outcome.error_name, outcome.error_message) if text)
    status = outcome.status.replace("_", " ")
    verb = status if outcome.status in ("failed", "crashed", "timed_out", "expired") else f"was {status}"
    return f"{verb} ({error})" if error else verb


def _attempts(outcome: Outcome) -> str:
    return f"{outcome.attempts} attempt{'' if outcome.attempts == 1 else 's'}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
