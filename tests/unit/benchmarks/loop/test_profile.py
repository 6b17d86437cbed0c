"""What sampled stacks say."""

from __future__ import annotations

from benchmarks.loop.profile import summary

START = "<module> (/x/shadow/__main__.py:3);run (/x/shadow/service.py:9)"
LOOP = "_run (/x/shadow/judge/loop.py:5)"


def test_a_sample_counts_for_its_loop_its_module_and_its_function() -> None:
    said = summary(
        [
            f"{START};{LOOP};dumps (/x/comparators/canonical.py:7);encode (/lib/python3/json/encoder.py:1) 3",
            f"{START};{LOOP} 1",
        ]
    )
    assert said["loops"] == {"shadow/judge/loop.py": 100.0}
    assert said["modules"] == {"comparators/canonical.py": 75.0, "shadow/judge/loop.py": 25.0}
    assert said["functions"] == {"encode (json/encoder.py)": 75.0, "_run (judge/loop.py)": 25.0}


def test_a_package_with_our_name_in_its_path_is_not_ours() -> None:
    said = summary([f"{START};{LOOP};send (/x/shadow/.venv/site-packages/api/client.py:1) 2"])
    assert said["modules"] == {"shadow/judge/loop.py": 100.0}


def test_what_is_of_nobody_of_ours_is_said_apart() -> None:
    assert summary(["wait (/lib/python3/threading.py:1) 4"])["loops"] == {"-": 100.0}
