"""The evidence pack holds what a migration rests on, is kept when its route is retired, and gives nothing away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.archive.composing import compose
from shadow.archive.keeping import ArchiveLoop, composed, kept
from shadow.archive.rendering import files
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.gate import stored
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database, Work
from shadow.store.retention import expire
from tests.integration.steering.stage import TASK, Stage
from tests.unit.shadow.reports.gates import report

NASTY = '<script>alert("x")</script> & <img src="https://evil.example/x.png">'
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database)


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    secret, _token = await issue(stage.database.engine, "tests", [Scope.READ])
    transport = httpx.ASGITransport(control_app(ControlServices(stage.database, stage.catalogue)))
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://control", headers=headers) as client:
        yield client


async def migrated(stage: Stage, phase: Phase = Phase.RETIRED) -> Any:
    """A task with a bit of everything; the signature that its only mismatch shows."""
    told = await stage.event(data={"order": 1, "email": "jane@example.com"}, tenant="acme")
    await told.both({"ok": True}, candidate={"ok": True, "extra": NASTY})
    same = await stage.event()
    await same.both({"ok": True})
    await JudgeLoop(stage.database, stage.catalogue).once(datetime.now(UTC) + timedelta(seconds=10))
    ((signature,),) = await stage.rows("SELECT id FROM signatures")
    until = datetime.now(UTC) + timedelta(days=30)
    await grant(stage.database, Grant(signature, f"it is fine {NASTY}", until), actor="ada", now=datetime.now(UTC))
    await declare(stage.database, TASK, actor="ada", reason="its targets are pretended")
    await stage.execute(
        "INSERT INTO incidents (id, kind, task, route, side, detail) VALUES (gen_random_uuid(), 'wrong_side', %s, 'r',"
        " 'candidate', 'crossed')",
        TASK,
    )
    async with stage.database.connection(Work.CONTROL) as connection:
        await stored.keep(connection, [report(TASK)])
    await stage.stands(TASK, phase)
    await stage.execute("UPDATE moves SET reason = %s, evidence_hash = 'abc123'", f"done {NASTY}")
    return signature


async def test_a_pack_holds_all_that_a_migration_rests_on(stage: Stage) -> None:
    signature = await migrated(stage)
    found = json.loads((await composed(stage.database, stage.catalogue, TASK)).json)
    assert (found["format"], found["made_for"], found["task"]["phase"]) == (1, None, "retired")
    counts = found["parity"]["counts"]
    assert (counts["pairs"], counts["match"], counts["mismatch"]) == (2, 1, 1)
    assert (found["gate"]["open"], found["gate"]["upper_bound"]) == (True, 0.08)
    assert [one["id"] for one in found["signatures"]] == [signature]
    assert [(one["actor"], one["signature"]) for one in found["allowances"]] == [("ada", signature)]
    assert [one["key"] for one in found["rules"]["rules"]] == ["identities[0]", "ignore[0]"]
    assert [(one["kind"], one["actor"]) for one in found["containment"]] == [("declaration", "ada")]
    assert [(one["to_phase"], one["evidence_hash"]) for one in found["moves"]] == [("retired", "abc123")]
    assert [one["kind"] for one in found["incidents"]] == ["wrong_side"]
    (example,) = found["examples"]
    assert example["pair"]["id"] == found["signatures"][0]["example_pair"]
    assert [one["signature"] for one in example["differences"]] == [signature]


async def test_numbers_past_64_bits_are_shown_like_any_other(stage: Stage) -> None:
    told = await stage.event()
    await told.both({"wei": 1}, candidate={"wei": 10**21 + 1})
    await JudgeLoop(stage.database, stage.catalogue).once(datetime.now(UTC) + timedelta(seconds=10))
    found = await composed(stage.database, stage.catalogue, TASK)
    (example,) = json.loads(found.json)["examples"]
    assert [one["candidate"] for one in example["differences"]] == [10**21 + 1]
    assert str(10**21 + 1) in found.html.decode()


async def test_neither_file_holds_an_original_or_a_secret(stage: Stage) -> None:
    await migrated(stage)
    found = await composed(stage.database, stage.catalogue, TASK)
    for content in (found.json.decode(), found.html.decode()):
        assert "jane@example.com" not in content
        assert "tr_dev_secret" not in content


class _Page(HTMLParser):
    """What a browser would load, and what a reader reads."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_stands_alone_and_runs_nothing(stage: Stage) -> None:
    await migrated(stage)
    found = await composed(stage.database, stage.catalogue, TASK)
    page = _Page()
    page.feed(found.html.decode())
    assert not {"script", "img", "link", "iframe", "a", "form"} & {tag for tag, _ in page.tags}
    assert not any({"src", "href", "style"} & set(attributes) for _, attributes in page.tags)
    for said in (NASTY, f"done {NASTY}", f"it is fine {NASTY}", TASK, found.digest, "abc123", "crossed"):
        assert said in page.text
    assert found.digest == hashlib.sha256(found.json).hexdigest()


async def test_the_same_evidence_gives_the_same_bytes(stage: Stage) -> None:
    await migrated(stage)
    first, second = [files(await compose(stage.database, stage.catalogue, TASK, NOON)) for _ in range(2)]
    assert first == second


async def test_a_pack_of_a_task_of_which_nothing_is_known_says_so(stage: Stage) -> None:
    found = await composed(stage.database, stage.catalogue, "digest")
    assert json.loads(found.json)["gate"] is None
    assert b"No pair shows any difference" in found.html


async def test_it_is_kept_once_its_route_is_retired_and_outlives_retention(stage: Stage) -> None:
    await migrated(stage)
    loops = [ArchiveLoop(stage.database, stage.catalogue) for _ in range(2)]
    assert await loops[0].once() == [TASK]
    assert await loops[1].once() == []
    found = await kept(stage.database, TASK)
    assert found is not None
    ((move,),) = await stage.rows("SELECT id FROM moves")
    assert json.loads(found.json)["made_for"] == str(move)
    async with stage.database.direct() as connection:
        now = datetime.now(UTC) + timedelta(days=3)
        await expire(connection, now, originals=timedelta(days=1), evidence=timedelta(days=1))
    assert await stage.rows("SELECT count(*) FROM pairs") == [(0,)]
    assert await kept(stage.database, TASK) == found


@pytest.mark.parametrize("phase", [Phase.LIVE, Phase.SHADOW])
async def test_nothing_is_kept_before_that(stage: Stage, phase: Phase) -> None:
    await migrated(stage, phase)
    assert await ArchiveLoop(stage.database, stage.catalogue).once() == []
    assert await kept(stage.database, TASK) is None


async def test_one_that_can_not_be_made_keeps_no_other_from_being_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def composing(database: Any, catalogue: Any, task: str, *moments: Any, **options: Any) -> Any:
        if task == "digest":
            raise ValueError("out of shape")
        return await compose(database, catalogue, task, *moments, **options)

    monkeypatch.setattr("shadow.archive.keeping.compose", composing)
    await stage.stands("digest", Phase.RETIRED, since=datetime.now(UTC) - timedelta(hours=1))
    await migrated(stage)
    with pytest.raises(ExceptionGroup, match="could not be made"):
        await ArchiveLoop(stage.database, stage.catalogue).once()
    assert await kept(stage.database, TASK) is not None


async def test_a_move_that_does_not_hold_yet_is_waited_for(stage: Stage) -> None:
    await stage.stands(TASK, Phase.RETIRED, since=datetime.now(UTC) + timedelta(minutes=1))
    assert await ArchiveLoop(stage.database, stage.catalogue).once() == []


async def test_the_api_gives_both_files(stage: Stage, client: httpx.AsyncClient) -> None:
    await migrated(stage, Phase.LIVE)
    answer = await client.get(f"/v1/tasks/{TASK}/evidence")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert answer.json()["made_for"] is None
    page = await client.get(f"/v1/tasks/{TASK}/evidence.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert f"Evidence for {TASK}" in page.text
    assert (await client.get("/v1/tasks/nothing/evidence")).status_code == 404


async def test_of_a_retired_task_it_gives_what_was_kept(stage: Stage, client: httpx.AsyncClient) -> None:
    await migrated(stage)
    await ArchiveLoop(stage.database, stage.catalogue).once()
    first, again = [await client.get(f"/v1/tasks/{TASK}/evidence") for _ in range(2)]
    assert first.content == again.content
    assert first.headers["etag"].strip('"') in (await client.get(f"/v1/tasks/{TASK}/evidence.html")).text
