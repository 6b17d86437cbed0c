"""The form of a sealed body, and a tenant's key. Pure.

Stored are a marker byte, the id of the key, a nonce and AES-256-GCM's ciphertext. The body's id and part are
authenticated with it, so that no body can be passed off as another. A key is never used itself: each day of bodies is
sealed by a key derived from it, so that random nonces stay far from repeating however long a tenant stays.
"""

from __future__ import annotations

from functools import cached_property
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shadow.sealing.master import LENGTH
from shadow.sealing.nonces import LENGTH as NONCE
from shadow.sealing.nonces import nonce
from shadow.store import codec

_ID = 16
_HEADER = 1 + _ID + NONCE
_DAY_MILLISECONDS = 86_400_000
_LAST_MILLISECOND = (1 << 48) - 1
"""That an id can tell."""
_CIPHERS_KEPT = 64
"""Of one tenant's days."""


class Tampered(ValueError):
    """A sealed body was changed, or belongs to another place."""

    def __init__(self, part: str) -> None:
        super().__init__(f"a sealed {part!r} is not what was sealed there")


class TenantKey:
    """What one tenant's bodies are sealed with, and its evidence is hashed with."""

    def __init__(self, identifier: UUID, tenant: str, secret: bytes) -> None:
        self.id = identifier
        self.tenant = tenant
        """Empty for what has no tenant."""
        self._secret = secret
        self._ciphers: dict[int, AESGCM] = {}
        self._used = (b"", b"", AESGCM(bytes(LENGTH)))
        """The cipher that was used last: from which id on, and up to which. None yet."""
        self._start = codec.SEALED + identifier.bytes

    @cached_property
    def evidence(self) -> bytes:
        """The key of the hashes that stand for personal values. Gone with the secret, they say nothing any more."""
        return self._derived(b"shadow evidence")

    @cached_property
    def index(self) -> bytes:
        """The key of the hashes in an index."""
        return self._derived(b"shadow business keys")

    @property
    def tag(self) -> bytes:
        """Which key made evidence: eight bytes of its id, from the random part."""
        return self.id.bytes[8:]

    def seal(self, body: bytes, part: str, content: bytes) -> bytes:
        """The sealed form of a body's encoded content.

        Args:
            body: the 16 bytes of its id, a UUIDv7.
        """
        fresh = nonce()
        first, end, cipher = self._used
        if not first <= body < end:  # seldom: what is sealed is of today
            cipher = self._cipher(body)
        return self._start + fresh + cipher.encrypt(fresh, content, body + part.encode())

    def open(self, body: bytes, part: str, stored: bytes) -> bytes:
        """What was sealed.

        Raises:
            Tampered: it was changed, or is of another body.
        """
        try:
            return self._cipher(body).decrypt(stored[1 + _ID : _HEADER], stored[_HEADER:], body + part.encode())
        except InvalidTag:
            raise Tampered(part) from None

    def _cipher(self, body: bytes) -> AESGCM:
        day = int.from_bytes(body[:6], "big") // _DAY_MILLISECONDS
        cipher = self._ciphers.get(day)
        if cipher is None:
            if len(self._ciphers) >= _CIPHERS_KEPT:
                self._ciphers.clear()
            cipher = self._ciphers[day] = AESGCM(self._derived(b"shadow bodies %d" % day))
        self._used = (_start_of(day), _start_of(day + 1), cipher)
        return cipher

    def _derived(self, purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=LENGTH, salt=None, info=purpose).derive(self._secret)


def _start_of(day: int) -> bytes:
    """What the ids of that day, and of no earlier one, begin with at least."""
    return min(day * _DAY_MILLISECONDS, _LAST_MILLISECOND).to_bytes(6, "big")


def key_of(stored: bytes) -> UUID:
    """The id of the key by which a body is sealed."""
    return UUID(bytes=bytes(stored[1 : 1 + _ID]))
