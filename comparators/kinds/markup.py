"""HTML of a mail: what is read in it, and where its links lead.

How it is laid out (tables, styles, attributes, comments, indentation) is a template's matter; a link, a picture and
every word that the reader gets are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from comparators.canonical import JSON
from comparators.kinds.text import line
from comparators.kinds.url import url
from comparators.protected import word_set

_TAG = re.compile(r"<(?:!doctype|!--|/?[a-z][a-z0-9]*[\s/>])", re.IGNORECASE)
_UNREAD = word_set("head script style template noscript title meta link")
_INLINE = word_set(
    "a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span strike strong sub"
    " sup time tt u var wbr"
)
"""All other elements begin a line of their own and end it."""
_TEXT, _COMMENT = "-text", "-comment"


def seen(html: str) -> JSON:
    """What a reader gets of an HTML document: its lines, its links and its pictures, each in their order."""
    lines: list[str] = []
    links: list[JSON] = []
    pictures: list[JSON] = []
    current: list[str] = []

    def broken() -> None:
        if read := line("".join(current)):
            lines.append(read)
        current.clear()

    for node, entering in _walk(LexborHTMLParser(html).root):
        tag = node.tag or ""
        if tag == _TEXT:
            current.append(node.text_content or "")
            continue
        if entering and tag in ("a", "area") and (href := node.attributes.get("href")) is not None:
            links.append(url(href))
        if entering and tag == "img":
            alt = node.attributes.get("alt")
            pictures.append({"src": url(node.attributes.get("src") or ""), **({"alt": line(alt)} if alt else {})})
        if tag not in _INLINE:
            broken()
    broken()
    return {
        "lines": [*lines],
        **({"links": links} if links else {}),
        **({"images": pictures} if pictures else {}),
    }


def is_markup(text: str) -> bool:
    """Whether a text that may be either is HTML rather than plain."""
    return _TAG.match(text.lstrip()) is not None or "</" in text


def _walk(root: LexborNode | None) -> Iterator[tuple[LexborNode, bool]]:
    """Every node that is read, entered and left, without recursion: documents nest as deep as they like."""
    if root is None:
        return
    todo = [(root, True)]
    while todo:
        node, entering = todo.pop()
        tag = node.tag or ""
        if entering and (tag == _COMMENT or tag in _UNREAD):
            continue
        yield node, entering
        if not entering or tag == _TEXT:
            continue
        todo.append((node, False))
        todo += [(child, True) for child in reversed(list(node.iter(include_text=True)))]
