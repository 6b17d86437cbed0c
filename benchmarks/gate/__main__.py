"""How often the statistic of a gate errs, and how soon it answers.

Simulated migrations, looked at after every pair: true mismatch rates at the budget and above it must open a gate in at
most 5 % of the epochs, and, with `over_epochs`, of the migrations, plus three standard errors; a perfect candidate must
open it after at most 1.25 times the pairs that a test with one look needs. Pairs start in bursts; each mismatch is a
miss, known 300 pairs late; deploys end epochs; verdicts change after they were counted, both ways. Which pairs may be
counted, and whether the statistic is open, is asked of the engine's own code.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.gate.figures import Budget
from benchmarks.report import finish

BUDGETS = (0.01, 0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--migrations", type=int, default=10_000, help="simulated for each true rate")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures: dict[str, object] = {"migrations": options.migrations, "seed": options.seed}
    ok = True
    started = time.monotonic()
    for budget in BUDGETS:
        good, found = Budget(budget, options.migrations, options.seed).measured()
        ok &= good
        figures[f"budget {budget:g}"] = found
        print(f"budget {budget:.1%}: {json.dumps(found, indent=2)}", flush=True)
    figures["seconds"] = round(time.monotonic() - started)
    finish("gate", ok=ok, figures=figures)


if __name__ == "__main__":
    main()
