"""The targets answer in the shape of the real ones, and their books tell what happened."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator

import httpx
import pytest

from sandbox.targets import Conduct, Targets

ORDER = {"shop_domain": "one.myshopify.com", "id": 7, "total_price": "12.50"}
MESSAGE = {
    "personalizations": [{"to": [{"email": "ada@example.com"}]}],
    "from": {"email": "shop@example.com"},
    "subject": "Hello",
    "content": [{"type": "text/html", "value": "<p>Hello</p>"}],
}
TRANSFER = {"amount": 1250, "currency": "EUR", "destination": "acct-1"}
SECRETS = {name: f"secret-{name}" for name in ("shopify", "mail", "slack", "meta", "ga4", "swiftpay", "bankwire")}
PLACES = {
    "shopify": "x-shopify-access-token",
    "mail": "authorization",
    "slack": "authorization",
    "swiftpay": "authorization",
    "bankwire": "x-api-key",
}
PARAMETERS = {"meta": "access_token", "ga4": "api_secret"}


class WithCredentials(httpx.Auth):
    """Puts each target's credential where it belongs."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        name = request.url.path.split("/")[1]
        if name in PLACES:
            request.headers[PLACES[name]] = SECRETS[name]
        else:
            request.url = request.url.copy_add_param(PARAMETERS[name], SECRETS[name])
        yield request


@pytest.fixture
def targets() -> Targets:
    return Targets(secrets=SECRETS, orders={"7": ORDER}, customers={}, stumbling_mail=frozenset({"first"}))


@pytest.fixture
async def http(targets: Targets) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=targets.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://targets", auth=WithCredentials()) as client:
        yield client


@pytest.mark.parametrize(
    ("order_id", "headers", "status"),
    [
        # the shop that owns the order
        ("7", {"x-shopify-shop-domain": "one.myshopify.com"}, 200),
        # another shop does not see it
        ("7", {"x-shopify-shop-domain": "two.myshopify.com"}, 404),
        # an order that nobody has
        ("8", {"x-shopify-shop-domain": "one.myshopify.com"}, 404),
    ],
)
async def test_shopify_shows_a_shop_its_own_orders_alone(
    http: httpx.AsyncClient, order_id: str, headers: dict[str, str], status: int
) -> None:
    answer = await http.get(f"/shopify/admin/api/2024-10/orders/{order_id}.json", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"order": {"id": 7, "total_price": "12.50"}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/shopify/admin/api/2024-10/orders/7.json", None, 401),
        ("POST", "/mail/v3/mail/send", MESSAGE, 401),
        ("POST", "/slack/api/chat.postMessage", {"channel": "#c", "text": "hi"}, 200),
        ("POST", "/meta/v21.0/88/events", {"data": []}, 401),
        ("POST", "/ga4/mp/collect", {}, 401),
        ("POST", "/swiftpay/v1/transfers", TRANSFER, 401),
        ("POST", "/bankwire/payouts", {"value": "1.00", "reference": "r"}, 401),
    ],
)
@pytest.mark.parametrize("secret", ["", "another"])
async def test_whoever_lacks_the_credential_is_refused_and_written_down(
    targets: Targets, method: str, path: str, body: object, status: int, secret: str
) -> None:
    headers = dict.fromkeys(PLACES.values(), secret)
    query = dict.fromkeys(PARAMETERS.values(), secret)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=targets.app), base_url="http://targets") as http:
        answer = await http.request(method, path, json=body, headers=headers, params=query)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"ok": False, "error": "not_authed"}
    (call,) = targets.books.calls()
    assert not call.authorized
    assert not call.took_effect


async def test_the_books_do_not_hold_credentials(http: httpx.AsyncClient, targets: Targets) -> None:
    await http.post("/meta/v21.0/88/events", json={"data": []})
    (call,) = targets.books.calls()
    assert call.authorized
    assert "secret" not in str(call)


async def test_mail_names_every_message_anew(http: httpx.AsyncClient, targets: Targets) -> None:
    answers = [await http.post("/mail/v3/mail/send", json=MESSAGE) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].headers["x-message-id"] != answers[1].headers["x-message-id"]
    assert len(targets.books.effects("mail")) == 2


@pytest.mark.parametrize("missing", ["personalizations", "from", "subject", "content"])
async def test_mail_refuses_an_incomplete_message(http: httpx.AsyncClient, targets: Targets, missing: str) -> None:
    message = {name: value for name, value in MESSAGE.items() if name != missing}
    answer = await http.post("/mail/v3/mail/send", json=message)
    assert answer.status_code == 400
    assert targets.books.effects() == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"text": "hi"}, "channel_not_found"),
        ({"channel": "#c"}, "no_text"),
        ({"channel": "#c", "text": "hi"}, None),
    ],
)
async def test_slack_answers_200_and_says_ok_or_not(
    http: httpx.AsyncClient, body: dict[str, str], error: str | None
) -> None:
    answer = await http.post("/slack/api/chat.postMessage", json=body)
    assert answer.status_code == 200
    assert answer.json()["ok"] is (error is None)
    assert answer.json().get("error") == error


async def test_swiftpay_makes_one_transfer_for_a_key(http: httpx.AsyncClient, targets: Targets) -> None:
    headers = {"idempotency-key": "payout-1"}
    first = await http.post("/swiftpay/v1/transfers", json=TRANSFER, headers=headers)
    again = await http.post("/swiftpay/v1/transfers", json=TRANSFER, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(targets.books.calls("swiftpay")) == 2
    assert len(targets.books.effects("swiftpay")) == 1


async def test_swiftpay_refuses_a_key_with_other_parameters(http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "payout-1"}
    await http.post("/swiftpay/v1/transfers", json=TRANSFER, headers=headers)
    other = await http.post("/swiftpay/v1/transfers", json={**TRANSFER, "amount": 1}, headers=headers)
    assert other.status_code == 400
    assert other.json()["error"]["type"] == "idempotency_error"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/swiftpay/v1/transfers", {**TRANSFER, "destination": "acct-1-closed"}, 402),
        ("/swiftpay/v1/transfers", {**TRANSFER, "amount": 12.5}, 400),
        ("/bankwire/payouts", {"value": "1.00", "reference": "r", "iban": "DE-closed"}, 422),
        ("/bankwire/payouts", {"value": "1.00"}, 422),
    ],
)
async def test_what_a_payout_provider_declines_has_no_effect(
    http: httpx.AsyncClient, targets: Targets, path: str, body: dict[str, object], status: int
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert targets.books.effects() == []


async def test_bankwire_pays_twice_when_asked_twice(http: httpx.AsyncClient, targets: Targets) -> None:
    body = {"value": "12.50", "currency": "EUR", "iban": "DE1", "reference": "request-1"}
    headers = {"idempotency-key": "payout-1"}
    ids = [(await http.post("/bankwire/payouts", json=body, headers=headers)).json()["payout"]["id"] for _ in "ab"]
    assert ids[0] != ids[1]
    assert len(targets.books.effects("bankwire")) == 2


async def test_meta_wants_name_time_and_user_data(http: httpx.AsyncClient) -> None:
    event = {"event_name": "Lead", "event_time": 1, "user_data": {}}
    good = await http.post("/meta/v21.0/88/events", json={"data": [event]})
    bad = await http.post("/meta/v21.0/88/events", json={"data": [{"event_name": "Lead"}]})
    assert (good.status_code, good.json()["events_received"]) == (200, 1)
    assert bad.status_code == 400


async def test_the_books_hold_path_query_body_and_answer(http: httpx.AsyncClient, targets: Targets) -> None:
    await http.post("/ga4/mp/collect?measurement_id=G-1", json={"events": []})
    (call,) = targets.books.calls()
    assert (call.target, call.method, call.path) == ("ga4", "POST", "/mp/collect?measurement_id=G-1")
    assert (call.body, call.status) == ({"events": []}, 204)
    assert targets.books.as_json()[0]["target"] == "ga4"


async def test_a_target_that_is_down_answers_503_without_effect(http: httpx.AsyncClient, targets: Targets) -> None:
    targets.conduct.down.add("swiftpay")
    assert (await http.post("/swiftpay/v1/transfers", json=TRANSFER)).status_code == 503
    targets.conduct.down.clear()
    assert (await http.post("/swiftpay/v1/transfers", json=TRANSFER)).status_code == 201
    assert len(targets.books.effects()) == 1


async def test_latency_delays_every_answer(http: httpx.AsyncClient, targets: Targets) -> None:
    targets.conduct.latency = 0.05
    begun = time.perf_counter()
    await http.post("/ga4/mp/collect", json={})
    assert time.perf_counter() - begun >= 0.05


async def test_only_what_may_stumble_does_and_only_once(http: httpx.AsyncClient, targets: Targets) -> None:
    targets.conduct.stumbles = 1.0

    async def send(category: str) -> int:
        message = {**MESSAGE, "categories": [category], "custom_args": {"reference": "r"}}
        return (await http.post("/mail/v3/mail/send", json=message)).status_code

    assert [await send("first"), await send("first")] == [503, 202]
    assert [await send("later"), await send("later")] == [202, 202]


def test_which_keys_stumble_depends_on_key_and_salt_alone() -> None:
    keys = [f"key-{number}" for number in range(2000)]

    def stumbling(salt: str) -> list[str]:
        conduct = Conduct(stumbles=0.1, salt=salt)
        return [key for key in keys if conduct.stumbles_at("mail", key)]

    assert stumbling("legacy") == stumbling("legacy")
    assert stumbling("legacy") != stumbling("candidate")
    assert 100 < len(stumbling("legacy")) < 320
