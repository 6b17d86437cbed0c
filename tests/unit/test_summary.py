"""What a run of the tests says of itself at its end."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.conftest import pytest_terminal_summary


class _Reporter:
    def __init__(self, stats: dict[str, list[Any]]) -> None:
        self.stats = stats
        self.lines: list[str] = []

    def write_line(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize(("stats", "count"), [({}, 0), ({"passed": [1], "skipped": [2, 3]}, 2)])
def test_it_says_how_many_tests_were_skipped(stats: dict[str, list[Any]], count: int) -> None:
    reporter = _Reporter(stats)
    pytest_terminal_summary(cast(pytest.TerminalReporter, reporter))
    assert reporter.lines == [f"skipped tests: {count}"]
