"""ARCHITECTURE.md's layers hold in the code: who may import whom, and how large a file may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "shadow", "comparators", "dashboards", "sandbox")
FORBIDDEN = {
    "comparators": {"shadow", "api", "sandbox", "dashboards", "httpx", "psycopg", "sqlalchemy", "asyncio", "time"},
    "sandbox": {"shadow", "api", "comparators"},
    "dashboards": {"api", "sandbox", "comparators"},
    "shadow": {"api", "fastapi", "starlette", "sandbox"},
    "api": {"sandbox"},
}
ALLOWED = {
    ("shadow/service.py", "api"),  # the one assembly of processes
}
CLIENT = "shadow.capture"
"""The client package for workers: theirs to import, and knowing nothing else of Shadow."""
ALLOWED_FOLDERS = {
    ("shadow/demo", "sandbox"),  # the demo is the one customer of the sandbox
    ("shadow/cli/demo.py", "sandbox"),
}
ORDER = {
    # a stage -> the later stages that it must not know
    "shadow/model": {
        "egress",
        "catalogue",
        "store",
        "cutover",
        "intake",
        "platforms",
        "causes",
        "fanout",
        "outcomes",
        "judge",
        "reports",
    },
    "shadow/catalogue": {"egress", "store", "cutover", "intake", "platforms", "fanout", "outcomes", "judge", "reports"},
    "shadow/store": {"egress", "catalogue", "cutover", "intake", "platforms", "fanout", "outcomes", "judge", "reports"},
    "shadow/sealing": {
        "effects",
        "egress",
        "cutover",
        "intake",
        "platforms",
        "fanout",
        "outcomes",
        "judge",
        "reports",
    },
    "shadow/effects": {"egress", "cutover", "intake", "platforms", "fanout", "outcomes", "judge", "reports"},
    "shadow/containment": {
        "causes",
        "egress",
        "cutover",
        "intake",
        "platforms",
        "fanout",
        "outcomes",
        "judge",
        "reports",
    },
    "shadow/cutover": {"causes", "egress", "intake", "platforms", "fanout", "outcomes", "judge", "reports"},
    "shadow/spool": {"egress", "cutover", "intake", "platforms", "causes", "fanout", "outcomes", "judge", "reports"},
    "shadow/intake": {"causes", "egress", "platforms", "fanout", "outcomes", "judge", "reports"},
    "shadow/platforms": {"causes", "egress", "fanout", "outcomes", "judge", "reports"},
    "shadow/causes": {"egress", "fanout", "replays", "outcomes", "judge", "reports"},
    "shadow/egress": {"fanout", "outcomes", "judge", "reports"},
    "shadow/fanout": {"egress", "outcomes", "judge", "reports"},
    "shadow/world": {"replays", "outcomes", "judge", "reports"},
    "shadow/outcomes": {"world", "replays", "judge", "reports"},
    "shadow/replays": {"egress", "outcomes", "judge", "reports"},
    "shadow/judge": {"intake", "platforms", "replays", "learning", "reports"},
    "shadow/learning": {"intake", "platforms", "causes", "fanout", "replays", "gate", "steering", "reports"},
    "shadow/gate": {"intake", "platforms", "egress", "fanout", "world", "outcomes", "steering", "reports"},
    "shadow/steering": {"intake", "platforms", "egress", "world", "reports"},
    "shadow/notices": {"intake", "egress", "fanout", "outcomes", "judge", "gate", "steering", "reports"},
    "shadow/archive": {"cli", "demo"},
    "shadow/ticks": {"egress", "judge", "learning", "gate", "steering", "notices", "reports"},
    "shadow/costs": {"egress", "intake", "fanout", "judge", "gate", "steering", "notices", "reports"},
}
LONGEST = 600
BANNED_NAMES = {"utils", "helpers", "common", "manager", "misc"}


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_reaches_back(package: str) -> None:
    wrong = []
    for path in modules(package):
        name = path.relative_to(ROOT).as_posix()
        for module in imports(path):
            top = module.split(".")[0]
            excused = (name, top) in ALLOWED or any(
                f"{name}/".startswith(folder + "/") and top == target for folder, target in ALLOWED_FOLDERS
            )
            excused = excused or (package == "sandbox" and f"{module}.".startswith(CLIENT + "."))
            if top in FORBIDDEN[package] and not excused:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


@pytest.mark.parametrize("folder", sorted(ORDER))
def test_no_stage_knows_a_later_one(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules(folder)
        for module in imports(path)
        if module.startswith("shadow.") and module.split(".")[1] in ORDER[folder]
    ]
    assert wrong == []


def test_the_client_package_knows_nothing_else_of_ours() -> None:
    ours = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules(CLIENT.replace(".", "/"))
        for module in imports(path)
        if module.split(".")[0] in PACKAGES and not f"{module}.".startswith(CLIENT + ".")
    }
    assert ours == set()


def test_originals_are_opened_only_where_they_are_needed() -> None:
    """Delivery, the gateway's replay, mapping anew, attribution, and making evidence of them. The judge and the
    reports read evidence."""
    allowed = {
        "shadow/fanout/stored_events.py",
        "shadow/intake/late_mapping.py",
        "shadow/intake/remap.py",
        "shadow/effects/answered.py",
        "shadow/effects/evidence.py",
        "shadow/effects/reattribution.py",
        "shadow/egress/twin.py",
        "shadow/world/queues.py",  # copies of a queue, to be put into the candidate's database
        "shadow/sealing/opening.py",  # for a person, on record before it is shown
        "shadow/egress/recorded.py",  # a witness's: was it one of our calls that made this?
    }
    opening = {
        path.relative_to(ROOT).as_posix()
        for package in ("shadow", "api")
        for path in modules(package)
        if "vault.open(" in path.read_text()
    }
    assert opening == allowed


def test_a_module_is_one_noun_that_reads_in_one_sitting() -> None:
    for package in (*PACKAGES, "benchmarks", "tests"):
        for path in modules(package):
            name = path.relative_to(ROOT)
            assert len(path.read_text().splitlines()) <= LONGEST, f"{name} is two things"
            assert not BANNED_NAMES & {part.removesuffix(".py") for part in name.parts}, f"{name} says nothing"


def test_nothing_imports_the_archive_but_the_edge() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules("shadow")
        for module in imports(path)
        if f"{module}.".startswith("shadow.archive.")
        and path.relative_to(ROOT).parts[1] not in ("archive", "cli", "service.py")
    ]
    assert wrong == []
