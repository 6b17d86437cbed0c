"""Text for people: what stays of it when the notation is taken away.

Composed and decomposed letters are the same letters, line ends are line ends, and what nobody sees (soft hyphens,
zero-width spaces, blanks at the end of a line) says nothing. Words, their order and the lines they stand in stay.
"""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header, make_header

_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u034f\u200b\u200c\u2060\ufeff"))
"""Not the zero-width joiner, which makes one emoji of several."""
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_ENCODED_WORD = "=?"


def line(text: str) -> str:
    """A text of one line, such as a subject."""
    return " ".join(_seen(decoded(text)).split())


def lines(text: str) -> str:
    """A text of several lines, such as a mail's."""
    spaced = _BLANKS.sub(" ", _LINE_END.sub("\n", _seen(text)))
    return _EMPTY_LINES.sub("\n\n", "\n".join(part.strip() for part in spaced.split("\n"))).strip("\n")


def line_ends(text: str) -> str:
    """A text of which only the notation of its line ends is no matter."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(text: str) -> str:
    """A header's text with its encoded words (RFC 2047) read; as it stands where they can't be."""
    if _ENCODED_WORD not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return text


def _seen(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_UNSEEN)
