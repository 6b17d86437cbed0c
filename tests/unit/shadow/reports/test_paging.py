"""Cursors are opaque, and none but ours is taken."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.reports.paging import BadCursor, cursor_of, read_cursor


@given(st.uuids())
def test_a_cursor_leads_back_to_its_row(last: UUID) -> None:
    assert read_cursor(cursor_of(last)) == last


@pytest.mark.parametrize("cursor", ["", "x", "=" * 22, "A" * 21, "A" * 23, "ÄÖ", "AAAAAAAAAAAAAAAAAAAAAB"])
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor, match="next_cursor"):
        read_cursor(cursor)
