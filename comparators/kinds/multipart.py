"""Multipart bodies: parts by their name; the boundary between them is noise, and a file is its digest."""

from __future__ import annotations

import hashlib
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from comparators import nesting
from comparators.canonical import JSON, plain
from comparators.kinds.text import line_ends

_NAMELESS = ""
_PART_KEYS = frozenset({"name", "type", "filename", "content"})


def parts(content: bytes, content_type: str) -> dict[str, JSON]:
    """The parts of a body by name; a list, in their order, where several have the same.

    Raises:
        ValueError: it has no parts, or one that says to be JSON and is none.
    """
    head = b"content-type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=policy.HTTP).parsebytes(head + content)
    if not message.is_multipart():
        raise ValueError("the body has no parts though its type says so")
    assert isinstance(message, EmailMessage)
    return by_name([_part(part) for part in message.iter_parts() if isinstance(part, EmailMessage)])


def by_name(listed: list[JSON]) -> dict[str, JSON]:
    """Parts, each with its name in it, as members of that name."""
    found: dict[str, JSON] = {}
    for part in listed:
        assert isinstance(part, dict)
        name = part.get("name")
        told = {key: value for key, value in part.items() if key != "name"}
        place = name if isinstance(name, str) else _NAMELESS
        before = found.get(place)
        if place not in found:
            found[place] = told
        elif isinstance(before, list):
            before.append(told)
        else:
            found[place] = [before, told]
    return found


def are_parts(value: JSON) -> bool:
    """Whether a list is the parts of a body as they were once recorded, with their names in them."""
    return isinstance(value, list) and all(
        isinstance(part, dict) and part.keys() <= _PART_KEYS and {"name", "content"} <= part.keys() for part in value
    )


def _part(part: EmailMessage) -> JSON:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    name = part.get_param("name", header="content-disposition")
    kind = part.get_content_type()
    shown: dict[str, JSON] = {"name": name if isinstance(name, str) else None, "type": kind}
    if (file_name := part.get_filename()) is not None:
        shown["filename"] = file_name
    if kind == "application/json":
        try:
            shown["content"] = plain(nesting.read(raw, nesting.DEEPEST_EMBEDDED))
        except ValueError as error:
            raise ValueError(f"the part {name!r} is no JSON: {error}") from None
    elif kind.startswith("text/"):
        shown["content"] = line_ends(raw.decode(errors="replace"))
    else:
        shown["content"] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    return shown
