"""Fingerprints show that two hold the same secret, and nothing else."""

from __future__ import annotations

import hashlib
import hmac

from shadow.capture import fingerprints
from shadow.containment.fingerprints import fingerprint

KEY = b"k" * 32


def test_shadow_takes_the_same_ones() -> None:
    assert fingerprints({"STRIPE_KEY": "sk_live_1"}, KEY) == [fingerprint(KEY, "sk_live_1")]
    assert fingerprint(KEY, "sk_live_1") == hmac.new(KEY, b"sk_live_1", hashlib.sha256).hexdigest()


def test_a_secret_within_a_value_is_found() -> None:
    held = {
        "DATABASE_URL": "postgresql://app:p%40ssword@db/shop?sslpassword=hidden-1",
        "AUTH": "Bearer sk_live_1",
        "BASIC": "Basic dXNlcjpzZWNyZXQtMQ==",
        "JSON": '{"stripe": {"keys": ["sk_live_2"]}}',
        "PADDED": " sk_live_3\n",
    }
    found = set(fingerprints(held, KEY, ["from-a-file"]))
    for secret in (
        "p@ssword", "hidden-1", "sk_live_1", "Bearer sk_live_1", "user:secret-1", "secret-1", "sk_live_2", "sk_live_3",
        "from-a-file",
    ):  # fmt: skip
        assert fingerprint(KEY, secret) in found, secret


def test_what_is_too_short_for_a_secret_is_left_out() -> None:
    assert fingerprints({"DEBUG": "true", "PORT": "8080", "EMPTY": ""}, KEY) == []


def test_values_themselves_never_leave() -> None:
    assert all(len(found) == 64 for found in fingerprints({"A": "sk_live_1", "B": "{broken json"}, KEY))
