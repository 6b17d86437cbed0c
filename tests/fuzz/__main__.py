"""Fuzz whatever reads what comes from outside: `python -m tests.fuzz [--seconds 120] [--only NAME ...] [--jobs 2]`.

Each fuzzer runs in a process of its own, guided by coverage (atheris). A module may refuse what it is given by its own
exception; anything else is a crash. The last line is a JSON object; the exit code is 1 where anything crashed. Inputs
that crashed stay in `--keep`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MODULES = {
    **dict.fromkeys(
        (
            *("webhook-shopify", "webhook-stripe", "webhook-github", "webhook-slack", "webhook-standard-webhooks"),
            *("webhook-hmac", "inngest-events", "trigger-calls", "trigger-batches", "trigger-items", "superjson"),
            "run-lists",
        ),
        "doors",
    ),
    **dict.fromkeys(
        (
            *("reports-effects", "reports-runs", "reports-guard", "watcher", "egress-calls", "smtp-mails"),
            *("pgoutput", "redaction", "traces"),
        ),
        "workers",
    ),
    **dict.fromkeys(("jsonpath", "expressions", "ledgers", "regular-expressions"), "judging"),
    **dict.fromkeys(
        ("paths", "traceparent", "sql-statements", "catalogue", "spooled-items", "business-keys"), "inside"
    ),
}
"""Every fuzzer, and where it lives."""
NAMES = tuple(MODULES)
_GRACE = 300
"""Seconds beyond its time after which a fuzzer is taken to hang."""


def fuzz(name: str, seconds: int, folder: Path) -> dict[str, Any]:
    """Run one; what came of it."""
    corpus = folder / name
    corpus.mkdir(parents=True)
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.one", MODULES[name], name, str(seconds), str(corpus)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + _GRACE)
        code, said = done.returncode, done.stderr + done.stdout
    except subprocess.TimeoutExpired as error:
        code, said = -1, f"it hangs\n{error.stderr!r}"
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    found: dict[str, Any] = {
        "name": name,
        "ok": code == 0,
        "runs": int(runs[1]) if runs else 0,
        "seconds": round(time.monotonic() - begun, 1),
        "inputs": len(list(corpus.iterdir())),
    }
    if code != 0:
        found["said"] = "\n".join(line for line in said.splitlines() if not line.startswith("INFO:"))[-4000:]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="for each")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--keep", type=Path, help="where inputs that crashed are left")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shadow-fuzz-"))
    results = []
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            for found in pool.map(lambda name: fuzz(name, options.seconds, folder), options.only or NAMES):
                said = found.pop("said", "")
                print(f"{found['name']:28} {'ok' if found['ok'] else 'CRASHED':8} {found['runs']:>9} runs", flush=True)
                if said:
                    print(said, flush=True)
                results.append(found)
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            for crash in folder.glob("*-crash-*"):
                shutil.copy(crash, options.keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    crashed = [found["name"] for found in results if not found["ok"]]
    print(json.dumps({"bench": "fuzz", "ok": not crashed, "crashed": crashed, "fuzzers": results}))
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
