"""Who holds a key, and whose key signed a token."""

from __future__ import annotations

import base64
import hmac
import time
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from api.front.keys import KeyRing

KEY = "tr_dev_" + "a" * 24
RING = KeyRing([("app", [SecretStr(KEY), SecretStr("rotated")]), ("workers", [SecretStr("w")])])


def token(key: str = KEY, *, algorithm: str = "HS256", **claims: Any) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    message = f"{part(orjson.dumps({'alg': algorithm, 'typ': 'JWT'}))}.{part(orjson.dumps(claims))}"
    return f"{message}.{part(hmac.digest(key.encode(), message.encode(), 'sha256'))}"


@pytest.mark.parametrize(
    ("key", "holder"),
    [
        (KEY, "app"),
        ("rotated", "app"),
        ("w", "workers"),
        ("", None),
        (KEY[:-1], None),
        ("ключ", None),
        ("\ud800", None),
    ],
)
def test_a_key_has_one_holder(key: str, holder: str | None) -> None:
    assert RING.holder(key) == holder


@pytest.mark.parametrize(
    ("given", "holder"),
    [
        # as the platform makes them: issuer and audience are its business
        (token(iss="https://id.trigger.dev", aud="https://api.trigger.dev", sub="env", exp=time.time() + 3600), "app"),
        (token("w", pub=True), "workers"),
        # expired
        (token(exp=time.time() - 60), None),
        # signed with no key of ours
        (token("other"), None),
        # another algorithm, or none
        (token(algorithm="none"), None),
        # a claim changed after signing
        (token(sub="a").split(".")[0] + "." + token(sub="b").split(".", 1)[1], "app"),
        (token(sub="a").rsplit(".", 1)[0] + "." + token(sub="b").rsplit(".", 1)[1], None),
        ("a.b.c", None),
        ("..", None),
        ("", None),
    ],
)
def test_a_public_token_leads_to_the_key_that_signed_it(given: str, holder: str | None) -> None:
    assert RING.signer(given) == holder
