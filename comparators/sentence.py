"""Sentences: a difference as one line of English for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comparators.canonical import JSON, canonical
from comparators.diff import Change, How, type_name
from comparators.generated import HOLE
from comparators.kinds.mail import is_mail
from comparators.ledger import COMPLETED, Outcome
from comparators.normalise import Entry
from comparators.path import Parts

_LONGEST_VALUE = 60
_MOST_RECIPIENTS = 3
_TO = frozenset({"to", "toaddresses", "recipients"})
_SUBJECT = frozenset({"subject"})
_TEMPLATE = frozenset({"template", "templateid", "templatealias", "templatename"})


@dataclass(frozen=True, slots=True)
class _Named:
    """An effect as a person speaks of it: somebody `did` the `thing`."""

    did: str
    thing: str


def _named(entry: Entry) -> _Named:
    """What a person calls an effect: "sent", 'the confirmation email to ada@x.test'."""
    operation = entry.operation.replace(HOLE, "{id}")
    about = f" for {entry.label}" if entry.label else ""
    message = _message(entry)
    if message is not None:
        return _Named("sent", f"{_mail(message)}{about}")
    if entry.kind == "event":
        return _Named("emitted", f"the event {operation}{about}")
    if entry.kind == "http":
        return _Named("called", f"{operation} at {entry.target}{about}")
    if entry.kind == "sql":
        return _Named("ran", f"{operation} in {entry.target}{about}")
    if entry.kind == "state":
        return _Named("left", f"{operation} in {entry.target}{about}")
    return _Named("performed", f"{entry.kind} {operation} at {entry.target}{about}")


def _message(entry: Entry) -> dict[str, JSON] | None:
    """What an effect mailed, whether a mailer or a provider's API was told to; None for anything but a mail."""
    data = entry.data
    body = data.get("body") if isinstance(data, dict) else None
    if isinstance(body, dict) and entry.kind in ("email", "http") and is_mail(body):
        return body
    return (data if isinstance(data, dict) else {}) if entry.kind == "email" else None


def _mail(message: dict[str, JSON]) -> str:
    template = next((text for text in _said(message, _TEMPLATE) if text), None)
    subject = next((text for text in _said(message, _SUBJECT) if text), None)
    if template is not None:
        name = f"the {template} email"
    else:
        name = "an email" if subject is None else f"the email {shown(subject)}"
    told = list(dict.fromkeys(_said(message, _TO)))
    if not told:
        return name
    more = f" and {len(told) - _MOST_RECIPIENTS} more" if len(told) > _MOST_RECIPIENTS else ""
    return f"{name} to {', '.join(told[:_MOST_RECIPIENTS])}{more}"


def _said(value: JSON, names: frozenset[str]) -> Iterator[str]:
    """The texts at members of these names, however deep: providers nest a mail in many ways."""
    if isinstance(value, list):
        for item in value:
            yield from _said(item, names)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name.lower().replace("_", "") in names:
                yield from _texts(member)
            else:
                yield from _said(member, names)


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts(next((value[name] for name in ("address", "email", "Email") if name in value), None))


def counted(entry: Entry, legacy: int, candidate: int) -> str:
    """One effect, done another number of times by the candidate."""
    named = _named(entry)
    if candidate == 0:
        return f"candidate never {named.did} {named.thing}; legacy did {_times(legacy)}"
    if legacy == 0:
        often = f" {_times(candidate)}" if candidate > 1 else ""
        return f"candidate {named.did} {named.thing}{often}; legacy never did"
    return f"candidate {named.did} {named.thing} {_times(candidate)}; legacy {_times(legacy)}"


def changed_effect(entry: Entry, change: Change) -> str:
    """A difference inside an effect that both sides performed."""
    named = _named(entry)
    return f"candidate {named.did} {named.thing} {_with(change)}"


def changed_key(entry: Entry, *, dropped: bool) -> str:
    """A provider's idempotency key that only one side sent."""
    named = _named(entry)
    if dropped:
        return f"candidate {named.did} {named.thing} without an idempotency key; legacy had one"
    return f"candidate {named.did} {named.thing} with an idempotency key; legacy had none"


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
    named = _named(entry)
    what = f": its {_place(member)} stays another" if member else ""
    return f"candidate {named.did} {named.thing} before another write of it that legacy did earlier{what}"


def attempted(legacy: Outcome, candidate: Outcome) -> str:
    """Two failed runs that gave up after different numbers of attempts."""
    return f"candidate gave up after {_attempts(candidate)}; legacy after {_attempts(legacy)}"


def lasted(legacy: float, candidate: float) -> str:
    """A candidate that took longer than was agreed."""
    return f"candidate took {candidate:.1f} s; legacy {legacy:.1f} s"


def costed(legacy: float, candidate: float) -> str:
    """A candidate that cost more than was agreed."""
    return f"candidate cost {candidate:g} cents; legacy {legacy:g} cents"


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
