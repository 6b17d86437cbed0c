"""The containment benchmark's judgement: each way in which something may be wrong is found, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.containment.asgi import Got
from benchmarks.containment.audit import Findings, Outage, audit
from benchmarks.containment.calls import Call, Truth
from shadow.catalogue.model import Side

CREDENTIAL = "Bearer real"


def call(truth: Truth = "real", gateway: str | None = None, **more: Any) -> Call:
    made = Call(
        1, "sound", truth, Side.LEGACY, "pay", "replay", "producer's event", "POST", b"/egress/mail/x", b"", [], None
    )
    made.began_at, made.ended_at, made.got = 10.0, 11.0, Got(200, gateway, complete=True)
    made.must_arrive = truth == "real"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def arrival(number: int | None = 1, path: str = "/mail/x", query: str = "", **headers: str) -> dict[str, Any]:
    named = [[name.replace("_", "-"), value] for name, value in headers.items()]
    return {
        "call": None if number is None else str(number),
        "method": "POST",
        "path": path,
        "query": query,
        "headers": named,
    }


def found(
    calls: list[Call],
    arrivals: list[dict[str, Any]],
    *,
    away: bool = False,
    touched: bool = False,
    passes: bool = False,
) -> Findings:
    return audit(
        calls,
        arrivals,
        [Outage(10.5, 10.6)] if away else [],
        {1} if touched else set(),
        may_pass_away=lambda _call: passes,
        secrets=("shk_ours",),
        credential=CREDENTIAL,
        credential_parameter="shop-key",
    )


def wrong(findings: Findings) -> set[str]:
    names = ("leaks", "twice", "lost", "untrue", "exposed", "strays", "hung")
    return {name for name in names if getattr(findings, name)}


AWAY_AND_PASSES = {"away": True, "passes": True}
NONE = call("none", "stub")


@pytest.mark.parametrize(
    ("calls", "arrivals", "more", "expected"),
    [
        ([call()], [arrival()], {}, set()),
        ([NONE], [], {}, set()),
        # a write without authority arrived, whatever the gateway said of it
        ([call("none")], [arrival()], {}, {"leaks"}),
        ([call("nobody")], [arrival()], {}, {"leaks"}),
        ([call("none")], [arrival()], {"away": True}, {"leaks"}),
        ([call("none")], [arrival()], {"touched": True}, {"leaks"}),
        # a read may, where its task says so
        ([call("none", is_read=True)], [arrival()], {}, {"leaks"}),
        ([call("none", is_read=True, reads="forward")], [arrival()], {}, set()),
        # an unknown legacy run may pass while the database is away, and only there, and only if legacy has authority
        ([call("nobody", kind="unknown_run")], [arrival()], {"away": True, "passes": True}, set()),
        ([call("nobody", kind="unknown_run")], [arrival()], {"away": True}, {"leaks"}),
        ([call("nobody", kind="unknown_run")], [arrival()], {"passes": True}, {"leaks"}),
        (
            [call("nobody", kind="unknown_run", side=Side.CANDIDATE)],
            [arrival()],
            {"away": True, "passes": True},
            {"leaks"},
        ),
        # twice is once too often, faults or not
        ([call()], [arrival(), arrival()], {}, {"twice"}),
        ([call()], [arrival(), arrival()], {"touched": True}, {"twice"}),
        # what had to arrive and did not
        ([call(gateway="refused")], [], {}, {"lost"}),
        ([call(gateway="refused")], [], {"away": True}, set()),
        ([call(gateway="refused")], [], {"touched": True}, set()),
        ([call(gateway="unreachable")], [], {}, set()),
        # answers that don't fit
        ([call()], [], {"touched": True}, {"untrue"}),
        ([call(gateway="replay")], [arrival()], {}, {"untrue"}),
        # what nobody sent
        ([], [arrival(None)], {}, {"strays"}),
        ([call()], [arrival(), arrival(7)], {}, {"strays"}),
        ([call()], [arrival(path="/mail/followed")], {}, {"strays"}),
        # keys and credentials
        ([call()], [arrival(cookie="shk_ours")], {}, {"exposed"}),
        ([call()], [arrival(path="/mail/~shk_ours/x")], {}, {"exposed"}),
        ([call()], [arrival(x_shadow_run="run_1")], {}, {"exposed"}),
        ([call()], [arrival(path="/pay/x")], {}, {"exposed"}),
        ([call()], [arrival(path="/pay/x", authorization=CREDENTIAL)], {}, set()),
        ([call()], [arrival(path="/shop/x")], {}, {"exposed"}),
        ([call()], [arrival(path="/shop/x", query="api_key=shop-key")], {}, set()),
        # an answer that never came
        ([call(got=Got(None, None, complete=False, hung=True))], [arrival()], {}, {"hung"}),
    ],
)
def test_what_is_wrong_is_found(
    calls: list[Call], arrivals: list[dict[str, Any]], more: dict[str, bool], expected: set[str]
) -> None:
    findings = found(calls, arrivals, **more)
    assert wrong(findings) == expected
    assert findings.sound is not bool(expected)
