"""A process of Shadow dies at every moment between two commits, under load: nothing is lost, doubled or leaked."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import ZERO, Options, bench


@pytest.mark.slow
async def test_whichever_point_a_process_dies_at_nothing_is_lost_and_nothing_runs_twice() -> None:
    folder = Path(tempfile.mkdtemp(prefix="shadow-points-"))
    try:
        figures = await bench(Options(rounds=20, rate=4.0, seed=3, serves=2, works=1, points=True), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert figures["points_not_reached"] == []
    assert figures["not_settled"] == []
    assert {name: figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0), figures
