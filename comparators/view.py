"""Views: both values of a comparison side by side, with unified ids equal, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from comparators.align import Aligned, Items, align, restored, same_layout
from comparators.canonical import JSON
from comparators.layout import Comparison
from comparators.patch import Operation, patch

_CONTEXT = 2
"""Lines shown before and after each that differs."""
_MOST_LINES = 400
_INDENT = "  "
_LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class View:
    """Two values of a pair that do not say the same."""

    place: str
    """Normalised JSONPath of the values in the pair: of the output, or of the data of an effect."""
    legacy: JSON
    """Legacy's value, normalised, without what rules leave out."""
    candidate: JSON
    """The candidate's, in which all that corresponds to legacy's has been replaced by it: only what counts differs."""
    text: str
    """Both, line by line: `-` is legacy's, `+` the candidate's, `...` stands for lines that are equal."""
    patch: list[Operation]
    """RFC 6902: applied to `legacy`, it yields `candidate`."""
    recorded_patch: list[Operation]
    """RFC 6902: applied to legacy's normalised value, it yields the candidate's, noise included."""


def view_of(place: str, compared: Comparison, recorded: tuple[JSON, JSON]) -> View:
    """The view of two compared values, and of what they were before rules and correspondence."""
    raw = align(*recorded, repr_of)
    return View(
        place,
        restored(compared.legacy),
        restored(compared.candidate),
        "\n".join(text_lines(compared.legacy, compared.candidate)),
        patch(compared.legacy, compared.candidate),
        patch(*raw),
    )


def repr_of(value: JSON) -> bytes:
    """A cheap stand-in for the shape of a value: patches need no ids in correspondence."""
    return json.dumps(value, sort_keys=True).encode()


def text_lines(legacy: Aligned, candidate: Aligned) -> list[str]:
    """Both values as lines, `-` before legacy's and `+` before the candidate's; runs of equal lines are cut short."""
    lines = list(_lines(legacy, candidate, "", ""))
    shown: list[str] = []
    near = [False] * len(lines)
    for number, line in enumerate(lines):
        if line[0] != " ":
            for close in range(max(0, number - _CONTEXT), min(len(lines), number + _CONTEXT + 1)):
                near[close] = True
    for number, line in enumerate(lines):
        if near[number]:
            shown.append(line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "...")
        elif not shown or shown[-1] != "  ...":
            shown.append("  ...")
    if len(shown) > _MOST_LINES:
        return [*shown[:_MOST_LINES], f"  ... and {len(shown) - _MOST_LINES} lines more"]
    return shown


def _lines(legacy: Aligned, candidate: Aligned, name: str, depth: str) -> Iterator[str]:
    if not isinstance(legacy, dict) or not isinstance(candidate, dict) or type(legacy) is not type(candidate):
        if same_layout(legacy, candidate):
            yield from _side(" ", legacy, name, depth)
        else:
            yield from _side("-", legacy, name, depth)
            yield from _side("+", candidate, name, depth)
        return
    is_array = isinstance(legacy, Items)
    if not legacy and not candidate:
        yield f"  {depth}{name}{'[]' if is_array else '{}'}"
        return
    yield f"  {depth}{name}{'[' if is_array else '{'}"
    inner = depth + _INDENT
    for label in [*legacy, *(label for label in candidate if label not in legacy)]:
        shown = "" if is_array else f"{json.dumps(label, ensure_ascii=False)}: "
        if label not in candidate:
            yield from _side("-", legacy[label], shown, inner)
        elif label not in legacy:
            yield from _side("+", candidate[label], shown, inner)
        else:
            yield from _lines(legacy[label], candidate[label], shown, inner)
    yield f"  {depth}{']' if is_array else '}'}"


def _side(mark: str, value: Aligned, name: str, depth: str) -> Iterator[str]:
    text = json.dumps(restored(value), ensure_ascii=False, indent=len(_INDENT))
    for number, line in enumerate(text.split("\n")):
        yield f"{mark} {depth}{name if number == 0 else ''}{line}"
