"""The containment benchmark, small: nothing leaks, and a gateway that is broken on purpose is found out."""

from __future__ import annotations

import pytest

from benchmarks.containment.__main__ import measure
from benchmarks.containment.bench import Options


def options(calls: int, crashes: int) -> Options:
    return Options(calls=calls, seed=5, workers=60, crashes=crashes, progress=lambda _text: None)


async def test_nothing_leaks() -> None:
    bench, found, figures = await measure(options(2000, crashes=1))
    assert bench.wrong_decisions == []
    assert found.sound, found
    assert figures["leaks"] == 0
    calls = figures["calls"]
    assert isinstance(calls, int)
    assert calls >= 2000
    dispositions = figures["dispositions"]
    assert isinstance(dispositions, dict)
    assert {"forward", "refuse", "stub"} <= dispositions.keys()
    assert bench.faults.injected.total() > 20
    assert figures["crashes"] == 1


@pytest.mark.parametrize("kind", ["disposition", "authority"])
async def test_a_gateway_that_leaks_is_found_out_by_the_targets_own_log(kind: str) -> None:
    _bench, found, figures = await measure(options(1000, crashes=0), kind)
    assert not found.sound
    leaks = figures["leaks"]
    assert isinstance(leaks, int)
    assert leaks > 5
