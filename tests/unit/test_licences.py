"""Under which licences the packages stand that run with the service, and those that npm installs: each is known and
allowed. Whoever adds a dependency under another one decides about it here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
ALLOWED = {
    *("MIT", "MIT-0", "0BSD", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0", "PSF-2.0", "Python-2.0"),
    *("Zlib", "CC0-1.0", "Unlicense", "BlueOak-1.0.0", "PostgreSQL", "MPL-2.0"),
    "LGPL-3.0-only",  # psycopg: imported as it is, never changed
}
"""SPDX identifiers. MPL and LGPL bind those who change the package itself."""
TESTS_ONLY = {"CC-BY-4.0", "CC-BY-3.0", "WTFPL", "SEE LICENSE IN LICENSE.md"}
"""Beside these, of packages that are neither served nor shipped."""
SAYS_NOTHING = {
    "inngest",  # its wheel names none: whoever ships Shadow asks its makers
    "node_modules/xmlhttprequest-ssl",  # MIT, in a form that locks don't take over; tests alone
}
"""Of which no licence is found where others say it."""
SAID_OTHERWISE = {
    "mit license": "MIT",
    "mit": "MIT",
    "apache-2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd license": "BSD",
    "bsd": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
LOCKS = sorted(
    path
    for folder in ("api", "clients", "tests")
    for path in (ROOT / folder).glob("**/package-lock.json")
    if "node_modules" not in path.parts
)


def licence_of(name: str) -> str:
    """What a package says of itself: an SPDX expression, a short text, or a classifier."""
    about = metadata.metadata(name)
    if expression := about.json.get("license_expression"):
        return str(expression)
    told = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith("License ::")]
    told = [one for one in told if one != "OSI Approved"]
    text = str(about.json.get("license", "")).strip()
    if text and len(text) < 40:
        return text
    return " OR ".join(SAID_OTHERWISE.get(one.lower(), one) for one in told) or text[:40]


def allowed(licence: str, among: set[str]) -> bool:
    """Whether an expression is: one side of an OR, every side of an AND (SPDX; no nesting but one level)."""
    licence = SAID_OTHERWISE.get(licence.lower().strip("() "), licence)
    if licence in among:
        return True
    bare = licence[1:-1] if re.fullmatch(r"\([^()]*\)", licence) else licence
    if (parts := re.split(r"\s+AND\s+(?![^(]*\))", bare)) != [bare]:
        return all(allowed(part, among) for part in parts)
    if (parts := re.split(r"\s+OR\s+", bare.strip("()"))) != [bare]:
        return any(allowed(part, among) for part in parts)
    return False


def running() -> Iterator[str]:
    """The packages that the service needs to run, and those that these need."""
    waiting, seen = ["shadow-parity"], {"shadow-parity"}
    while waiting:
        name = waiting.pop()
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            extras = {"", "asyncio", "binary", "pool", "c"} if name != "shadow-parity" else {""}
            if needed.marker is not None and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            known = re.sub(r"[-_.]+", "-", needed.name).lower()
            try:
                metadata.distribution(known)
            except metadata.PackageNotFoundError:
                continue
            if known not in seen:
                seen.add(known)
                waiting.append(known)
                yield known


@pytest.mark.parametrize("name", sorted(running()))
def test_every_package_that_runs_is_under_a_licence_that_we_know(name: str) -> None:
    licence = licence_of(name)
    if name in SAYS_NOTHING:
        assert licence == "", f"{name} says it now: {licence!r}"
        return
    assert allowed(licence, ALLOWED), f"{name} is under {licence!r}"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_every_package_of_npm_is_under_a_licence_that_we_know(lock: Path) -> None:
    among = ALLOWED if lock.is_relative_to(ROOT / "api") else ALLOWED | TESTS_ONLY
    packages = json.loads(lock.read_text())["packages"]
    found = {name: str(one.get("license")) for name, one in packages.items() if name not in SAYS_NOTHING}
    found.pop("", None)  # the folder itself
    assert {name: licence for name, licence in found.items() if not allowed(licence, among)} == {}


def test_a_licence_that_nobody_allowed_is_told() -> None:
    assert allowed("MPL-2.0 AND (Apache-2.0 OR MIT)", ALLOWED)
    assert allowed("(MIT OR GPL-3.0-only)", ALLOWED)
    assert not allowed("MIT AND GPL-3.0-only", ALLOWED)
    assert not allowed("AGPL-3.0-only", ALLOWED)
    assert not allowed("None", ALLOWED)
    assert not allowed("", ALLOWED)
