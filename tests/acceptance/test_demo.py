"""`shadow demo`, as a newcomer runs it, on a smaller load."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

TASKS = {
    "sync-shopify-order",
    "send-review-email",
    "process-payout",
    "process-creator-application",
    "process-attribution",
    "aggregate-daily-metrics",
    "process-webhook-queue",
}
FIELDS = {
    "events",
    "pairs",
    "match",
    "mismatch",
    "missing",
    "not_comparable",
    "pending",
    "parity",
    "fault",
    "scheduled",
    "leaks",
    "dispositions",
    "containment",
}
"""Of a task in `--json`. The first nine are what others read; they only ever get company."""
REACHING = {
    "sync-shopify-order",
    "send-review-email",
    "process-payout",
    "process-creator-application",
    "process-attribution",
}
"""Tasks that call targets."""


def demo(*arguments: str) -> tuple[int, str]:
    """Exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "shadow", "demo", "--scale", "9", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def as_json(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def test_without_faults_every_event_is_paired_and_every_pair_matches() -> None:
    code, output = demo("--faults", "none", "--json")
    found = as_json(output)
    assert code == 0, output[-4000:]
    assert found["ok"] is True
    assert set(found["tasks"]) == TASKS
    assert found["signatures"] == []
    for task, finding in found["tasks"].items():
        assert set(finding) == FIELDS
        assert finding["parity"] == 1.0, task
        assert finding["events"] == finding["pairs"] == finding["match"] > 0, task
        assert finding["pending"] == finding["missing"] == finding["not_comparable"] == 0, task
        assert finding["fault"] is None
        assert finding["leaks"] == 0
        assert finding["containment"] == ("proven" if task == "process-payout" else "declared")
    assert found["leaks"] == 0
    assert found["writes"] > 0


def test_what_legacy_forwards_the_candidate_is_answered_from() -> None:
    code, output = demo("--faults", "none", "--no-proof", "--json")
    found = as_json(output)
    assert code == 0, output[-4000:]
    for task, finding in found["tasks"].items():
        assert finding["containment"] == "declared"
        calls = finding["dispositions"]
        if task not in REACHING:
            assert calls == {}, task
            continue
        assert set(calls["legacy"]) == {"forward"}, task
        assert set(calls["candidate"]) == {"replay"}, task
        # beyond the candidate's there are legacy's tries that a target turned away
        assert calls["legacy"]["forward"] >= calls["candidate"]["replay"] > 0, task


def test_the_faulted_tasks_and_only_they_fall_short() -> None:
    faults = "payout-in-dollars,application-missing-slack,email-sent-twice"
    code, output = demo("--faults", faults, "--no-proof", "--json")
    found = as_json(output)
    assert code == 0, output[-4000:]
    assert found["ok"] is True
    short = {task for task, finding in found["tasks"].items() if finding["parity"] < 1.0}
    assert short == {task for task, finding in found["tasks"].items() if finding["fault"]}
    assert short == {"process-payout", "process-creator-application", "send-review-email"}
    assert {signature["task"] for signature in found["signatures"]} == short
    assert all(finding["pending"] == 0 for finding in found["tasks"].values())


def test_people_get_a_table_and_the_three_worst_differences() -> None:
    code, output = demo()
    assert code == 0
    assert all(task in output for task in TASKS)
    assert "payout-twice" in output
    assert "Contained: process-payout by proof" in output
    assert output.count("critical") == 3
    assert " 1. " in output
    assert " 3. " in output
    assert " 4. " not in output


def test_told_to_end_it_leaves_nothing_running() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "shadow", "demo", "--keep", "--no-proof", "--scale", "3", "--faults", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    try:
        while "Ctrl-C" not in (line := running.stdout.readline()):
            assert line, "the demo ended before it was up"
        started = psutil.Process(running.pid).children(recursive=True)
        assert len(started) >= 2  # the stage and the service
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 130
        gone, alive = psutil.wait_procs(started, timeout=10)
        assert len(gone) == len(started)
        assert alive == []
    finally:
        running.kill()
        running.stdout.close()


@pytest.mark.parametrize("name", ["nonsense", "payout-twice,nonsense"])
def test_an_unknown_fault_is_refused_with_the_known_ones(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shadow", "demo", "--faults", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no fault nonsense" in done.stderr
    assert "payout-twice" in done.stderr
