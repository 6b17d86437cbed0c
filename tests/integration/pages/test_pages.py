"""What every page shows, that every link leads somewhere, and that nothing shown can do anything."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import event
from structlog.testing import capture_logs

from shadow.cutover.decision import Phase
from shadow.judge.loop import JudgeLoop
from shadow.reports import audit
from tests.integration.pages.migration import HOSTILE, TASKS, Seeded


@pytest.fixture(autouse=True)
async def something_to_show(seeded: Seeded) -> None:
    """Every test here has a migration half way."""


def addresses(seeded: Seeded) -> dict[str, str]:
    """One of each kind of page."""
    return {
        "board": "/pages/",
        "task": "/pages/tasks/order-sync",
        "pairs": "/pages/pairs",
        "pair": f"/pages/pairs/{seeded.mismatch}",
        "missing": f"/pages/pairs/{seeded.missing}",
        "explanation": f"/pages/pairs/{seeded.mismatch}/explanation",
        "signatures": "/pages/signatures",
        "signature": f"/pages/signatures/{seeded.signature}",
        "audit": "/pages/audit",
    }


async def shown(client: httpx.AsyncClient, address: str) -> HTMLParser:
    answer = await client.get(address)
    assert answer.status_code == 200, answer.text
    return HTMLParser(answer.text)


def text(tree: Any, selector: str) -> str:
    """What is read there, on one line."""
    found = tree.css_first(selector)
    assert found is not None, selector
    return re.sub(r"\s+", " ", found.text()).strip()


def attribute(tree: Any, selector: str, name: str) -> str:
    """That attribute of the first element that is so."""
    return str(tree.css_first(selector).attributes[name])


def row(tree: HTMLParser, name: str) -> str:
    """What the row of that header says."""
    for header in tree.css("tbody th"):
        if header.text().strip() == name:
            assert header.parent is not None
            return re.sub(r"\s+", " ", header.parent.text()).strip()
    raise AssertionError(f"no row {name}")


async def test_the_board_says_of_every_task_whether_it_may_move_and_why_not(reader: httpx.AsyncClient) -> None:
    tree = await shown(reader, "/pages/")
    assert "3 of 10 tasks may take their next step now; 6 may not yet" in text(tree, ".lead")
    assert {one.text() for one in tree.css("table.board tbody th a")} == set(TASKS)
    assert "→ ramp: its gate is open" in row(tree, "attribution")
    closed = row(tree, "order-sync")
    assert "✕ closed" in closed
    assert "1 of 212 pairs differs" in closed
    assert "and 1 more" in closed
    assert "240" in closed
    assert "ramp 25 %" in row(tree, "order-cancel")
    assert "moves together with process-payout" in row(tree, "payout-receipt")
    assert "containment" in row(tree, "daily-metrics")
    assert text(tree, "figure svg[role=img]") == ""
    assert "Of 10 tasks: 8 in shadow" in (attribute(tree, "figure svg[role=img]", "aria-label") or "")


async def test_the_board_can_be_narrowed(reader: httpx.AsyncClient) -> None:
    for show, number in {"may-move": 3, "held": 6, "shadow": 5, "retired": 1, "ramp": 1}.items():
        tree = await shown(reader, f"/pages/?show={show}")
        assert len(tree.css("table.board tbody tr:not(.group)")) == number


async def test_a_task_shows_its_gate_with_every_condition(reader: httpx.AsyncClient) -> None:
    tree = await shown(reader, "/pages/tasks/order-sync")
    assert "May not move to ramp yet" in text(tree, ".notice")
    assert row(tree, "critical signatures").startswith("critical signatures ✕ not met 1 0 1 critical signature")
    assert "does not apply" in row(tree, "ticks")
    assert "shown only" in row(tree, "latency")
    assert row(tree, "live") == "live 212 208 3 1 0 2"
    assert row(tree, "replayed") == "replayed 40 40 0 0 0 0"
    assert "epoch 3" in text(tree, "#gate ~ h3")
    assert "its evidence is good enough for shadow" in text(tree, "section[aria-labelledby=moves]")
    assert "declared" in text(tree, "section[aria-labelledby=containment]")
    assert "critical" in text(tree, "section[aria-labelledby=signatures] tbody tr")


async def test_what_a_migration_rests_on_can_be_kept(reader: httpx.AsyncClient) -> None:
    for kind in ("html", "json"):
        answer = await reader.get(f"/pages/tasks/order-sync/evidence.{kind}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="order-sync-evidence.{kind}"'
    assert (await reader.get("/pages/tasks/order-sync/evidence.exe")).status_code == 404
    assert (await reader.get("/pages/tasks/nope/evidence.json")).status_code == 404


async def test_a_pair_shows_both_runs_side_by_side(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    tree = await shown(reader, f"/pages/pairs/{seeded.mismatch}")
    assert "mismatch" in text(tree, ".lead")
    marks = [text(one, ".mark") for one in tree.css(".timeline tbody tr")]
    assert marks == ["≠ differs", "= same", "- legacy only"]
    first = text(tree, ".timeline tr.differs")
    assert "amount = 1520; legacy had 1250" in first
    assert '- "amount": 1250' in first
    assert '+ "amount": 1520' in first
    assert "never sent the email" in text(tree, ".timeline tr.only_legacy")


async def test_a_run_that_never_came_is_said_so(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    tree = await shown(reader, f"/pages/pairs/{seeded.missing}")
    assert "missing candidate" in text(tree, ".lead")
    assert "it never came" in text(tree, "section[aria-labelledby=runs]")


async def test_long_values_are_folded(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    tree = await shown(reader, f"/pages/pairs/{seeded.match}")
    folded = [one for one in tree.css("details pre") if "sku-59" in one.text()]
    assert folded


async def test_the_explanation_says_what_each_stage_did(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    tree = await shown(reader, f"/pages/pairs/{seeded.mismatch}/explanation")
    assert "only legacy did" in text(tree, "main pre")


async def test_a_signature_shows_its_pairs_tenants_and_moments(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    tree = await shown(reader, f"/pages/signatures/{seeded.signature}")
    assert "never sent the email" in text(tree, "h1")
    assert "critical" in text(tree, ".lead")
    assert "acme: 1 pair" in text(tree, "section[aria-labelledby=tenants]")
    (pair,) = tree.css("section[aria-labelledby=pairs] tbody a")
    assert pair.attributes["href"] == f"/pages/pairs/{seeded.mismatch}"
    (moment, *_others) = tree.css("dd time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", moment.attributes["datetime"] or "")


async def test_the_audit_has_every_kind_of_thing_in_order(reader: httpx.AsyncClient) -> None:
    tree = await shown(reader, "/pages/audit")
    said = text(tree, "tbody")
    for what in (
        "moved from legacy to shadow",
        "allowed a major difference",
        "accepted the proposed rule for $.took",
        "signed off in place of the statistic",
        "deployed candidate version 2026-11-17.2",
        "declared harmless",
        "leak: a write reached the bucket",
    ):
        assert what in said
    moments = [one.attributes["datetime"] for one in tree.css("tbody th time")]
    assert moments == sorted(moments, key=str, reverse=True)


async def test_the_audit_can_be_narrowed_to_a_task_and_a_kind(reader: httpx.AsyncClient) -> None:
    tree = await shown(reader, "/pages/audit?task=order-cancel&kind=moves")
    assert len(tree.css("tbody tr")) == 2
    assert "to ramp 25 %" in text(tree, "tbody")
    assert "deployed" in text(await shown(reader, "/pages/audit?task=order-cancel"), "tbody")


async def test_the_audit_goes_on_from_page_to_page_without_a_gap(seeded: Seeded) -> None:
    engine = seeded.world.database.engine
    whole = (await audit.page(engine, limit=200)).items
    seen: list[audit.AuditEntry] = []
    cursor = None
    while True:
        page = await audit.page(engine, cursor=cursor, limit=4)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) > 20


async def test_every_link_on_every_page_leads_somewhere(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    checked: set[str] = set()
    for address in addresses(seeded).values():
        tree = await shown(reader, address)
        identifiers = {one.attributes["id"] for one in tree.css("[id]")}
        assert len(identifiers) == len(tree.css("[id]")), f"{address} gives an id twice"
        for found in tree.css("a[href], link[href], script[src], img[src]"):
            target = found.attributes.get("href") or found.attributes.get("src") or ""
            if target.startswith("#"):
                assert target[1:] in identifiers
            elif target not in checked:
                checked.add(target)
                assert target.startswith("/pages/"), "nothing of other hosts"
                assert (await reader.get(target)).status_code == 200, f"{target} on {address}"
    assert len(checked) > 40


async def test_nothing_that_is_shown_can_do_anything(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    hostile = 0
    for address in addresses(seeded).values():
        answer = await reader.get(address)
        tree = HTMLParser(answer.text)
        assert [str(one.attributes.get("src"))[:14] for one in tree.css("script")] == ["/pages/static/"], address
        assert not tree.css("[onerror], [onclick], [style], style, iframe, object"), address
        assert "<script>alert" not in answer.text
        assert "onerror=alert" not in {name for one in tree.css("*") for name in one.attributes}
        hostile += answer.text.count("&lt;script&gt;alert(1)")
    assert hostile > 8
    assert HOSTILE in text(await shown(reader, f"/pages/pairs/{seeded.mismatch}"), "main").replace('\\"', '"')


async def test_every_answer_tells_the_browser_what_not_to_do(stranger: httpx.AsyncClient) -> None:
    for address in ("/pages/", "/pages/sign-in", "/pages/nothing", "/pages/static/nothing.css"):
        headers = (await stranger.get(address)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert set(policy.values()) == {"'none'", "'self'"}
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


async def test_assets_may_be_kept_for_ever(stranger: httpx.AsyncClient) -> None:
    tree = HTMLParser((await stranger.get("/pages/sign-in")).text)
    for address in (one.attributes["href"] or "" for one in tree.css("link")):
        answer = await stranger.get(address)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await stranger.get(address.replace(".", ".0", 1))).status_code == 404


ERRORS = [
    ("/pages/nothing", 404, "no such page"),
    ("/pages/tasks/nope", 404, "no task nope"),
    ("/pages/signatures/s1-nope", 404, "no signature s1-nope"),
    ("/pages/pairs/018f3a1e-0000-7000-8000-000000000000", 404, "no pair"),
    ("/pages/pairs/7", 404, "no such page"),
    ("/pages/pairs?verdict=good", 422, "expected one of match"),
    ("/pages/pairs?verdcit=match", 422, "knows no verdcit"),
    ("/pages/pairs?since=yesterday", 422, "such as 2026-05-01"),
    ("/pages/pairs?replay=7", 422, "expected an id"),
    ("/pages/pairs?cursor=bogus", 422, "start from the first"),
    ("/pages/audit?cursor=bogus", 422, "start from the first"),
    ("/pages/audit?task=nope", 422, "expected one of order-sync"),
    ("/pages/pairs?tenant=%00", 422, "no value that the database can hold"),
    ("/pages/?show=nothing", 422, "expected one of may-move"),
]
"""Address, status, and what it says."""


async def test_errors_are_pages_that_say_how_to_go_on(reader: httpx.AsyncClient) -> None:
    for address, status, says in ERRORS:
        answer = await reader.get(address)
        assert answer.status_code == status, address
        tree = HTMLParser(answer.text)
        assert says in text(tree, "main"), address
        assert attribute(tree, "main a", "href") == "/pages/"


async def test_a_method_that_a_page_has_not_is_refused(reader: httpx.AsyncClient) -> None:
    assert (await reader.delete("/pages/audit")).status_code == 405


async def test_without_its_database_a_page_says_so(reader: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from psycopg import OperationalError

    async def away(*_arguments: object, **_named: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(audit, "page", away)
    answer = await reader.get("/pages/audit")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "be reached just now" in answer.text


async def test_a_bug_is_a_page_too(reader: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(audit, "page", broken)
    with capture_logs() as logs:
        answer = await reader.get("/pages/audit")
    assert [one["event"] for one in logs] == ["pages.failed"]
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_lists_go_on_from_page_to_page(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    seen: list[str | None] = []
    address: str | None = "/pages/pairs?task=order-sync"
    for number in range(60):
        told = await seeded.world.event("order-sync")
        if number == 0:
            await told.both(1)
    while address is not None:
        tree = await shown(reader, address)
        seen += [one.attributes["href"] for one in tree.css("tbody th a")]
        following = tree.css_first(".more a")
        address = following.attributes["href"] if following else None
        assert address is None or "task=order-sync" in address
    assert len(seen) == len(set(seen)) == 60 + 16


async def test_no_page_asks_more_often_the_more_there_is(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    asked: list[str] = []
    engine = seeded.world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))

    async def questions() -> dict[str, int]:
        found = {}
        for name, address in addresses(seeded).items():
            asked.clear()
            await shown(reader, address)
            found[name] = len(asked)
        return found

    few = await questions()
    for number in range(8):
        told = await seeded.world.event("order-sync")
        await told.both({"a": 1}, candidate={f"b{number}": 2})
    await JudgeLoop(seeded.world.database, seeded.world.catalogue).once()
    assert await questions() == few
    assert max(few.values()) <= 30


async def test_every_page_has_landmarks_headings_and_labels(reader: httpx.AsyncClient, seeded: Seeded) -> None:
    for address in addresses(seeded).values():
        tree = await shown(reader, address)
        assert attribute(tree, "html", "lang") == "en"
        assert attribute(tree, "body > a", "href") == "#main"
        assert len(tree.css("main")) == len(tree.css("h1")) == len(tree.css("body > header")) == 1
        levels = [int(str(one.tag)[1]) for one in tree.css("h1, h2, h3")]
        assert all(later - level <= 1 for level, later in pairwise(levels)), address
        for table in tree.css("table"):
            assert table.css_first("caption") is not None
            assert all(one.attributes.get("scope") for one in table.css("th"))
        labelled = {one.attributes["for"] for one in tree.css("label")}
        for field in tree.css("input:not([type=hidden]), select, textarea"):
            assert field.attributes["id"] in labelled


def test_the_phases_have_names_that_the_board_can_filter_by() -> None:
    assert {"legacy", "shadow", "ramp", "live", "retired"} == set(Phase)
