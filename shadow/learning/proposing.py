"""From values that differ to the narrowest rule that explains them, or the reason why there shall be none. Pure.

Noise is told from faults by how values differ: noise drifts on both sides, each in its own way. What follows from the
other side's value, leans to one side of it, or stands still on one side, is a fault, however often it is seen. Two runs
of legacy over one event are the best witnesses: what differs between them can't be the candidate's doing. Live pairs
alone can tell that values are nearly the same, and never that a value does not matter: a candidate that makes values
up, or takes those of another order, drifts just like noise.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import parse_qsl, urlsplit

from comparators import JSON, canonical
from comparators.diff import How
from comparators.instant import moment_in_text
from comparators.rules import RuleError, ValueRule
from shadow.judge.accepted import Settings, rule_of
from shadow.learning.place import Place
from shadow.learning.refusal import Refusal

LEAST_COMPARED = 10
"""Pairs that must have been compared before anything is said of noise."""
LEAST_DIFFERING = 3
WIDEST = 0.25
"""Relative tolerance beyond which numbers are no longer nearly the same."""
_FEW_LEAN_OTHERWISE = 0.1
"""Share of values on the lesser side of the other's, below which the rest leans to one side."""
_BOTH = (How.changed, How.retyped)
"""Both sides have a value."""
_MARGIN = 1.5
"""By how much a tolerance exceeds what was seen."""
_QUARTER_HOUR = 900.0
_LONGEST_DRIFT = 600.0
"""Seconds: moments that lie further apart differ by more than clocks and queues do."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How values differed at one place."""

    place: Place
    compared: int
    """Pairs that were compared."""
    differed: int
    """Of them, those that differed there."""
    values: Sequence[tuple[JSON, JSON, str]]
    """Legacy's value, the other one, and how they differ (a `How`)."""
    of_legacy_alone: bool
    """Whether both are of legacy's runs."""
    live: Sequence[tuple[JSON, JSON, str]] = ()
    """Where they are: how live pairs differ there."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A rule that would hide no more than what drifts there."""

    settings: Settings
    rule: ValueRule


@dataclass(frozen=True, slots=True)
class Refused:
    """No rule, and why."""

    refusal: Refusal
    because: str


def propose(seen: Seen) -> Proposed | Refused:
    """The narrowest rule for what was seen to differ at a place."""
    if seen.compared < LEAST_COMPARED or seen.differed < LEAST_DIFFERING:
        return Refused(
            Refusal.TOO_FEW,
            f"{seen.differed} of {seen.compared} pairs differ; at least {LEAST_DIFFERING} of {LEAST_COMPARED} tell"
            " noise from chance",
        )
    if seen.place.is_whole or any(isinstance(value, dict) for pair in seen.values for value in pair[:2]):
        return Refused(Refusal.WHOLE_VALUE, "what differs is an object or everything: name what drifts within it")
    if not seen.of_legacy_alone and (fault := _looks_like_a_fault(seen.values)) is not None:
        return fault
    last: RuleError | None = None
    for settings in _ladder(seen):
        try:
            rule = rule_of(settings)
        except RuleError as error:
            last = error
            continue
        if not _leaves_out(settings):
            return Proposed(settings, rule)
        if not seen.of_legacy_alone:
            return Refused(Refusal.UNWITNESSED, f"only a rule of type {rule.type} would explain what differs: {_ASK}")
        return _fault_beside_noise(seen.live) or Proposed(settings, rule)
    if last is not None:
        return Refused(Refusal.PROTECTED, str(last))
    return Refused(Refusal.WHOLE_VALUE, "only leaving out an array would explain what differs")


_ASK = "live pairs can't tell that from a fault, legacy against itself could (`shadow noise measure`)"


def _leaves_out(settings: Settings) -> bool:
    """Whether a rule takes values for the same that have nothing in common, rather than nearly the same ones."""
    return settings["type"] in ("id", "pattern", "presence", "ignore") or bool(settings.get("without"))


def _fault_beside_noise(live: Sequence[tuple[JSON, JSON, str]]) -> Refused | None:
    """What the candidate does where legacy itself drifts, if that is no drifting: the rule would hide it too."""
    if len(live) < LEAST_DIFFERING:
        return None
    of_legacy = {(how == How.added, canonical(legacy)) for legacy, _, how in live}
    of_candidate = {(how == How.dropped, canonical(candidate)) for _, candidate, how in live}
    if len(of_candidate) == 1 and len(of_legacy) > 1:
        return Refused(Refusal.ONE_SIDED, "legacy drifts there, and the candidate always has the same value or none")
    both = [(legacy, candidate) for legacy, candidate, how in live if how in _BOTH]
    if len(both) == len(live) and (relation := _relation(both)) is not None:
        return Refused(Refusal.SYSTEMATIC, f"the candidate's value is always legacy's {relation}")
    return None


def _looks_like_a_fault(values: Sequence[tuple[JSON, JSON, str]]) -> Refused | None:
    pairs = [(legacy, candidate) for legacy, candidate, how in values if how in _BOTH]
    if len(pairs) < len(values):
        return Refused(Refusal.SYSTEMATIC, "one side has a value where the other has none")
    of_legacy = {canonical(legacy) for legacy, _ in pairs}
    of_candidate = {canonical(candidate) for _, candidate in pairs}
    if len(of_legacy) == 1 or len(of_candidate) == 1:
        who = "legacy" if len(of_legacy) == 1 else "the candidate"
        return Refused(Refusal.ONE_SIDED, f"{who} always has the same value there")
    if (relation := _relation(pairs)) is not None:
        return Refused(Refusal.SYSTEMATIC, f"the candidate's value is always legacy's {relation}")
    if of_candidate <= of_legacy:
        return Refused(Refusal.SYSTEMATIC, "whatever the candidate has there, legacy has in another pair: mixed up")
    if (lean := _lean(pairs)) is not None:
        return Refused(Refusal.SYSTEMATIC, f"the candidate's value is nearly always the {lean} one")
    return None


def _lean(pairs: Sequence[tuple[JSON, JSON]]) -> str | None:
    """Which way the candidate's numbers or moments lie from legacy's; None where noise would lie too."""
    apart = [float(b) - float(a) for a, b in pairs if _is_number(a) and _is_number(b)]
    names = ("smaller", "larger")
    if not apart:
        moments = [
            (moment_in_text(a), moment_in_text(b)) for a, b in pairs if isinstance(a, str) and isinstance(b, str)
        ]
        apart = [b.seconds - a.seconds for a, b in moments if a is not None and b is not None]
        names = ("earlier", "later")
    if len(apart) < len(pairs):
        return None
    larger = sum(by > 0 for by in apart)
    if min(larger, len(apart) - larger) > _FEW_LEAN_OTHERWISE * len(apart):
        return None
    return names[larger * 2 > len(apart)]


def _relation(pairs: Sequence[tuple[JSON, JSON]]) -> str | None:
    """How the candidate's values follow from legacy's; None when they don't."""
    if any(type(a) is not type(b) and not (_is_number(a) and _is_number(b)) for a, b in pairs):
        return "in another type"
    numbers = [(float(a), float(b)) for a, b in pairs if _is_number(a) and _is_number(b)]
    if len(numbers) == len(pairs):
        if _alike([b - a for a, b in numbers]):
            return f"and {numbers[0][1] - numbers[0][0]:g}"
        if all(a for a, _ in numbers) and _alike([b / a for a, b in numbers]):
            return f"times {numbers[0][1] / numbers[0][0]:g}"
        return None
    lists = [(a, b) for a, b in pairs if isinstance(a, list) and isinstance(b, list)]
    if len(lists) == len(pairs) and all(canonical(a[::-1]) == canonical(b) for a, b in lists):
        return "the other way round"
    texts = [(a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str)]
    if len(texts) < len(pairs):
        return None
    moments = [(moment_in_text(a), moment_in_text(b)) for a, b in texts]
    offsets = [b.seconds - a.seconds for a, b in moments if a is not None and b is not None]
    if len(offsets) == len(texts):
        steps = {round(offset / _QUARTER_HOUR) for offset in offsets}
        off_step = max(abs(offset - round(offset / _QUARTER_HOUR) * _QUARTER_HOUR) for offset in offsets)
        if len(steps) == 1 and 0 not in steps and off_step < 60:
            return f"shifted by {next(iter(steps)) * _QUARTER_HOUR / 3600:g} hours"
        return None
    for name, changed in _WRITTEN_OTHERWISE.items():
        if all(changed(a) == b or changed(b) == a for a, b in texts):
            return name
    return None


_WRITTEN_OTHERWISE: dict[str, Callable[[str], str]] = {
    "with HTML escapes": html.escape,
    "in upper case": str.upper,
    "in lower case": str.lower,
}


def _alike(values: Sequence[float]) -> bool:
    return all(math.isclose(value, values[0], rel_tol=1e-6, abs_tol=1e-9) for value in values)


def _ladder(seen: Seen) -> Iterator[Settings]:
    """Rules that explain all values, the narrowest first."""
    reason = (
        f"differs in {seen.differed} of {seen.compared} pairs"
        f" of {'legacy with itself' if seen.of_legacy_alone else 'both sides'}"
    )
    base: Settings = {**seen.place.fields(), "reason": reason}
    pairs = [(legacy, other) for legacy, other, how in seen.values if how in _BOTH]
    whole = len(pairs) == len(seen.values)
    if whole and all(isinstance(a, list) and isinstance(b, list) for a, b in pairs):
        if all(_multiset(a) == _multiset(b) for a, b in pairs):
            yield {**base, "type": "set"}
        return
    if any(isinstance(value, list) for legacy, other, _ in seen.values for value in (legacy, other)):
        return
    numbers = [(float(a), float(b)) for a, b in pairs if _is_number(a) and _is_number(b)]
    if whole and len(numbers) == len(pairs):
        yield from _number(base, numbers)
    texts = [(a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str)]
    if whole and len(texts) == len(pairs):
        yield from _text(base, texts)
    if whole and all(type(a) is type(b) for a, b in pairs):
        yield {**base, "type": "presence"}
        return
    yield {**base, "type": "ignore"}


def _number(base: Settings, pairs: Sequence[tuple[float, float]]) -> Iterator[Settings]:
    widest = max(abs(a - b) / max(abs(a), abs(b)) for a, b in pairs)
    if widest * _MARGIN <= WIDEST:
        yield {**base, "type": "number", "relative": float(f"{widest * _MARGIN:.2g}")}


def _text(base: Settings, texts: Sequence[tuple[str, str]]) -> Iterator[Settings]:
    moments = [(moment_in_text(a), moment_in_text(b)) for a, b in texts]
    offsets = [abs(a.seconds - b.seconds) for a, b in moments if a is not None and b is not None]
    if len(offsets) == len(texts):
        if max(offsets) <= _LONGEST_DRIFT:
            yield {**base, "type": "timestamp", "tolerance": float(math.ceil(max(offsets) * _MARGIN))}
        return
    for options, normal in _AS_WORDS:
        if all(normal(a) == normal(b) for a, b in texts):
            yield {**base, "type": "text", **options}
            return
    if (without := _parameters(texts)) is not None:
        yield {**base, "type": "url", "without": without}
        return
    every = [text for pair in texts for text in pair]
    if len(set(every)) == len(every) and all(_ONE_WORD.fullmatch(text) for text in every):
        yield {**base, "type": "id"}
    for form in _FORMS:
        if all(re.fullmatch(form, text) for text in every):
            shortest, longest = min(map(len, every)), max(map(len, every))
            length = f"{{{shortest}}}" if shortest == longest else f"{{{shortest},{longest}}}"
            yield {**base, "type": "pattern", "regex": form.removesuffix("+") + length}
            return


_ONE_WORD = re.compile(r"[0-9A-Za-z_:.-]{3,200}")
_FORMS = ("[0-9]+", "[0-9a-f]+", "[0-9A-F]+", "[0-9A-Za-z]+", "[0-9A-Za-z_-]+", "[0-9A-Za-z_:./+=-]+")


def _collapsed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


_AS_WORDS: tuple[tuple[Settings, Callable[[str], str]], ...] = (
    ({}, _collapsed),
    ({"case": "fold"}, lambda text: _collapsed(text).casefold()),
)


def _parameters(texts: Sequence[tuple[str, str]]) -> list[str] | None:
    """The parameters by which these URLs differ, if by nothing else."""
    names: set[str] = set()
    for a, b in texts:
        mine, theirs = urlsplit(a), urlsplit(b)
        if not mine.scheme or mine[:3] != theirs[:3] or mine.fragment != theirs.fragment:
            return None
        left = Counter(parse_qsl(mine.query, keep_blank_values=True))
        right = Counter(parse_qsl(theirs.query, keep_blank_values=True))
        names |= {name for name, _value in ((left - right) | (right - left))}
    return sorted(names)


def _multiset(value: JSON) -> Counter[bytes]:
    return Counter(canonical(item) for item in value) if isinstance(value, list) else Counter()


def _is_number(value: JSON) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
