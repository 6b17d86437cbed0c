"""What the demo says once it has shown its findings."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from shadow.cli.demo import _say_how_to_go_on


def said(*, keep: bool) -> str:
    written = StringIO()
    _say_how_to_go_on(Console(file=written, width=60), "http://127.0.0.1:8485", "shadow_" + "x" * 60, keep=keep)
    return written.getvalue()


def test_left_running_it_says_where_the_pages_are_and_how_to_sign_in() -> None:
    lines = said(keep=True).splitlines()
    assert "Pages: http://127.0.0.1:8485/pages/" in lines
    assert f"Sign in there with the token shadow_{'x' * 60}" in lines, "in one line, to be copied"


def test_otherwise_it_says_how_to_leave_it_running() -> None:
    assert "make demo ARGS=--keep" in said(keep=False)
    assert "shadow_" not in said(keep=False)
