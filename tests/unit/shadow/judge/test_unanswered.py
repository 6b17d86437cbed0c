"""What a run did otherwise because the gateway knew too little yet says nothing of the port."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from shadow.effects import answered
from shadow.judge.unanswered import WAITED_FOR, unanswered

ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Run:
    authority: str = "none"
    status: str = "failed"
    error_message: str | None = "shop answered 403"


@dataclass(frozen=True)
class Made:
    disposition: str = "forward"
    status: int | None = 200
    identity: str | None = "1"
    target: str = "shop"
    operation: str = "GET /orders/{id}"
    was_nobodys: bool = False
    id: UUID = field(default_factory=uuid4)


REFUSED = Made("refuse", 403)


def said(run: Run, calls: list[Made], twins: list[Made], *, kept: bool = True) -> str | None:
    return unanswered(run, calls, twins, {(call.id, answered.PART) for call in twins if kept})


def test_a_call_that_was_refused_though_its_twin_got_an_answer_excuses_what_follows() -> None:
    why = said(Run(), [REFUSED], [Made()])
    assert why == "unanswered: its twin's answer to GET /orders/{id} at shop was known too late"


@pytest.mark.parametrize(
    ("run", "call", "twin"),
    [
        (Run(), REFUSED, Made(identity="2")),
        (Run(), REFUSED, Made(operation="POST /orders")),
        (Run(), REFUSED, Made(target="pay")),
        (Run(), REFUSED, Made("refuse", 403)),
        (Run(), Made("replay", 403), Made()),
        (Run(), Made("stub", 201), Made()),
        (Run(), Made("refuse", 400), Made()),
        (Run("real"), REFUSED, Made()),
    ],
)
def test_nothing_else_does(run: Run, call: Made, twin: Made) -> None:
    """A call that the twin never made, an answer that it got as well, a body that can't be read."""
    assert said(run, [call], [twin]) is None


def test_nor_does_an_answer_that_was_too_long_to_be_kept() -> None:
    assert said(Run(), [REFUSED], [Made()], kept=False) is None


def test_a_run_that_was_asked_to_come_back_until_its_attempts_were_over_is_excused() -> None:
    told = Run(error_message=f"GET shop.example {WAITED_FOR}")
    twins = [Made(), Made(identity="2")]
    assert (said(told, [Made("replay")], twins) or "").startswith("told_to_wait: ")
    assert said(Run(status="completed", error_message=told.error_message), [], twins) is None


def test_a_run_that_waited_for_what_its_twin_never_asked_for_is_not() -> None:
    told = Run(error_message=f"POST pay.example {WAITED_FOR}")
    assert said(told, [Made("replay")], [Made()]) is None
    assert said(told, [], []) is None


def test_so_is_one_with_authority_which_waits_only_while_nobody_can_say_whose_its_calls_are() -> None:
    told = Run("real", error_message=f"POST pay.example {WAITED_FOR}")
    assert (said(told, [Made()], [Made("replay"), Made("stub", 201, "2")]) or "").startswith("told_to_wait: nobody")
    assert said(Run("real", "completed", told.error_message), [], [Made("stub")]) is None
    assert said(Run("real"), [Made()], [Made()]) is None


def test_unless_it_did_all_that_its_twin_did() -> None:
    """What it waited for its twin never asked for."""
    told = Run("real", error_message=f"POST pay.example {WAITED_FOR}")
    assert said(told, [Made(), Made(identity="2")], [Made("replay")]) is None
    assert said(told, [], []) is None


@pytest.mark.parametrize("authority", ["real", "none"])
@pytest.mark.parametrize("twin", [Made(), Made("stub", 201), REFUSED])
def test_a_call_that_was_refused_because_nobody_could_say_whose_it_was_excuses_what_follows(
    authority: str, twin: Made
) -> None:
    refused = Made("refuse", 403, was_nobodys=True)
    why = said(Run(authority), [refused], [twin])
    assert why == "unknown_run: it was refused GET /orders/{id} at shop, as nobody could say yet whose call it was"
    assert said(Run(authority), [Made("forward", 201, was_nobodys=True)], [twin]) is None


@pytest.mark.parametrize("authority", ["real", "none"])
@pytest.mark.parametrize("twin", [Made(identity="2"), Made(target="pay"), Made(operation="POST /orders")])
def test_but_not_if_its_twin_never_made_it(authority: str, twin: Made) -> None:
    """Had it been known whose it is, it would be one too many."""
    assert said(Run(authority), [Made("refuse", 403, was_nobodys=True)], [twin]) is None


@pytest.mark.parametrize(
    "source", ["shadow/capture/http.py", *(f"clients/typescript/src/{name}.js" for name in ("fetch", "undici"))]
)
def test_the_client_packages_say_it_in_these_words(source: str) -> None:
    assert WAITED_FOR in (ROOT / source).read_text()
