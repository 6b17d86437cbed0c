"""Signatures: the providers' published vectors, then what must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook

from shadow.catalogue.model import Signature, SignatureScheme
from shadow.intake.signatures import SignatureRejected, verifier, verify

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


@dataclass(frozen=True)
class Vector:
    scheme: SignatureScheme
    secret: str
    body: bytes
    headers: Mapping[str, str]
    at: datetime
    settings: Mapping[str, Any]

    def signature(self, *secrets: str) -> Signature:
        given = tuple(SecretStr(secret) for secret in secrets or (self.secret,))
        return Signature(scheme=self.scheme, secrets=given, **self.settings)


def vector(
    scheme: SignatureScheme, secret: str, body: bytes, headers: Mapping[str, str], at: int = 0, **settings: Any
) -> Vector:
    return Vector(scheme, secret, body, headers, datetime.fromtimestamp(at, UTC), settings)


VECTORS = {
    # Shopify publishes none: computed with `openssl dgst -sha256 -hmac hush -binary | base64`
    "shopify": vector(
        SignatureScheme.SHOPIFY,
        "hush",
        b'{"id":820982911946154508}',
        {"x-shopify-hmac-sha256": "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I="},
    ),
    # made by the `stripe` library, 16.1.0
    "stripe": vector(
        SignatureScheme.STRIPE,
        "whsec_test_secret",
        b'{"id":"evt_test_webhook","object":"event"}',
        {
            "stripe-signature": "t=1614265330,"
            "v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff,v0=6ffbb59b"
        },
        1614265330,
    ),
    # docs.github.com, "Validating webhook deliveries"
    "github": vector(
        SignatureScheme.GITHUB,
        "It's a Secret to Everybody",
        b"Hello, World!",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    ),
    # docs.slack.dev, "Verifying requests from Slack"
    "slack": vector(
        SignatureScheme.SLACK,
        "8f742231b10e8888abcd99yyyzzz85a5",
        SLACK_BODY,
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        1531420618,
    ),
    # the Standard Webhooks libraries' vector
    "standard-webhooks": vector(
        SignatureScheme.STANDARD,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        1614265330,
    ),
    # RFC 4231, test case 2, as a sender of its own kind might frame it
    "hmac": vector(
        SignatureScheme.HMAC,
        "Jefe",
        b"what do ya want for nothing?",
        {
            "x-acme-signature": "sha512:164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        },
        header="X-Acme-Signature",
        algorithm="sha512",
        prefix="sha512:",
    ),
}
TIMED = ("stripe", "slack", "standard-webhooks")


@pytest.fixture(params=VECTORS)
def known(request: pytest.FixtureRequest) -> Vector:
    return VECTORS[request.param]


def test_the_published_vector_is_accepted(known: Vector) -> None:
    verify(known.signature(), known.headers, known.body, known.at)


def test_while_a_secret_is_rotated_either_is_accepted(known: Vector) -> None:
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    verify(known.signature(other, known.secret), known.headers, known.body, known.at)
    verify(known.signature(known.secret, other), known.headers, known.body, known.at)


def test_another_secret_is_refused(known: Vector) -> None:
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    with pytest.raises(SignatureRejected):
        verify(known.signature(other), known.headers, known.body, known.at)


def test_a_body_that_changed_by_one_byte_is_refused(known: Vector) -> None:
    with pytest.raises(SignatureRejected, match="no signature matches"):
        verify(known.signature(), known.headers, known.body + b" ", known.at)


def test_each_header_that_a_scheme_needs_is_missed(known: Vector) -> None:
    for name in known.headers:
        rest = {other: value for other, value in known.headers.items() if other != name}
        with pytest.raises(SignatureRejected, match="is missing"):
            verify(known.signature(), rest, known.body, known.at)


def test_a_refusal_tells_no_secret(known: Vector) -> None:
    with pytest.raises(SignatureRejected) as refusal:
        verify(known.signature(), known.headers, b"", known.at)
    assert known.secret not in str(refusal.value)


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize("away", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_a_timestamp_too_far_from_now_is_refused(scheme: str, away: timedelta) -> None:
    known = VECTORS[scheme]
    with pytest.raises(SignatureRejected, match="timestamp"):
        verify(known.signature(), known.headers, known.body, known.at + away)


@pytest.mark.parametrize("scheme", TIMED)
def test_a_timestamp_within_the_tolerance_is_accepted(scheme: str) -> None:
    known = VECTORS[scheme]
    verify(known.signature(), known.headers, known.body, known.at + timedelta(minutes=4))


@pytest.mark.parametrize(
    "header",
    [
        "",  # nothing at all
        "v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff",  # no timestamp
        "t=now,v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff",  # no number
        "t=1614265330",  # no signature
        "t=1614265330,v0=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff",  # a version of tests
        "t=16142653300000000000000,v1=00",  # beyond any clock
    ],
)
def test_a_malformed_stripe_header_is_refused(header: str) -> None:
    known = VECTORS["stripe"]
    with pytest.raises(SignatureRejected):
        verify(known.signature(), {"stripe-signature": header}, known.body, known.at)


def test_of_several_stripe_signatures_one_is_enough() -> None:
    known = VECTORS["stripe"]
    header = known.headers["stripe-signature"].replace("v1=", "v1=00,v1=")
    verify(known.signature(), {"stripe-signature": header}, known.body, known.at)


def test_svix_names_its_headers_its_own_way() -> None:
    known = VECTORS["standard-webhooks"]
    headers = {name.replace("webhook-", "svix-"): value for name, value in known.headers.items()}
    verify(known.signature(), headers, known.body, known.at)


def test_non_ascii_signatures_are_refused_and_not_an_error() -> None:
    known = VECTORS["github"]
    with pytest.raises(SignatureRejected):
        verify(known.signature(), {"x-hub-signature-256": "sha256=é"}, known.body, known.at)


@given(
    secret=st.binary(min_size=1, max_size=64),
    body=st.text(max_size=200),
    identifier=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    tampered=st.booleans(),
)
def test_standard_webhooks_agrees_with_the_kept_library(
    secret: bytes, body: str, identifier: str, tampered: bool
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    library = Webhook(secret)
    headers = {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": library.sign(identifier, now, body),
    }
    delivered = body + "x" if tampered else body
    ours = Signature(
        scheme=SignatureScheme.STANDARD,
        secrets=(SecretStr("whsec_" + base64.b64encode(secret).decode().rstrip("=")),),
    )
    try:
        library.verify(delivered, headers, json_parse=False)
    except Exception:
        with pytest.raises(SignatureRejected):
            verify(ours, headers, delivered.encode(), now)
    else:
        verify(ours, headers, delivered.encode(), now)


@given(secret=st.text(min_size=1, max_size=40), body=st.binary(max_size=200))
def test_what_shopify_signs_is_accepted_whatever_its_bytes(secret: str, body: bytes) -> None:
    digest = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    signature = Signature(scheme=SignatureScheme.SHOPIFY, secrets=(SecretStr(secret),))
    verify(signature, {"x-shopify-hmac-sha256": digest}, body, datetime.now(UTC))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scheme": SignatureScheme.HMAC}, "signature.header"),  # which header?
        ({"scheme": SignatureScheme.STANDARD, "secrets": ("whsec_!",)}, "standard-webhooks secret"),  # no base64
        ({"scheme": SignatureScheme.STANDARD, "secrets": ("whsec_",)}, "standard-webhooks secret"),  # empty
    ],
)
def test_settings_that_fit_no_scheme_are_found_at_start(settings: dict[str, Any], complaint: str) -> None:
    secrets = tuple(SecretStr(secret) for secret in settings.pop("secrets", ("hush",)))
    with pytest.raises(ValueError, match=complaint):
        verifier(Signature(secrets=secrets, **settings))


@given(
    key=st.binary(min_size=1, max_size=200).map(lambda key: key.hex()),
    body=st.binary(max_size=300),
    algorithm=st.sampled_from(["sha256", "sha512", "sha1"]),
)
def test_a_digest_is_the_librarys_whatever_the_length_of_its_key(key: str, body: bytes, algorithm: Any) -> None:
    check = verifier(
        Signature(scheme=SignatureScheme.HMAC, secrets=(SecretStr(key),), header="x-signature", algorithm=algorithm)
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    check({"x-signature": hmac.new(key.encode(), body, algorithm).hexdigest()}, body, now)
    check({"x-signature": hmac.new(key.encode(), body, algorithm).hexdigest()}, body, now)  # and again
    with pytest.raises(SignatureRejected):
        check({"x-signature": hmac.new(key.encode(), body + b"x", algorithm).hexdigest()}, body, now)
