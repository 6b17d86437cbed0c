"""Both platforms, their workers and a target in one process, as cheap as they can be.

The platforms answer deliveries at once. A run ends half a second after it was started: its worker then tells what it
did and how it ended. As workers of busy apps do, it tells of many runs together: of those that ended within a quarter
of a second, and of a hundred at most, what they did before how they ended. Through the gateway each run makes its calls
one after the other, and tells how it ended together with the others. Where the candidate is watched, its platform tells
how each of its runs ended, in a call of its own. What is refused is told again until it is taken.

Nothing is to be found in the platforms' own lists: the reconcilers look, and find what lags behind.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence

import orjson
import uvloop

from benchmarks.loop.catalogue import TASK
from benchmarks.loop.traffic import Run, calls, effects_report, outcomes_report, watched
from benchmarks.loop.wire import Lines, Message, Serving, answer
from benchmarks.processes import HOST
from shadow.model.ids import Seed

RUN_SECONDS = 0.5
GATHER_SECONDS = 0.25
MOST_TOLD = 100
"""Runs in one report."""
_RETRY_SECONDS = 0.5
_SEED = b"x-inngest-event-id-seed:"


class Workers:
    """The workers of one side."""

    def __init__(
        self, side: str, reports: Lines, gateway: Lines, key: bytes | None, counts: Counter[str], *, watched: bool
    ) -> None:
        """
        Args:
            gateway: for what is called once a run, or for each of its effects.
            key: an egress key: the runs call through the gateway; else they report what they did.
            watched: whether the platform tells how each run ended; else the workers do, of many together.
        """
        self._watched = watched
        self._side = side
        self._reports = reports
        self._gateway = gateway
        self._key = key
        self._counts = counts
        self._begun: deque[tuple[float, list[Run]]] = deque()
        self._ended: list[Run] = []
        self._telling: set[asyncio.Task[None]] = set()

    def begin(self, runs: list[Run]) -> None:
        self._begun.append((time.monotonic() + RUN_SECONDS, runs))
        self._counts[f"{self._side}_runs"] += len(runs)

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            now = time.monotonic()
            while self._begun and self._begun[0][0] <= now:
                runs = self._begun.popleft()[1]
                if self._key is None:
                    self._ended += runs
                else:
                    for run in runs:
                        self._spawn(self._call(run, self._key))
            ended, self._ended = self._ended, []
            for start in range(0, len(ended), MOST_TOLD):
                self._spawn(self._tell(ended[start : start + MOST_TOLD]))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _call(self, run: Run, key: bytes) -> None:
        for request in calls(run, key):
            await self._until_taken(self._gateway, request)
            self._counts["calls"] += 1
        self._ended.append(run)

    async def _tell(self, runs: Sequence[Run]) -> None:
        now = time.time_ns() // 1_000_000
        if self._key is None:
            await self._until_taken(self._reports, effects_report(runs, now))
        if self._watched:
            await asyncio.gather(*(self._until_taken(self._gateway, watched(run, now)) for run in runs))
        else:
            await self._until_taken(self._reports, outcomes_report(runs, now))
        self._counts["told"] += len(runs)

    async def _until_taken(self, lines: Lines, request: bytes) -> None:
        while True:
            status, body = await lines.ask(request)
            if status in (200, 206):
                return
            self._counts[f"refused_{status}"] += 1
            if self._counts[f"refused_{status}"] == 1:
                print(f"{self._side}: {status} {body[:500]!r}", flush=True)
            await asyncio.sleep(_RETRY_SECONDS)


class StandIns:
    """What the platforms and the target answer."""

    def __init__(self, legacy: Workers, candidate: Workers, counts: Counter[str]) -> None:
        self._legacy = legacy
        self._candidate = candidate
        self._counts = counts
        self._numbers = itertools.count(1)

    def respond(self, message: Message) -> bytes:
        method, path, _version = message.start.split(b" ")
        if path.startswith(b"/pay/"):
            self._counts["forwarded"] += 1
            return answer(200, b'{"id":"tr_%d","object":"transfer"}' % next(self._numbers))
        if method == b"GET":
            if path.startswith(b"/figures"):
                return answer(200, orjson.dumps(self._counts))
            return answer(200, b'{"data":[],"pagination":{}}')
        self._counts["requests"] += 1
        if path.startswith(b"/e/"):
            return answer(200, self._events(message))
        if path == b"/api/v1/tasks/%s/trigger" % TASK.encode():
            return answer(200, self._trigger(message))
        if path == b"/api/v1/tasks/batch":
            return answer(200, self._batch(message))
        self._counts["unserved"] += 1
        return answer(404, b'{"error":"nothing runs here"}')

    def _events(self, message: Message) -> bytes:
        """The candidate starts a run for each event."""
        events = orjson.loads(message.body)
        mark = message.head.find(_SEED)
        seed = None
        if mark >= 0:
            # Base64 tells capitals from small letters: the head as it came, not in lower case.
            header = message.original[mark + len(_SEED) :].partition(b"\r\n")[0]
            seed = Seed.parse(header.strip().decode())
        seed = seed or Seed.new()
        ids = list(itertools.islice(seed.ulids(), len(events)))
        self._candidate.begin(
            [
                Run("candidate", f"01RUN{next(self._numbers):021d}", _number(event["data"]), event["id"])
                for event in events
            ]
        )
        return orjson.dumps({"ids": ids, "status": 200})

    def _trigger(self, message: Message) -> bytes:
        name = f"run_{next(self._numbers):022d}"
        self._legacy.begin([Run("legacy", name, _number(orjson.loads(message.body)["payload"]), None)])
        return orjson.dumps({"id": name, "isCached": False})

    def _batch(self, message: Message) -> bytes:
        items = orjson.loads(message.body)["items"]
        runs = [Run("legacy", f"run_{next(self._numbers):022d}", _number(item["payload"]), None) for item in items]
        self._legacy.begin(runs)
        named = [
            {
                "id": run.name,
                "taskIdentifier": item["task"],
                "isCached": False,
                "idempotencyKey": item["options"].get("idempotencyKey"),
            }
            for run, item in zip(runs, items, strict=True)
        ]
        return orjson.dumps({"id": f"batch_{next(self._numbers)}", "isCached": False, "runs": named})


def _number(data: dict[str, str]) -> int:
    """The number that `traffic` put into the event."""
    return int(data["requestId"].removeprefix("wd_"))


async def serve(port: int, front: int, keys: dict[str, bytes | None], *, watched: bool) -> None:
    """Until cancelled.

    Args:
        front: the port of Shadow's front listener.
        keys: egress keys by side, where the runs call through the gateway.
        watched: whether the candidate's platform calls the watcher.
    """
    counts: Counter[str] = Counter()
    workers = {
        side: Workers(
            side,
            Lines(HOST, front, 4),
            Lines(HOST, front, 24),
            keys[side],
            counts,
            watched=watched and side == "candidate",
        )
        for side in ("legacy", "candidate")
    }
    stand_ins = StandIns(workers["legacy"], workers["candidate"], counts)
    server = await asyncio.get_running_loop().create_server(lambda: Serving(stand_ins.respond), HOST, port)
    async with server:
        await asyncio.gather(*(side.work() for side in workers.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--front", type=int, required=True)
    parser.add_argument("--egress-keys", default="{}", help="by side, as JSON")
    parser.add_argument("--watched", action="store_true", help="the candidate's platform tells how each run ended")
    options = parser.parse_args()
    given = json.loads(options.egress_keys)
    egress = {side: given[side].encode() if side in given else None for side in ("legacy", "candidate")}
    uvloop.run(serve(options.port, options.front, egress, watched=options.watched))
