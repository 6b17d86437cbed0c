"""Events a second through the whole loop: accepted, delivered to both sides, both runs ended, effects, judged, counted.

PostgreSQL (embedded, fsync on), `shadow serve` and `shadow work` as they ship, and stand-ins of both platforms with
their workers share the machine with the load generator. Events come at a fixed rate, as arrays of ten at the Inngest
door (`--door webhook`: one signed delivery each); legacy's runs are started by Trigger.dev's batches, the candidate's
by arrays of events. Half a second later each run ends: its worker reports its five effects and its outcome, together
with those of up to a hundred others, at `/shadow/effects` and `/shadow/runs`. With `--gateway` every effect is a call
through the egress gateway instead; legacy's calls reach a target, the candidate's are answered from them. With
`--watched` the candidate's platform tells how each run ended, in a signed call to the watcher.

Required, for a minute: 500 events a second with effects in batches, no stage's backlog growing, every event a pair,
every pair a match, every match counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import uvloop

from benchmarks.loop.drive import Drive, Load
from benchmarks.loop.profile import Profile
from benchmarks.loop.world import world
from benchmarks.report import finish

REQUIRED_RATE = 500.0
_GATEWAY_RATE = 50.0
_STEP = 1.25
_FINER = 2
"""Halvings of the gap between the highest rate that held and the lowest that did not."""


async def drive(load: Load, *, gateway: bool, watched: bool, profiled: bool = False) -> dict[str, Any]:
    """One world, one load."""
    async with world(gateway=gateway, watched=watched) as here:
        driving = Drive(here)
        try:
            # Idle loops cost something as well: so much a second, whatever comes.
            idle = here.meter.cpu()
            await asyncio.sleep(5)
            idle = {name: round((spent - idle[name]) / 5, 3) for name, spent in here.meter.cpu().items()}
            profile = None
            if profiled:
                profile = Profile({name: here.pids[name] for name in ("serve", "work")}, here.url, here.folder)
            figures = await driving.go(load, profile)
        finally:
            driving.close()
        figures["idle_cores"] = idle
        if profile is not None:
            figures["profile"] = profile.figures
        return figures


async def highest(load: Load, *, gateway: bool, watched: bool) -> dict[str, Any]:
    """The highest rate that holds: steps upwards (or downwards, where the first does not), then halvings of the gap."""
    rate, held, failed, best = load.rate, 0.0, 0.0, {}
    while not (held and failed):
        figures = await drive(Load(load.door, rate, load.seconds), gateway=gateway, watched=watched)
        print(f"{rate:7.1f}/s {'holds' if figures['ok'] else 'does not hold'}", figures["backlog_growing"], flush=True)
        if figures["ok"]:
            held, best = rate, figures
        else:
            failed = rate
        rate = rate * _STEP if figures["ok"] else rate / _STEP
        if rate < 1:
            break
    for _ in range(_FINER):
        rate = (held + failed) / 2
        figures = await drive(Load(load.door, rate, load.seconds), gateway=gateway, watched=watched)
        print(f"{rate:7.1f}/s {'holds' if figures['ok'] else 'does not hold'}", figures["backlog_growing"], flush=True)
        if figures["ok"]:
            held, best = rate, figures
        else:
            failed = rate
    return {"highest_events_per_second": round(held, 1), "does_not_hold": round(failed, 1), "at_it": best}


async def measure(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    if options.find:
        rate = options.rate or (_GATEWAY_RATE if options.gateway else REQUIRED_RATE)
        found = await highest(
            Load(options.door, rate, options.seconds), gateway=options.gateway, watched=options.watched
        )
        return found, options.gateway or found["highest_events_per_second"] >= REQUIRED_RATE
    if options.cpu is not None:
        load = Load(options.door, options.rate or 250.0, 0.0, events=options.cpu)
        figures = await drive(load, gateway=options.gateway, watched=options.watched, profiled=options.profile)
        return figures, figures["ok"]
    figures, ok = {}, True
    variants = ["gateway"] if options.gateway else ["batches"] if options.batches else ["batches", "gateway"]
    for variant in variants:
        rate = options.rate or (_GATEWAY_RATE if variant == "gateway" else REQUIRED_RATE)
        load = Load(options.door, rate, options.seconds)
        rounds = []
        for number in range(options.rounds):
            done = await drive(load, gateway=variant == "gateway", watched=options.watched)
            rounds.append(done)
            print(f"{variant}, round {number + 1}: {json.dumps(done)}", file=sys.stderr, flush=True)
        figures[variant] = rounds if len(rounds) > 1 else rounds[0]
        if options.profile:
            # Sampling costs time of the very cores: apart from what is measured.
            sampled = await drive(
                Load(options.door, rate, 20.0),
                gateway=variant == "gateway",
                watched=options.watched,
                profiled=True,
            )
            figures[f"{variant}_profile"] = sampled["profile"]
        if variant == "batches":
            ok = rate >= REQUIRED_RATE and all(done["ok"] for done in rounds)
    return figures, ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="that are measured, once the loop is warm")
    parser.add_argument("--rate", type=float, help="events a second (default 500, through the gateway 50)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--door", choices=("inngest", "webhook"), default="inngest")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--batches", action="store_true", help="only with effects reported in batches")
    which.add_argument("--gateway", action="store_true", help="only with every effect a call through the gateway")
    parser.add_argument("--watched", action="store_true", help="the candidate's platform tells how each run ended")
    parser.add_argument("--profile", action="store_true", help="say where the CPU goes as well (needs py-spy)")
    parser.add_argument("--find", action="store_true", help="look for the highest rate that holds")
    parser.add_argument(
        "--cpu", type=int, metavar="EVENTS", help="only CPU seconds per 1,000 events, of so many: on a busy machine"
    )
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options))
    finish("loop", ok=ok, figures=figures)


if __name__ == "__main__":
    main()
