"""The examples of docs/how-to/capture.md run as they stand, and the types of the TypeScript package hold."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.sdks import BIN, NODE, installed
from tests.integration.capture.conftest import Front
from tests.integration.fanout.serving import served

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "capture.md"
PACKAGES = {
    "@shadow/capture": ROOT / "clients" / "typescript",
    "inngest": NODE / "inngest-4" / "node_modules" / "inngest",
    "@trigger.dev/sdk": NODE / "trigger-4.5" / "node_modules" / "@trigger.dev" / "sdk",
    "pg": NODE / "capture" / "node_modules" / "pg",
    "undici": NODE / "capture" / "node_modules" / "undici",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made


@pytest.fixture
def environ(front: Front, postgres_url: str) -> dict[str, str]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": postgres_url,
        "SHADOW_GATEWAY_URL": front.url,
        "SHADOW_EGRESS_KEY": "shk_1",
        "SHADOW_TARGETS": "api.stripe.com=stripe",
        "SHADOW_REPORT_KEY": "rk",
        "SHADOW_VERSION": "v7",
    }


async def run(*command: str, cwd: Path, environ: dict[str, str]) -> None:
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


async def test_the_python_examples_run(front: Front, environ: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("\n".join(blocks("python")))
    await run(sys.executable, str(script), cwd=tmp_path, environ=environ)
    asked = [path for path, _, _ in front.raw]
    assert asked == ["GET /shadow/guard", "POST /shadow/guard", "GET /egress/stripe/v1/balance", "POST /shadow/effects"]
    assert [(effect["operation"], effect["identity"]) for effect in front.effects()] == [("upsert orders", "o-1")]
    with psycopg.connect(environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT * FROM orders").fetchall() == [("o-1", 1200)]


async def test_the_javascript_examples_run(front: Front, environ: dict[str, str], tmp_path: Path) -> None:
    for generation in ("inngest-4", "trigger-4.5", "capture"):
        await asyncio.to_thread(installed, generation)
    for name, folder in PACKAGES.items():
        link = tmp_path / "node_modules" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
    found = blocks("js")
    assert len(found) == 3
    for index, block in enumerate(found):
        script = tmp_path / f"example{index}.mjs"
        script.write_text(f"{block}\nprocess.exit(0);\n")
        await run(str(BIN / "node"), str(script), cwd=tmp_path, environ=environ)
    assert [path for path, _, _ in front.raw] == ["GET /shadow/guard", "POST /shadow/guard"]


async def test_the_types_hold(tmp_path: Path) -> None:
    folder = await asyncio.to_thread(installed, "capture")
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    options = ("--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck", "--target", "es2022")
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    await run(str(BIN / "node"), str(compiler), *options, "types.ts", cwd=folder, environ=environ)


def test_every_variable_is_documented() -> None:
    read = set(re.findall(r"SHADOW_[A-Z_]+", (ROOT / "shadow" / "capture" / "settings.py").read_text()))
    read |= set(re.findall(r"SHADOW_[A-Z_]+", (ROOT / "clients" / "typescript" / "src" / "settings.js").read_text()))
    assert read == set(re.findall(r"^\| `(SHADOW_[A-Z_]+)`", PAGE.read_text(), re.MULTILINE))
    assert shutil.which("node", path=str(BIN)) is not None
