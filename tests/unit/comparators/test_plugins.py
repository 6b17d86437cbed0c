"""Packages that add to the judge: found by their entry points, and named when they can't be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGE = '''
"""A comparator that forbids a target, and what is notation in an SMS."""
from comparators import Severity


def forbid(case):
    for entry in case.candidate_entries:
        if entry.target == "forbidden":
            yield case.difference(
                "forbidden", ("effects", entry.kind), legacy=None, candidate=entry.target,
                severity=Severity.critical, sentence="candidate reached a forbidden target",
            )


def sms(data):
    return {**data, "number": data["number"].replace(" ", "")}


not_callable = 5
'''
ASKED = """
from comparators import Effect, Ledger, Outcome, Rules, comparators, judge

def ledger(number, target="forbidden"):
    return Ledger(Outcome("completed"), (Effect("sms", target, "send", None, {"number": number}),))

print(len(comparators()), comparators() == comparators())
for target in ("allowed", "forbidden"):
    found = judge(ledger("+49 30 1", target), ledger("+49301", target), Rules())
    print(found.verdict.value, [difference.sentence for difference in found.differences])
same = judge(ledger("1"), ledger("1"), Rules())
print(same.verdict.value)
"""


def installed(folder: Path, entry_points: str) -> subprocess.CompletedProcess[str]:
    """What the judge does in a Python in which a package with these entry points is installed."""
    (folder / "shadow_sms.py").write_text(PACKAGE)
    metadata = folder / "shadow_sms-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shadow-sms\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    code = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parents[3])!r}]\n{ASKED}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_package_adds_a_comparator_and_a_kind(tmp_path: Path) -> None:
    done = installed(
        tmp_path, "[shadow.comparators]\nforbid = shadow_sms:forbid\n[shadow.kinds]\nsms = shadow_sms:sms\n"
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "7 True",
        "match []",
        "mismatch ['candidate reached a forbidden target']",
        # it sees pairs that say the same in so many words, too
        "mismatch",
    ]


def test_a_package_that_can_not_be_used_is_named_and_never_left_out(tmp_path: Path) -> None:
    cases = [
        ("comparators", "forbid = shadow_sms:gone", "'forbid' (shadow_sms:gone) can't be loaded: AttributeError"),
        ("comparators", "forbid = shadow_sms:not_callable", "(shadow_sms:not_callable) is int, expected a function"),
        ("comparators", "output = shadow_sms:forbid", "'output' is the name of a comparator already"),
        ("kinds", "http = shadow_sms:sms", "'http' is a kind that has a normaliser already"),
    ]
    for number, (group, entry_point, expected) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        error = installed(folder, f"[shadow.{group}]\n{entry_point}\n").stderr.splitlines()[-1]
        assert error.startswith("comparators.plugins.PluginError: package shadow-sms 1.2: "), error
        assert expected in error
