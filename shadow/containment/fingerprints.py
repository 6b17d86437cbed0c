"""Keyed fingerprints: two can tell whether they hold the same secret without showing it.

Shadow gives out the key; a worker's guard takes the fingerprints of what it holds (every environment variable, the
password of every database URL) and reports these. Without the key they say nothing of the secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from shadow.store.database import Connection

KEY_BYTES = 32

_MAKE = "INSERT INTO guard_keys (id, key) VALUES (1, %s) ON CONFLICT (id) DO NOTHING"
_READ = "SELECT key FROM guard_keys WHERE id = 1"


def fingerprint(key: bytes, secret: str) -> str:
    """HMAC-SHA256 of the secret's UTF-8, in hexadecimal; the client packages do the same."""
    return hmac.new(key, secret.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


async def fingerprint_key(connection: Connection) -> bytes:
    """The key of this installation; made when it is first asked for."""
    await connection.execute(_MAKE, (secrets.token_bytes(KEY_BYTES),))
    row = await (await connection.execute(_READ)).fetchone()
    if row is None:
        raise LookupError("guard_keys is empty though a key was just put there")
    return bytes(row[0])
