"""Pages, newest first: an opaque cursor is the id of the last row that was shown."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 200


class BadCursor(ValueError):
    """A cursor that no page gave."""

    def __init__(self, found: str) -> None:
        self.found = found[:60]
        super().__init__(f"found the cursor {self.found!r}, expected the `next_cursor` of a page")


def cursor_of(last: UUID) -> str:
    """The cursor of the page after the row with that id."""
    return urlsafe_b64encode(last.bytes).decode().rstrip("=")


def read_cursor(cursor: str) -> UUID:
    """The id that a cursor stands for.

    Raises:
        BadCursor: it is none of ours.
    """
    try:
        content = urlsafe_b64decode(cursor + "==")
    except ValueError:
        content = b""
    if len(content) != 16 or cursor_of(UUID(bytes=content)) != cursor:
        raise BadCursor(cursor)
    return UUID(bytes=content)
