"""What people do from pages: moves, sign-offs, allowances and replays, each refused where the API would refuse it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from shadow.access.tokens import Scope
from shadow.store.database import Database
from tests.integration.pages.conftest import sign_in, token
from tests.integration.pages.migration import Seeded
from tests.integration.pages.test_pages import attribute, text

REASON = "it was read <b>twice</b>"


async def send(
    client: httpx.AsyncClient, address: str, action: str, *, page: str | None = None, **fields: str
) -> httpx.Response:
    """Fill in the form of that action on its page, and send it."""
    tree = HTMLParser((await client.get(page or address)).text)
    form = tree.css_first(f'form[action="{address}/{action}"]')
    assert form is not None, "the form is on the page"
    hidden = attribute(form, "[name=form_token]", "value")
    named = {field.attributes["name"] for field in form.css("[name]")}
    assert set(fields) <= named
    return await client.post(f"{address}/{action}", data={"form_token": hidden, **fields})


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


async def test_readers_see_no_forms_and_their_forms_are_refused(
    reader: httpx.AsyncClient, seeded: Seeded, database: Database
) -> None:
    for address in ("/pages/tasks/order-sync", f"/pages/signatures/{seeded.signature}"):
        tree = HTMLParser((await reader.get(address)).text)
        assert [form.attributes.get("action") for form in tree.css("form")] == ["/pages/sign-out"]
    proof = attribute(tree, "[name=form_token]", "value")
    for address in (
        "/pages/tasks/order-sync/move",
        "/pages/tasks/order-sync/sign-off",
        f"/pages/signatures/{seeded.signature}/allow",
        f"/pages/signatures/{seeded.signature}/replay",
        f"/pages/allowances/{seeded.allowance}/revoke",
    ):
        answer = await reader.post(address, data={"form_token": proof, "reason": "x", "phase": "legacy"})
        assert answer.status_code == 403
        assert "may read only" in answer.text
        strange = await reader.post(address, data={"form_token": proof}, headers={"Sec-Fetch-Site": "cross-site"})
        assert "another site" in strange.text
        reader.cookies, kept = httpx.Cookies(), reader.cookies
        assert (await reader.post(address, data={"form_token": proof})).status_code == 303, "nobody is signed in"
        reader.cookies = kept
    assert await seeded.world.rows("SELECT 1 FROM moves WHERE decided_at > now() - interval '1 day'") == []


async def test_a_form_without_proof_does_nothing(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    answer = await operator.post("/pages/tasks/order-sync/move", data={"phase": "legacy", "reason": REASON})
    assert answer.status_code == 403
    assert await seeded.world.rows("SELECT 1 FROM moves WHERE to_phase = 'legacy'") == []


async def test_a_move_through_a_closed_gate_is_refused_with_what_holds_it(
    operator: httpx.AsyncClient, seeded: Seeded
) -> None:
    answer = await send(operator, "/pages/tasks/order-sync", "move", phase="ramp", share="10", reason=REASON)
    assert answer.status_code == 409
    tree = HTMLParser(answer.text)
    assert "the gate of 'order-sync'" in text(tree, "[role=alert]")
    assert text(tree, "textarea[name=reason]") == REASON, "what was filled in is kept"
    assert attribute(tree, "[name=share]", "value") == "10"
    assert await seeded.world.rows("SELECT 1 FROM moves WHERE actor = 'token:ann' AND to_share = 10") == []


async def test_a_move_back_is_made_and_on_record(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    answer = await send(operator, "/pages/tasks/order-cancel", "move", phase="legacy", reason=REASON)
    assert answer.status_code == 303, text(HTMLParser(answer.text), "main")
    tree = HTMLParser((await operator.get(answer.headers["location"])).text)
    assert "on record" in text(tree, "[role=status]")
    assert REASON in text(tree, "section[aria-labelledby=moves]")
    assert "token:ann" in text(tree, "section[aria-labelledby=moves]")
    assert REASON in text(HTMLParser((await operator.get("/pages/audit?task=order-cancel")).text), "tbody")


async def test_a_forced_move_is_made_and_said_to_be_forced(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    answer = await send(operator, "/pages/tasks/order-sync", "move", phase="live", reason=REASON, force="yes")
    assert answer.status_code == 303, text(HTMLParser(answer.text), "main")
    assert "by force" in text(HTMLParser((await operator.get("/pages/audit?kind=moves")).text), "tbody tr")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"phase": "ramp", "share": "10", "reason": "  "}, "reason"),
        ({"phase": "ramp", "share": "ten", "reason": "x"}, "share"),
        ({"phase": "nowhere", "reason": "x"}, "phase"),
        ({"phase": "legacy", "reason": "x" * 2001}, "reason"),
    ],
)
async def test_what_is_wrong_about_a_move_is_said_beside_its_field(
    operator: httpx.AsyncClient, fields: dict[str, str], field: str
) -> None:
    answer = await send(operator, "/pages/tasks/order-sync", "move", **fields)
    assert answer.status_code == 422
    tree = HTMLParser(answer.text)
    assert attribute(tree, "[aria-invalid=true]", "name") == field
    assert text(tree, f"#{attribute(tree, '[aria-invalid=true]', 'aria-describedby').split()[0]}")


async def test_a_task_with_too_few_pairs_can_be_signed_off(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    await seeded.world.rows(
        "UPDATE gates SET report = jsonb_set(report, '{pairs_a_day}', '0.2') WHERE task = 'order-sync' RETURNING task"
    )
    address = "/pages/tasks/order-sync"
    refused = await send(operator, address, "sign-off", sign_off_reason=REASON)
    assert refused.status_code == 422
    assert "has no epoch yet" in text(HTMLParser(refused.text), ".problem")
    await seeded.world.rows(
        "INSERT INTO epochs (id, task, number, rules, because, started_at, counts, log_e)"
        " VALUES (gen_random_uuid(), 'order-sync', 1, 'r', 'first', now(), '{}', '{}') RETURNING id"
    )
    done = await send(operator, address, "sign-off", sign_off_reason=REASON)
    assert done.headers["location"] == f"{address}?done=signed"
    assert await seeded.world.rows("SELECT actor, reason FROM sign_offs WHERE task = 'order-sync'") == [
        ("token:ann", REASON)
    ]


async def test_a_critical_signature_is_allowed_only_knowingly(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    address = f"/pages/signatures/{seeded.signature}"
    wanted = {"reason": REASON, "scope": "of:acme", "until": in_days(7)}
    refused = await send(operator, address, "allow", **wanted)
    assert refused.status_code == 422
    tree = HTMLParser(refused.text)
    assert "critical" in text(tree, "#acknowledge_critical-problem")
    assert attribute(tree, "[name=until]", "value") == in_days(7)
    done = await send(operator, address, "allow", **wanted, acknowledge_critical="yes")
    assert done.headers["location"] == f"{address}?done=allowed"
    tree = HTMLParser((await operator.get(done.headers["location"])).text)
    made = text(tree, "section[aria-labelledby=allowances] tbody tr")
    for part in ("stands", "acme", "critical", "token:ann", REASON):
        assert part in made


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reason": " ", "scope": "every", "until": ""}, "until"),
        ({"reason": " ", "scope": "every"}, "reason"),
        ({"reason": "x", "scope": "every", "until": "2020-01-01"}, "until"),
        ({"reason": "x", "scope": "somebody"}, "scope"),
    ],
)
async def test_what_is_wrong_about_an_allowance_is_said_beside_its_field(
    operator: httpx.AsyncClient, seeded: Seeded, fields: dict[str, str], field: str
) -> None:
    answer = await send(operator, f"/pages/signatures/{seeded.minor}", "allow", **{"until": in_days(7), **fields})
    assert answer.status_code == 422
    assert attribute(HTMLParser(answer.text), "[aria-invalid=true]", "name") == field


async def test_an_allowance_is_revoked_once(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    ((signature,),) = await seeded.world.rows("SELECT signature FROM allowances")
    address = f"/pages/signatures/{signature}"
    revoke = f"/pages/allowances/{seeded.allowance}"
    done = await send(operator, revoke, "revoke", page=address)
    assert done.headers["location"] == f"{address}?done=revoked"
    tree = HTMLParser((await operator.get(address)).text)
    assert "revoked" in text(tree, "section[aria-labelledby=allowances] tbody")
    assert tree.css_first(f'form[action="{revoke}/revoke"]') is None
    proof = attribute(tree, "[name=form_token]", "value")
    again = await operator.post(f"{revoke}/revoke", data={"form_token": proof})
    assert again.status_code == 409
    nobodys = "/pages/allowances/018f3a1e-0000-7000-8000-000000000000/revoke"
    assert (await operator.post(nobodys, data={"form_token": proof})).status_code == 404


async def test_a_replay_is_started_or_says_why_not(operator: httpx.AsyncClient, seeded: Seeded) -> None:
    address = f"/pages/signatures/{seeded.signature}"
    wrong = await send(operator, address, "replay", replay_reason=" ", limit="0")
    assert wrong.status_code == 422
    assert len(HTMLParser(wrong.text).css("[aria-invalid=true]")) == 2
    answer = await send(operator, address, "replay", replay_reason=REASON, limit="5")
    if answer.status_code == 409:  # nothing of it could be run again
        assert "Not done." in text(HTMLParser(answer.text), "[role=alert]")
    else:
        tree = HTMLParser((await operator.get(answer.headers["location"])).text)
        assert REASON in text(tree, "section[aria-labelledby=replays] tbody")


@pytest.mark.parametrize(
    "address", ["/pages/tasks/nope/move", "/pages/tasks/nope/sign-off", "/pages/signatures/s1-nope/replay"]
)
async def test_what_is_not_there_can_not_be_acted_on(operator: httpx.AsyncClient, address: str) -> None:
    proof = attribute(HTMLParser((await operator.get("/pages/pairs")).text), "[name=form_token]", "value")
    fields = {"form_token": proof or "", "phase": "legacy", "reason": "x", "replay_reason": "x", "limit": "1"}
    assert (await operator.post(address, data=fields)).status_code == 404


async def test_somebody_elses_form_is_nobodys(operator: httpx.AsyncClient, seeded: Seeded, database: Database) -> None:
    tree = HTMLParser((await operator.get("/pages/tasks/order-sync")).text)
    proof = attribute(tree, "[name=form_token]", "value")
    await sign_in(operator, await token(database, "eve", *Scope))
    fields = {"form_token": proof, "phase": "legacy", "reason": REASON}
    assert (await operator.post("/pages/tasks/order-sync/move", data=fields)).status_code == 403
