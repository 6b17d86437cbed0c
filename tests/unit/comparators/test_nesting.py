"""How deeply JSON may be nested, and that everything behind it can take that."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import JSON, Effect, Ledger, Outcome, Rules, Verdict, judge
from comparators.kinds import normal
from comparators.nesting import DEEPEST, DEEPEST_EMBEDDED, WRITABLE, TooDeep, is_deeper, read

KINDS = ("http", "email", "sql", "state", "event")
BORN = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6{}"


def nested(levels: int, leaf: JSON, member: Callable[[int], bool] = lambda _level: True) -> JSON:
    """Objects, or arrays where `member` says no."""
    value = leaf
    for level in range(levels):
        value = {"a": value} if member(level) else [value]
    return value


def embedded(times: int, leaf: str) -> str:
    """A document in a text in a document."""
    for _ in range(times):
        leaf = orjson.dumps(nested(DEEPEST_EMBEDDED - 1, leaf)).decode()
    return leaf


@pytest.mark.parametrize("levels", [1, DEEPEST - 1, DEEPEST])
def test_what_is_deep_enough_is_read(levels: int) -> None:
    assert read(orjson.dumps(nested(levels, 1))) == nested(levels, 1)


@pytest.mark.parametrize("levels", [DEEPEST + 1, WRITABLE])
def test_what_is_deeper_is_refused_with_the_limit(levels: int) -> None:
    with pytest.raises(TooDeep, match=f"nested deeper than {DEEPEST} levels"):
        read(orjson.dumps(nested(levels, 1)))


@pytest.mark.parametrize("levels", [WRITABLE + 1, 1000, 1024, 1025, 100_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_however_deep_it_is_no_json_to_the_caller(levels: int, brackets: tuple[bytes, bytes]) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        read(brackets[0] * levels + b"1" + brackets[1] * levels)


def test_the_library_writes_as_many_levels_as_we_say() -> None:
    orjson.dumps(nested(WRITABLE, 1))
    with pytest.raises(TypeError):
        orjson.dumps(nested(WRITABLE + 1, 1))


def test_many_brackets_are_not_deep() -> None:
    wide = [{"a": [index]} for index in range(1000)]
    assert read(orjson.dumps(wide)) == wide
    assert read(orjson.dumps({"text": "[" * 1000 + "{" * 1000}))


@given(st.recursive(st.none() | st.integers(0, 9) | st.text('[{]}"\\', max_size=3), lambda part: st.lists(part)))
def test_depth_is_what_it_is(value: JSON) -> None:
    levels = _depth(value)
    assert not is_deeper(value, levels)
    assert levels == 0 or is_deeper(value, levels - 1)


def _depth(value: JSON) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("kind", "member"),
    [("http", lambda _: True), ("sql", lambda _: False), ("event", lambda level: level % 2 == 0)],
)
def test_the_judge_takes_the_deepest_documents(kind: str, member: Callable[[int], bool]) -> None:
    def ledger(leaf: JSON) -> Ledger:
        data: JSON = {"body": nested(DEEPEST + 10, leaf, member)}
        return Ledger(Outcome("completed", data), (Effect(kind, "target", "POST /v1/x", None, data),) * 2)

    known = nested(DEEPEST, "order-1", member)
    assert judge(ledger(1), ledger(2), Rules(), known=known, explain=True).verdict is Verdict.mismatch
    born = judge(ledger(BORN.format(1)), ledger(BORN.format(2)), Rules(), known=known, explain=True)
    assert born.verdict in (Verdict.match, Verdict.mismatch)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_in_texts_do_not_add_up(kind: str) -> None:
    text = embedded(5, "x")
    normal(kind, {"body": nested(DEEPEST, text), "content_type": "application/json"})
    normal(kind, {"body": {"payload": text}, "content_type": "application/x-www-form-urlencoded"})
