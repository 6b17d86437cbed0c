"""Producers with the official Trigger.dev SDKs, unmodified, when the candidate runs their tasks: nothing changes."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.acceptance.sdks import drive
from tests.acceptance.switched import KEY, switched


def _is_ours(run: str) -> bool:
    return len(run) == len("run_") + 32


@pytest.mark.parametrize(
    ("generation", "phase"),
    [("trigger-4.5", Phase.RAMP), ("trigger-4.0", Phase.LIVE), ("trigger-3.3", Phase.LIVE)],
)
async def test_producers_notice_nothing_of_the_switch(
    database: Database, tmp_path: Path, generation: str, phase: Phase
) -> None:
    async with switched(database, tmp_path) as world:
        old = (await world.say({"tenantId": "acme"}, idempotencyKey=_hashed("before")))["id"]
        await world.trigger.settled()
        await world.move(phase, allow=["acme"])
        before = len(world.trigger.runs())
        environment = {"TRIGGER_API_URL": world.url, "TRIGGER_SECRET_KEY": KEY, "OLD": old}
        got = await drive("trigger-live.mjs", generation, environment)
        legacy = {run.id: run for run in world.trigger.runs()}

        assert got["old"] == {"read": "COMPLETED", "again": old}
        first = got["first"]
        assert (_is_ours(first["id"]), first["token"], first["status"]) == (True, "string", "COMPLETED")
        assert first["output"]["said"]["name"] == "sdk"
        assert (first["tags"], first["metadata"]) == (["t"], {"m": 1})
        assert got["subscribed"]["status"] == "COMPLETED"
        assert got["subscribed"]["output"]["said"]["name"] == "sdk"
        assert (got["subscribed"]["id"], got["subscribed"]["tags"]) == (first["id"], ["t"])

        keyed = got["keyed"]
        assert (keyed["first"], _is_ours(keyed["first"])) == (keyed["again"], True)
        assert keyed.get("anew") != keyed["first"]
        failed = got["failed"]
        assert (failed["status"], failed["isFailed"]) == ("FAILED", True)
        assert failed["anew"] != failed["id"]

        delayed = got["delayed"]
        assert (delayed["before"], delayed["status"], delayed["ttl"]) == ("DELAYED", "CANCELED", "10m")
        assert delayed["rescheduled"] == delayed["id"]
        assert 3_500_000 < delayed["moved"] < 3_700_000
        assert _is_ours(got["replayed"]["id"])
        _check_batch(got["batch"], phase)

        # the other tenant is legacy's in a ramp
        assert (_is_ours(got["other"]["id"]), got["other"]["status"]) == (phase is Phase.LIVE, "COMPLETED")
        assert got["listed"][0] == got["other"]["id"]
        assert got["listed"][-1] == old
        assert len(set(got["listed"])) == len(got["listed"])
        assert {first["id"], delayed["id"], got["replayed"]["id"], failed["id"]} <= set(got["listed"])
        assert first["id"] in got["tagged"]
        assert len(legacy) - before == (2 if phase is Phase.RAMP else 0)
        real = await world.rows(
            "SELECT count(*) FROM runs JOIN events ON events.id = event_id"
            " WHERE runs.side <> events.authority AND runs.authority = 'real'"
        )
        assert real == [(0,)]


def _check_batch(batch: dict[str, Any], phase: Phase) -> None:
    assert batch["token"] == "string"
    if "runs" in batch:
        assert (batch["count"], len(batch["runs"])) == (2, 2)
        assert sorted(map(_is_ours, batch["runs"])) == [phase is Phase.LIVE, True]
        assert batch["status"] == "COMPLETED"


def _hashed(key: str) -> str:
    """As the SDK sends a key of its users' (reference 6.1)."""
    return sha256(key.encode()).hexdigest()
