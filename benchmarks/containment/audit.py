"""What the targets' log says, held against what is known to be true of each call. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.containment.calls import Call
from shadow.catalogue.model import Side

OWN = frozenset({"refused", "stub", "replay", "wait"})
"""Answers of the gateway's own for calls that did not leave."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the database was away, on the monotonic clock."""

    began_at: float
    ended_at: float

    def touches(self, call: Call) -> bool:
        return call.began_at <= self.ended_at and call.ended_at >= self.began_at


@dataclass
class Findings:
    """All that is wrong, an example each, and what was counted."""

    leaks: list[str] = field(default_factory=list)
    """Writes that reached a target though no run with authority made them; reads that were not allowed."""
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Sound calls of runs with authority that did not arrive."""
    untrue: list[str] = field(default_factory=list)
    """Answers that don't fit what happened: a stub though the call left, a target's answer though it did not."""
    exposed: list[str] = field(default_factory=list)
    """Egress keys or headers of ours that reached a target, real credentials that did not."""
    strays: list[str] = field(default_factory=list)
    """Requests that nobody made: a followed redirect."""
    hung: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        return not (self.leaks or self.twice or self.lost or self.untrue or self.exposed or self.strays or self.hung)


def audit(
    calls: Sequence[Call],
    arrivals: Sequence[Mapping[str, Any]],
    outages: Sequence[Outage],
    touched: Collection[int],
    *,
    may_pass_away: Callable[[Call], bool],
    secrets: Collection[str],
    credential: str,
    credential_parameter: str,
) -> Findings:
    """Hold the two against each other.

    Args:
        touched: calls in which a fault was injected.
        may_pass_away: whether a call of an unknown legacy run may pass while the database is away: legacy has
            authority for all of its route at that time.
        secrets: the egress keys.
        credential: the real one that must be on every call to `pay`.
        credential_parameter: the same for `shop`.
    """
    found = Findings()
    by_number: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for arrival in arrivals:
        if arrival["call"] is None:
            found.strays.append(f"{arrival['method']} {arrival['path']}")
        else:
            by_number[int(arrival["call"])].append(arrival)
        _exposure(found, arrival, secrets, credential, credential_parameter)
    known = {call.number for call in calls}
    found.strays += [f"call {number} was never made" for number in by_number.keys() - known]
    for call in calls:
        away = any(outage.touches(call) for outage in outages)
        _judge(found, call, by_number.get(call.number, []), away, call.number in touched, may_pass_away)
    return found


def _judge(
    found: Findings,
    call: Call,
    arrived: Sequence[Mapping[str, Any]],
    away: bool,
    faulty: bool,
    may_pass_away: Callable[[Call], bool],
) -> None:
    times = len(arrived)
    got = call.got
    gateway = got.gateway if got is not None else None
    what = describe(call)
    found.counted["arrived"] += times
    found.counted["during_outage"] += away
    if any(one["path"].endswith("/followed") for one in arrived):
        found.strays.append(f"{what}: a redirect was followed")
    if times and call.truth != "real":
        if call.truth == "none" and call.is_read and call.reads == "forward":
            found.counted["reads_without_authority"] += times
        elif call.truth == "nobody" and call.kind == "unknown_run" and call.side is Side.LEGACY and away:
            if may_pass_away(call):
                found.counted["unknown_legacy_runs_while_away"] += times
            else:
                found.leaks.append(f"{what}: passed while the database was away, and legacy has no authority")
        else:
            found.leaks.append(what)
    elif times:
        found.counted["with_authority"] += times
    if times > 1:
        found.twice.append(f"{what}: arrived {times} times")
    if got is None:
        return
    if got.hung:
        found.hung.append(what)
    if got.status is not None and call.leave == "stays":
        if gateway is None and times == 0 and got.status != 404:
            found.untrue.append(f"{what}: answered {got.status} as if by the target, where it never arrived")
        if gateway in OWN and times and not faulty:
            found.untrue.append(f"{what}: {gateway} ({got.status}), though it arrived")
    if call.must_arrive and gateway == "unreachable" and times == 0:
        found.counted["told_unreachable"] += 1  # the machine was busy, and the worker was told the truth
    elif call.must_arrive and not away and not faulty and times == 0:
        found.lost.append(f"{what}: {got.status} {gateway}")


def describe(call: Call) -> str:
    """A call in a line."""
    return (
        f"call {call.number} ({call.kind}; {call.side.value} {call.task}, {call.lineage}, truth {call.truth})"
        f" {call.method} {call.path.decode('latin-1')[:90]} {call.behaviour}"
    )


def _exposure(
    found: Findings,
    arrival: Mapping[str, Any],
    secrets: Collection[str],
    credential: str,
    credential_parameter: str,
) -> None:
    text = f"{arrival['path']}?{arrival['query']}" + " ".join(f"{name}: {value}" for name, value in arrival["headers"])
    where = f"{arrival['method']} {arrival['path']}"
    if any(secret in text for secret in secrets):
        found.exposed.append(f"{where} carried an egress key")
    if any(name.startswith("x-shadow-") for name, _value in arrival["headers"]):
        found.exposed.append(f"{where} carried a header of ours")
    if arrival["path"].startswith("/pay/") and ["authorization", credential] not in [
        list(item) for item in arrival["headers"]
    ]:
        found.exposed.append(f"{where} lacked the real credential")
    if arrival["path"].startswith("/shop/") and credential_parameter not in arrival["query"]:
        found.exposed.append(f"{where} lacked the real credential")
