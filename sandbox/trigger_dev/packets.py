"""Packets: encoded payloads and outputs, and the object store that holds the big ones (reference 1.4).

The store is served by the same app under `/packets/...` with signed addresses that live five minutes; like
the real one it asks for no `Authorization` header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from sandbox.trigger_dev import superjson
from sandbox.trigger_dev.environments import Environment

JSON = "application/json"
SUPER_JSON = "application/super+json"
STORE = "application/store"
PRESIGNED_LIFE_SECONDS = 300
PAYLOAD_OFFLOAD_BYTES = 512 * 1024
OUTPUT_OFFLOAD_BYTES = 128 * 1024


@dataclass(frozen=True)
class Packet:
    """Data with its encoding. `data` is None for undefined; for `application/store` it is the path in the
    store.
    """

    data: str | None
    type: str

    @property
    def stored(self) -> bool:
        """Whether the data lies in the object store."""
        return self.type == STORE


EMPTY = Packet(None, JSON)


def json_packet(value: Any) -> Packet:
    """Encode a task's output (datetimes become ISO text)."""
    return EMPTY if value is None else Packet(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode(), JSON)


def typed_value(packet: Packet) -> Any:
    """What a task gets: superjson's types restored. None for an empty packet.

    Raises ValueError when the data is not what its type says.
    """
    if packet.data is None:
        return None
    if packet.type == JSON:
        return orjson.loads(packet.data)
    if packet.type == SUPER_JSON:
        return superjson.decode(packet.data)
    return packet.data


def plain_value(packet: Packet) -> Any:
    """What the REST API shows: plain JSON."""
    if packet.data is None:
        return None
    if packet.type == SUPER_JSON:
        return superjson.plain(packet.data)
    return typed_value(packet)


@dataclass(frozen=True)
class _Object:
    body: bytes
    content_type: str


class PacketStore:
    """The pretend object store: objects by environment and path."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], _Object] = {}
        self._secret = secrets.token_bytes(32)

    def put(self, address: str, path: str, body: bytes, content_type: str) -> None:
        """Store an object under an environment's address (`project/slug`)."""
        self._objects[(address, path)] = _Object(body, content_type)

    def get(self, address: str, path: str) -> tuple[bytes, str] | None:
        """Body and content type of an object."""
        found = self._objects.get((address, path))
        return (found.body, found.content_type) if found else None

    def offload(self, environment: Environment, path: str, packet: Packet, limit: int) -> Packet:
        """Move a packet of more than `limit` bytes into the store; smaller ones stay as they are."""
        if packet.data is None or packet.stored or len(body := packet.data.encode()) < limit:
            return packet
        self.put(address_of(environment), path, body, packet.type)
        return Packet(path, STORE)

    def load(self, environment: Environment, packet: Packet) -> Packet:
        """The packet with its data at hand.

        Raises LookupError when the store does not hold it.
        """
        if not packet.stored or packet.data is None:
            return packet
        found = self._objects.get((address_of(environment), packet.data))
        if found is None:
            raise LookupError(f"the packet store has no object {packet.data!r}")
        return Packet(found.body.decode(), found.content_type)

    def presigned(self, base_url: str, method: str, environment: Environment, path: str) -> str:
        """An address that allows `method` on one object for five minutes."""
        address = address_of(environment)
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        query = urlencode(
            {
                "X-Amz-Expires": PRESIGNED_LIFE_SECONDS,
                "X-Amz-Date": date,
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-SignedHeaders": "host",
                "X-Amz-Signature": self._signature(method, address, path, date),
            }
        )
        return f"{base_url.rstrip('/')}/packets/{address}/{quote(path)}?{query}"

    def permits(self, method: str, address: str, path: str, query: dict[str, str]) -> bool:
        """Whether a signed address allows `method` now."""
        date = query.get("X-Amz-Date", "")
        expected = self._signature(method, address, path, date)
        if not hmac.compare_digest(expected, query.get("X-Amz-Signature", "")):
            return False
        oldest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - PRESIGNED_LIFE_SECONDS))
        return date >= oldest

    def _signature(self, method: str, address: str, path: str, date: str) -> str:
        text = "\n".join((method, address, path, date))
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def address_of(environment: Environment) -> str:
    """Where an environment's objects lie."""
    return f"{environment.project_ref}/{environment.slug}"
