"""What became of it all, by three witnesses: the ledger, both platforms' own lists of runs, and the targets' books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import orjson

from sandbox.commerce.plan import SendEvents, Trigger
from sandbox.commerce.producers import Sent
from shadow.store.database import Database, Work

_OPEN = """
SELECT (SELECT count(*) FROM dispatches WHERE state <> 'dead')
     + (SELECT count(*) FROM runs WHERE state <> 'finished' AND coalesce(scheduled_at, now()) <= now())
"""
# Of every event of a producer: who had authority, who ended its run, and whose writes went out.
EVENTS = """
SELECT event.id, event.name, event.external_id, event.phase, event.authority,
       ARRAY(SELECT DISTINCT run.side FROM runs AS run
             WHERE run.event_id = event.id AND run.authority = 'real') AS real,
       ARRAY(SELECT run.side FROM runs AS run
             WHERE run.event_id = event.id AND run.authority = 'real' AND run.state = 'finished') AS ended,
       ARRAY(SELECT DISTINCT run.side FROM runs AS run JOIN effects AS effect ON effect.run_id = run.id
             WHERE run.event_id = event.id AND effect.seen_by = 'gateway' AND effect.disposition = 'forward'
               AND effect.writes) AS wrote
FROM events AS event WHERE event.origin = 'producer' AND event.purpose = 'live'
"""


async def settled(database: Database, patience: float) -> bool:
    """Wait until nothing is queued or under way; False when it still is after `patience` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while loop.time() < until:
        async with database.connection(Work.CONTROL) as connection:
            row = await (await connection.execute(_OPEN)).fetchone()
        if row == (0,):
            return True
        await asyncio.sleep(0.5)
    return False


async def books(stage_url: str) -> dict[str, Any]:
    """What the outside world says."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        found: dict[str, Any] = (await client.get(f"{stage_url}/books")).raise_for_status().json()
    return found


async def audit(database: Database, told: dict[str, Any], sent: Iterable[Sent]) -> dict[str, Any]:
    """The figures; see the bench's docstring for what they have to be."""
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(EVENTS)
        events = await cursor.fetchall()
        leaks = await (await connection.execute("SELECT count(*) FROM incidents WHERE kind = 'leak'")).fetchone()
        dead = await (await connection.execute("SELECT count(*) FROM dispatches WHERE state = 'dead'")).fetchone()
        automatic = await (await connection.execute("SELECT count(*) FROM moves WHERE cause = 'automatic'")).fetchone()
    assert leaks is not None
    assert dead is not None
    assert automatic is not None
    twice = done_twice(told)
    acknowledged = [action for action in sent if action.acknowledged]
    by_phase = Counter(f"{phase}: {authority}" for _id, _name, _external, phase, authority, *_rest in events)
    return {
        "acknowledged": len(acknowledged),
        "events": len(events),
        "events_by_phase_and_authority": dict(sorted(by_phase.items())),
        "lost": lost(acknowledged, told) + sum(1 for event in events if not event[6]),
        "dead_letters": dead[0],
        "second_runs": second_runs(told),
        "not_exactly_one_side": sum(
            1
            for *_which, authority, real, _ended, wrote in events
            if real != [authority] or len(wrote) > 1 or (wrote and wrote != [authority])
        ),
        "done_twice": sum(twice.values()),
        "twice": [f"{target} {path}: {body.decode()}" for target, path, body in twice][:5],
        "leaks": leaks[0],
        "moved_back_by_itself": automatic[0],
        "producer_errors": sum(1 for action in sent if not action.acknowledged),
        "sent_again": sum(action.attempts - 1 for action in sent),
    }


def lost(acknowledged: Iterable[Sent], told: dict[str, Any]) -> int:
    """Acknowledged actions of which neither platform has a run that ended."""
    ran = {_subject(run["payload"]) for run in told["runs"]["legacy"] if run["status"] in ("COMPLETED", "FAILED")}
    ran |= {_subject(run["data"]) for run in told["runs"]["candidate"] if run["status"] in ("Completed", "Failed")}
    return sum(1 for sent in acknowledged if _subject(_data(sent.action)) not in ran)


def _data(action: object) -> object:
    match action:
        case SendEvents(events=events):
            return events[0]["data"]
        case Trigger(payload=payload):
            return payload
        case _:
            raise TypeError(f"expected an action of the load, found {action!r}")


def _subject(data: object) -> str:
    """Which payout or application a run is of."""
    return str(data.get("requestId") or data.get("creatorId")) if isinstance(data, dict) else ""


def second_runs(told: dict[str, Any]) -> int:
    """Runs that a platform started a second time for one and the same event."""
    legacy = Counter(
        (run["task"], orjson.dumps(run["payload"], option=orjson.OPT_SORT_KEYS), run["parent_id"])
        for run in told["runs"]["legacy"]
    )
    candidate = Counter(
        (run["function"], run["event_id"] or run["internal_event_id"]) for run in told["runs"]["candidate"]
    )
    return sum(count - 1 for count in [*legacy.values(), *candidate.values()])


def done_twice(told: dict[str, Any]) -> Counter[tuple[str, str, bytes]]:
    """Transfers, mails and messages beyond the first of the same content: by target, path and content."""
    seen = Counter(
        (call["target"], call["path"], orjson.dumps(_content(call["body"]), option=orjson.OPT_SORT_KEYS))
        for call in told["targets"]
        if call["authorized"] and call["method"] != "GET" and call["status"] < 400 and not call["replayed"]
    )
    return Counter({what: count - 1 for what, count in seen.items() if count > 1})


def _content(body: object) -> object:
    """A call's body without the moment of the run's own clock, which a second run would have anew."""
    if isinstance(body, dict):
        return {name: _content(value) for name, value in body.items() if name != "event_time"}
    if isinstance(body, list):
        return [_content(item) for item in body]
    return body
