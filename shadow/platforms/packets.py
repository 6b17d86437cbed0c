"""Packets: what Trigger.dev keeps in an object store because it is too large to stand in a call or a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shadow.intake import superjson
from shadow.platforms.json_text import read_json
from shadow.platforms.trigger_api import TriggerApi

_SUPER_JSON = "application/super+json"
_TEXT = "text/plain"


async def offloaded(api: TriggerApi, path: str) -> Any:
    """The payload that lies at `path` of the environment's store, as plain JSON.

    Raises:
        Refused, httpx.HTTPError, TimeoutError, TooLarge: it could not be fetched.
        ValueError: it is not what it says it is.
    """
    return await at(api, await api.packet_url(path))


async def at(api: TriggerApi, url: str) -> Any:
    """The packet at a presigned address, as plain JSON; raises as `offloaded`."""
    answer = await api.packet(url)
    return plain(answer.body, answer.fields.get("content-type", ""), urlsplit(url).path)


def plain(content: bytes, content_type: str, path: str) -> Any:
    """The value that a packet holds.

    Packets are kept as they were sent, under the type they were sent with; a store that does not tell the type
    leaves the name and the look of it.

    Raises:
        ValueError: it is not what it says it is.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _TEXT or path.endswith(".txt"):
        return content.decode()
    value = read_json(content)
    looks_super = isinstance(value, dict) and "json" in value and value.keys() <= {"json", "meta"}
    return superjson.decode(content) if kind == _SUPER_JSON or looks_super else value
