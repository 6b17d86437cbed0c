"""Addresses of mail: who it goes to, apart from how the name is spelled out and in which order they are listed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comparators.canonical import JSON, canonical
from comparators.kinds.text import line

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ODD = re.compile(r"[<>,;\"\\]")
"""What no address has that was read rightly."""
_LISTED = re.compile(r"[<>,;\"\\]")
"""What may part addresses, or keep them together."""
_ESCAPED = re.compile(r"\\(.)")
_ADDRESS_KEYS = ("address", "email", "Email", "Address", "mail")
_NAME_KEYS = ("name", "Name", "displayName", "display_name")


def recipients(value: JSON) -> JSON:
    """The addresses of a field as a sorted list; each is a text, or `{"address", "name"}` where it has a display name
    (and `type`, where it is said of each whether it is a copy).

    What is no notation of addresses stays as it is.
    """
    if value is None:
        return []
    found: list[JSON] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            found += [_of_text(one) for one in _split(item)]
        elif isinstance(item, dict) and (told := _of_object(item)) is not None:
            found.append(told)
        else:
            return value
    if any(_ODD.search(str(told["address"]) if isinstance(told, dict) else str(told)) for told in found):
        return value
    # Nobody, however that is written.
    somebody = [told for told in found if told != ""]
    return sorted(somebody, key=_order) if len(somebody) > 1 else somebody


def address(text: str) -> str:
    """One address: the case of its domain and how that is encoded is no matter, the part before it is."""
    local, at, domain = text.strip().rpartition("@")
    return f"{local}@{_domain(domain)}" if at else text.strip()


def _domain(domain: str) -> str:
    lower = domain.strip().rstrip(".").strip().lower()
    if "xn--" not in lower:
        return lower
    try:
        return lower.encode("ascii").decode("idna")
    except UnicodeError:
        return lower


def _of_text(text: str) -> JSON:
    # Looked for from the end: a pattern that tries each place takes the square of a text's length.
    name, angle, within = text.strip().rpartition("<")
    if not (angle and within) or within.find(">") != len(within) - 1:
        return address(text)
    return _told(within[:-1], _unquoted(name.rstrip()))


def _of_object(item: dict[str, JSON]) -> JSON:
    """None for what holds more, or something else, than an address, a name and a type."""
    where = [key for key in _ADDRESS_KEYS if isinstance(item.get(key), str)]
    named = [key for key in _NAME_KEYS if key in item]
    typed = "type" in item
    if len(where) != 1 or len(named) > 1 or len(item) != 1 + len(named) + typed:
        return None
    name = item[named[0]] if named else None
    if name is not None and not isinstance(name, str):
        return None
    told = _told(str(item[where[0]]), name or "")
    if not typed:
        return told
    return {**(told if isinstance(told, dict) else {"address": told}), "type": item["type"]}


def _told(where: str, name: str) -> JSON:
    normal, shown = address(where), line(name)
    if not shown or shown.casefold() == normal.casefold():
        return normal
    return {"address": normal, "name": shown}


def _unquoted(name: str) -> str:
    return _QUOTED.sub(lambda found: _ESCAPED.sub(r"\1", found[1]), name.strip())


def _split(text: str) -> Iterator[str]:
    """The addresses of a list, which commas and semicolons part where they stand in no name and no angle."""
    if _LISTED.search(text) is None:  # one address, as nearly all are
        if text.strip():
            yield text
        return
    start, quoted, angled, escaped = 0, False, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "<>":
            angled = character == "<"
        elif character in ",;" and not quoted and not angled:
            if text[start:index].strip():
                yield text[start:index]
            start = index + 1
    if text[start:].strip():
        yield text[start:]


def _order(item: JSON) -> tuple[str, bytes]:
    return (str(item["address"]) if isinstance(item, dict) else str(item), canonical(item))
