"""20,000 clean pairs full of noise, and at least 500 faults of at least 40 kinds, through the real loop.

Runs of the seven tasks of the commerce example are written into a real PostgreSQL as intake, fan-out, the gateway, the
workers' reports and the outcome collector leave them, by the code that keeps them (redacted, as evidence), and judged
by the real loop with the sandbox's own catalogue; verdicts and differences are read through the reports. Two hands
write each pair: ids, clocks, order, retries and spellings are each run's own. A fault is found when the verdict says
so and a difference names the place where it was put. Required: every fault found, no clean pair but a match.
"""

from __future__ import annotations

import argparse
import logging

import uvloop

from benchmarks.faults.bench import Bench, Findings, Options
from benchmarks.faults.fault import KINDS
from benchmarks.faults.world import world
from benchmarks.report import finish
from shadow.observe import logs

LEAST_KINDS = 40
LEAST_INSTANCES = 500
LEAST_PAIRS = 20_000
_SHOWN = 12


async def measure(options: Options) -> Findings:
    """One run of the benchmark."""
    async with world() as made:
        return await Bench(options, made).run()


def figures(options: Options, findings: Findings) -> dict[str, object]:
    """What is told of a run."""
    return {
        "seed": options.seed,
        "clean_pairs": findings.clean["pairs"],
        "false_alarms": len(findings.alarms),
        "kinds": len(findings.injected),
        "injected": findings.injected.total(),
        "found": findings.found.total(),
        "by_kind": {kind: [findings.found[kind], count] for kind, count in sorted(findings.injected.items())},
        "seconds": findings.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS, help="clean pairs")
    parser.add_argument("--instances", type=int, default=600, help="faults, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only this kind of fault")
    parser.add_argument("--task", action="append", help="clean pairs of this task only")
    given = parser.parse_args()
    logs.configure(level="critical")
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    options = Options(
        pairs=given.pairs,
        instances=given.instances,
        seed=given.seed,
        only=tuple(given.kind or ()),
        tasks=tuple(given.task or ()),
        progress=lambda text: print(text, flush=True),
    )
    findings = uvloop.run(measure(options))
    for about, count in findings.groups.most_common(_SHOWN):
        print(f"{count:6} false alarms: {about}")
    for line in findings.alarms[:_SHOWN]:
        print(f"false alarm: {line[:900]}")
    for line in findings.missed[:_SHOWN]:
        print(f"missed: {line[:900]}")
    for kind, count in sorted(findings.injected.items()):
        print(f"{findings.found[kind]:4} of {count:4} {kind}")
    enough = (
        len(findings.injected) >= LEAST_KINDS
        and findings.injected.total() >= LEAST_INSTANCES
        and findings.clean["pairs"] >= LEAST_PAIRS
    )
    finish("faults", ok=findings.sound and enough, figures=figures(options, findings))


if __name__ == "__main__":
    main()
