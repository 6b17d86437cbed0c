"""Webhook signatures: six schemes, checked over the raw bytes as they came.

Sources of the rules: Shopify "Deliver webhooks through HTTPS", Stripe "Verify webhook signatures manually",
GitHub "Validating webhook deliveries", Slack "Verifying requests from Slack", the Standard Webhooks
specification (with Svix's header names too, which many senders still use).

The `standardwebhooks` library checks ours in the tests and is not used here: its tolerance of five minutes and its
clock are fixed, it takes one secret and its own header names only, and on a body that is no UTF-8 or a signature
that is no base64 it raises whatever comes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from shadow.catalogue.model import Signature, SignatureScheme

Headers = Mapping[str, str]
"""Lower-case name to value."""

Check = Callable[[Headers, bytes, datetime], None]
"""Raises `SignatureRejected`; returns nothing when a signature holds."""

_STANDARD_NAMES = (
    ("webhook-id", "webhook-timestamp", "webhook-signature"),
    ("svix-id", "svix-timestamp", "svix-signature"),
)
_STANDARD_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that marks secrets, not a secret

_NO_MATCH = "no signature matches"


class SignatureRejected(Exception):
    """The delivery is not from who it says it is from, or too old. `str()` gives the reason, never a secret."""


def verify(signature: Signature, headers: Headers, body: bytes, now: datetime) -> None:
    """Check a delivery against a source's signature.

    Args:
        signature: the scheme and its secrets; any of them may have signed, so that one can be rotated.
        headers: lower-case names.
        body: the bytes as they came.
        now: for the schemes that sign a timestamp, which may be `signature.tolerance` old, or ahead.

    Raises:
        SignatureRejected: no secret explains the signature, a header is missing, or the timestamp is too far off.
    """
    verifier(signature)(headers, body, now)


def verifier(signature: Signature) -> Check:
    """`verify` for one source, with its secrets made ready once.

    Raises:
        ValueError: a secret or setting does not fit the scheme.
    """
    return _SCHEMES[signature.scheme](signature)


def _shopify(signature: Signature) -> Check:
    return _plain_hmac("x-shopify-hmac-sha256", "", "sha256", _base64, _keys(signature))


def _github(signature: Signature) -> Check:
    return _plain_hmac("x-hub-signature-256", "sha256=", "sha256", _hex, _keys(signature))


def _hmac(signature: Signature) -> Check:
    if not signature.header:
        raise ValueError("signature.header: found nothing, expected the name of the header with the signature")
    encode = _base64 if signature.encoding == "base64" else _hex
    return _plain_hmac(signature.header.lower(), signature.prefix, signature.algorithm, encode, _keys(signature))


def _plain_hmac(
    header: str, prefix: str, algorithm: str, encode: Callable[[bytes], bytes], keys: Sequence[bytes]
) -> Check:
    """A digest of the body, and nothing else, in one header."""
    digests = [_digests(key, algorithm) for key in keys]
    first, *others = digests

    def check(headers: Headers, body: bytes, now: datetime) -> None:
        given = headers.get(header) or _required(headers, header)
        if prefix:
            if not given.startswith(prefix):
                raise SignatureRejected(f"header {header}: expected it to start with {prefix!r}")
            given = given[len(prefix) :]
        signature = given.encode()
        if others:
            _any_matches((signature,), [encode(digest(body)) for digest in digests])
        elif not hmac.compare_digest(signature, encode(first(body))):
            raise SignatureRejected(_NO_MATCH)

    return check


def _stripe(signature: Signature) -> Check:
    keys = _keys(signature)
    tolerance = signature.tolerance.total_seconds()

    def check(headers: Headers, body: bytes, now: datetime) -> None:
        timestamp = ""
        candidates = []
        for item in _required(headers, "stripe-signature").split(","):
            name, _, value = item.strip().partition("=")
            if name == "t":
                timestamp = value
            elif name == "v1":
                candidates.append(value.encode())
        if not candidates:
            raise SignatureRejected("header stripe-signature: expected a v1 signature")
        _fresh(timestamp, now, tolerance)
        message = timestamp.encode() + b"." + body
        _any_matches(candidates, (_hex(hmac.digest(key, message, "sha256")) for key in keys))

    return check


def _slack(signature: Signature) -> Check:
    keys = _keys(signature)
    tolerance = signature.tolerance.total_seconds()

    def check(headers: Headers, body: bytes, now: datetime) -> None:
        given = _required(headers, "x-slack-signature").encode()
        timestamp = _required(headers, "x-slack-request-timestamp")
        _fresh(timestamp, now, tolerance)
        message = b"v0:" + timestamp.encode() + b":" + body
        _any_matches((given,), (b"v0=" + _hex(hmac.digest(key, message, "sha256")) for key in keys))

    return check


def _standard(signature: Signature) -> Check:
    keys = [_standard_key(secret.get_secret_value()) for secret in signature.secrets]
    tolerance = signature.tolerance.total_seconds()

    def check(headers: Headers, body: bytes, now: datetime) -> None:
        names = next((names for names in _STANDARD_NAMES if names[2] in headers), _STANDARD_NAMES[0])
        identifier, timestamp, given = (_required(headers, name) for name in names)
        _fresh(timestamp, now, tolerance)
        message = identifier.encode() + b"." + timestamp.encode() + b"." + body
        candidates = [part[3:].encode() for part in given.split(" ") if part.startswith("v1,")]
        _any_matches(candidates, (_base64(hmac.digest(key, message, "sha256")) for key in keys))

    return check


def _standard_key(secret: str) -> bytes:
    """The bytes of a `whsec_` secret, which is base64 with or without padding."""
    try:
        key = base64.b64decode(secret.removeprefix(_STANDARD_SECRET_PREFIX).rstrip("=") + "==")
    except binascii.Error as error:
        raise ValueError("a standard-webhooks secret: expected base64, with or without 'whsec_'") from error
    if not key:
        raise ValueError("a standard-webhooks secret: found it empty")
    return key


def _keys(signature: Signature) -> list[bytes]:
    return [secret.get_secret_value().encode() for secret in signature.secrets]


def _required(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureRejected(f"header {name} is missing")
    return value


def _fresh(timestamp: str, now: datetime, tolerance: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureRejected("the signed timestamp is missing or no number of seconds")
    if abs(now.timestamp() - int(timestamp)) > tolerance:
        raise SignatureRejected(f"the signed timestamp is more than {tolerance:g} s away from now")


def _any_matches(candidates: Sequence[bytes], expected: Iterable[bytes]) -> None:
    """Compare in constant time; which secret or candidate it was stays untold."""
    for digest in expected:
        for candidate in candidates:
            if hmac.compare_digest(candidate, digest):
                return
    raise SignatureRejected(_NO_MATCH)


def _digests(key: bytes, algorithm: str) -> Callable[[bytes], bytes]:
    """`hmac.digest(key, ..., algorithm)`, with the two states that depend on the key alone made ready (RFC 2104): for a
    body of a kilobyte half of its time went into them."""
    inner, outer = hashlib.new(algorithm), hashlib.new(algorithm)
    if len(key) > inner.block_size:
        key = hashlib.new(algorithm, key).digest()
    padded = key.ljust(inner.block_size, b"\0")
    inner.update(padded.translate(_INNER))
    outer.update(padded.translate(_OUTER))

    def digest(message: bytes) -> bytes:
        within, around = inner.copy(), outer.copy()
        within.update(message)
        around.update(within.digest())
        return around.digest()

    return digest


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def _hex(digest: bytes) -> bytes:
    return binascii.hexlify(digest)


def _base64(digest: bytes) -> bytes:
    return base64.b64encode(digest)


_SCHEMES: dict[SignatureScheme, Callable[[Signature], Check]] = {
    SignatureScheme.SHOPIFY: _shopify,
    SignatureScheme.STRIPE: _stripe,
    SignatureScheme.GITHUB: _github,
    SignatureScheme.SLACK: _slack,
    SignatureScheme.STANDARD: _standard,
    SignatureScheme.HMAC: _hmac,
}
