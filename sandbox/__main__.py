"""`python -m sandbox`: the stage as a process of its own.

Prints one line of JSON when everything is up: the URLs, the seed and the day of its dataset, and its faults. Ends
on SIGTERM or SIGINT, and when the other end of a piped standard input goes away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import stat
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

import orjson
import structlog
import uvloop

from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.faults import FAULTS, Faults
from sandbox.stage import EgressKeys, Ports, Stage


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--front-url", required=True, help="Shadow's front listener: the gateway and the doors")
    parser.add_argument("--egress-legacy", required=True, help="legacy's egress key")
    parser.add_argument("--egress-candidate", required=True, help="the candidate's egress key")
    parser.add_argument("--database-legacy", required=True, help="URL of legacy's database")
    parser.add_argument("--database-candidate", required=True, help="URL of the candidate's")
    parser.add_argument("--faults", default="none", help=f"names, or none: {', '.join(FAULTS)}")
    parser.add_argument("--ports-file", type=Path, help="write the line of JSON to this file too")
    parser.add_argument("--seed", type=int, default=1, help="of the dataset")
    parser.add_argument("--scale", type=int, default=80, help="of the dataset: events for each busy task")
    parser.add_argument("--today", type=date.fromisoformat, help="day of the dataset (default: today in UTC)")
    for name in ("trigger", "inngest", "app"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="default: a free one")
    options = parser.parse_args()
    try:
        faults = Faults.parse(options.faults)
    except ValueError as error:
        parser.error(str(error))
    # Standard output carries the one line; whatever is logged goes beside it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    dataset = Dataset.build(options.seed, options.today, scale=options.scale)
    ports = Ports(options.trigger_port, options.inngest_port, options.app_port)
    stage = Stage(
        options.front_url,
        EgressKeys(options.egress_legacy, options.egress_candidate),
        DatabaseUrls(options.database_legacy, options.database_candidate),
        faults=faults.names,
        dataset=dataset,
        ports=ports,
    )
    uvloop.run(_serve(stage, options.ports_file))


async def _serve(stage: Stage, ports_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if _is_piped(sys.stdin.fileno()):
        loop.add_reader(sys.stdin.fileno(), _read_or_stop, stop)
    async with stage:
        told = {
            **asdict(stage.urls),
            "seed": stage.dataset.seed,
            "today": stage.dataset.today.isoformat(),
            "faults": stage.faults.by_task(),
        }
        line = orjson.dumps(told).decode()
        if ports_file is not None:
            # Whoever waits for the file must never see half of it.
            part = ports_file.with_name(ports_file.name + ".part")
            part.write_text(line + "\n")
            part.replace(ports_file)
        print(line, flush=True)
        await stop.wait()


def _is_piped(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read_or_stop(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


if __name__ == "__main__":
    main()
