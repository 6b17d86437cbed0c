"""What the audit of npm's packages says of what the registry answers: it claims nothing that it was not told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "npm-audit"
CLEAN = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 2}}}
VULNERABLE = {
    "vulnerabilities": {
        "got": {"range": "<11.8.5", "severity": "moderate", "via": [{"title": "a redirect", "url": "https://x.test"}]}
    },
    "metadata": {"dependencies": {"total": 2}},
}
REFUSED = {"message": "405 Method Not Allowed", "statusCode": 405}


def audited(folder: Path, answer: Any, *, required: bool = False) -> subprocess.CompletedProcess[str]:
    """What it says where npm answers so."""
    npm = folder / "npm"
    npm.write_text(
        f"#!/bin/sh\ncat <<'END'\n{answer if isinstance(answer, str) else json.dumps(answer)}\nEND\nexit 1\n"
    )
    npm.chmod(0o755)
    locked: dict[str, Any] = {"packages": {"": {}, "node_modules/got": {}, "node_modules/ky": {}}}
    (folder / "package-lock.json").write_text(json.dumps(locked))
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(npm), str(folder)],
        capture_output=True,
        text=True,
        env={"AUDIT_REQUIRED": "1" if required else "0", "PATH": "/usr/bin:/bin"},
        check=False,
    )


def test_a_report_without_findings_passes(tmp_path: Path) -> None:
    done = audited(tmp_path, CLEAN, required=True)
    assert (done.returncode, done.stdout) == (0, "npm audit: no known vulnerabilities in 2 packages of 1 locks\n")


def test_a_vulnerable_package_fails_by_name(tmp_path: Path) -> None:
    done = audited(tmp_path, VULNERABLE)
    assert done.returncode == 1
    assert "got <11.8.5 (moderate): a redirect (https://x.test)" in done.stdout


@pytest.mark.parametrize(
    "answer", [REFUSED, "", "<html>", {"vulnerabilities": {}}, {**CLEAN, "metadata": {"dependencies": {"total": 0}}}]
)
def test_whatever_is_no_report_of_all_packages_is_not_done(tmp_path: Path, answer: Any) -> None:
    done = audited(tmp_path, answer)
    assert done.returncode == 0
    assert "NOT DONE" in done.stdout
    assert "no known vulnerabilities" not in done.stdout
    assert audited(tmp_path, answer, required=True).returncode == 1
