"""100,000 calls with random methods, targets, phases, moves, keys, lineage and faults; nothing may leak.

Workers of both sides, started by pretend platforms, call targets through the real front application on a real
PostgreSQL: children with and without parents, replays, canaries, unknown runs, keys of nobody and of the other side,
undeclared targets, paths that climb, bodies that are malformed, too long or cut off, workers that leave. Meanwhile
routes move, through ramps as well, with and without a reverse shadow, the database crashes, and the gateway's own
stages fail at random. Afterwards the log of the targets, which are a process of their own, is held against what is
known to be true of each call.
Required: no write arrived but of a run with authority; nothing arrived twice; every sound call of a run with authority
arrived; every answer was true; no key of ours went out. `--sabotage` breaks the gateway: then it must find leaks.
"""

from __future__ import annotations

import argparse
import logging

import uvloop

from benchmarks.containment.audit import Findings
from benchmarks.containment.bench import Bench, Options, figures
from benchmarks.containment.sabotage import KINDS, sabotaged
from benchmarks.containment.world import world
from benchmarks.report import finish
from shadow.observe import logs

_SHOWN = 5
_DISPOSITIONS = "SELECT disposition, count(*) FROM effects WHERE seen_by = 'gateway' GROUP BY 1 ORDER BY 1"
_INCIDENTS = "SELECT kind, count(*) FROM incidents GROUP BY 1 ORDER BY 1"


async def measure(options: Options, sabotage: str | None = None) -> tuple[Bench, Findings, dict[str, object]]:
    """One run of the benchmark: what was found, and the figures."""
    bench = Bench(options)
    with sabotaged(sabotage):
        async with world(bench.started) as made:
            try:
                found = await bench.run(made)
            finally:
                bench.faults.remove()
            dispositions = dict(await bench.recorded(_DISPOSITIONS))
            incidents = dict(await bench.recorded(_INCIDENTS))
    return bench, found, figures(bench, found, dispositions, incidents)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=320, help="runs under way at once")
    parser.add_argument("--crashes", type=int, default=5, help="of the database")
    parser.add_argument("--fault-rate", type=float, default=0.004, help="of every stage that a call passes")
    parser.add_argument("--sabotage", choices=KINDS, help="break the gateway; leaks must be found then")
    given = parser.parse_args()
    logs.configure(level="critical")
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # the crashes are meant
    options = Options(
        calls=given.calls,
        seed=given.seed,
        workers=given.workers,
        crashes=given.crashes,
        fault_rate=given.fault_rate,
        progress=lambda text: print(text, flush=True),
    )
    bench, found, told = uvloop.run(measure(options, given.sabotage))
    for name in ("leaks", "twice", "lost", "untrue", "exposed", "strays", "hung"):
        for line in getattr(found, name)[:_SHOWN]:
            print(f"{name}: {line}")
    for line in bench.wrong_decisions[:_SHOWN]:
        print(f"wrong decision: {line}")
    ok = found.sound and not bench.wrong_decisions and len(bench.calls) >= given.calls
    finish("containment", ok=ok, figures={"seed": given.seed, "sabotage": given.sabotage, **told})


if __name__ == "__main__":
    main()
