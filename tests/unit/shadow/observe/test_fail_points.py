"""Fail points: off unless the environment names one, and each of them reached, listed and described."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shadow.observe.fail_points import POINTS, VARIABLE

ROOT = Path(__file__).parents[4]
_REACHED = re.compile(r'\breach\("([^"]+)"\)')


def reached() -> set[str]:
    """The names of all points in the code."""
    return {
        name
        for package in ("api", "shadow")
        for path in (ROOT / package).rglob("*.py")
        for name in _REACHED.findall(path.read_text())
    }


def run(script: str, point: str | None) -> subprocess.CompletedProcess[bytes]:
    environment = {"PYTHONPATH": str(ROOT)} | ({VARIABLE: point} if point is not None else {})
    program = f"from shadow.observe.fail_points import reach\n{script}\nprint('alive')"
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=20)


def test_every_point_is_reached_and_every_one_that_is_reached_is_listed() -> None:
    assert reached() == set(POINTS)


def test_every_point_is_in_the_reference_with_its_moment() -> None:
    text = (ROOT / "docs/reference/fail-points.md").read_text()
    assert re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.MULTILINE) == list(POINTS.items())


def test_without_the_variable_nothing_happens() -> None:
    done = run("reach('intake.committed')", None)
    assert (done.returncode, done.stdout) == (0, b"alive\n")


def test_the_named_point_kills_and_no_other_does() -> None:
    done = run("reach('judge.written')\nprint('others', flush=True)\nreach('intake.committed')", "intake.committed")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"others\n")


def test_a_number_says_the_how_manieth_time_kills() -> None:
    once = "reach('intake.committed')\n"
    script = f"{once}{once}print('twice', flush=True)\n{once}"
    done = run(script, "intake.committed:3")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"twice\n")


@pytest.mark.parametrize("given", ["intake.comitted", "intake.committed:0", "intake.committed:x", ":2"])
def test_what_names_no_point_keeps_the_process_from_starting(given: str) -> None:
    done = run("", given)
    assert done.returncode == 1
    assert VARIABLE.encode() in done.stderr
