"""`shadow evidence` writes both files of a pack, of now or as it was kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from shadow.archive.keeping import ArchiveLoop
from shadow.cli import app
from shadow.cutover.decision import Phase
from tests.integration.cli.within import within
from tests.integration.judge.world import CATALOGUE, World
from tests.integration.steering.stage import TASK, Stage


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Command:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.out = folder / "evidence"
        self.catalogue = folder / "catalogue.yaml"
        self.catalogue.write_text(CATALOGUE)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        options = ["--out", str(self.out), "--catalogue", str(self.catalogue), "--database-url", self.url]
        answer = CliRunner().invoke(app, ["evidence", *arguments, *options])
        assert answer.exit_code == code, answer.output
        return answer.output


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Command:
    return Command(database_url, tmp_path)


def test_both_files_are_written_and_belong_together(command: Command) -> None:
    said = command(TASK)
    content = (command.out / f"{TASK}.json").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert json.loads(content)["task"]["task"] == TASK
    assert digest in said
    assert digest in (command.out / f"{TASK}.html").read_text()


def test_what_was_kept_is_given_as_it_was(command: Command) -> None:
    assert "its route was never retired" in command(TASK, "--kept", code=1)

    async def retire(world: World) -> None:
        stage = Stage(world.database)
        await stage.stands(TASK, Phase.RETIRED)
        await ArchiveLoop(world.database, stage.catalogue).once()

    within(command.url, retire)
    command(TASK, "--kept")
    first = (command.out / f"{TASK}.json").read_bytes()
    assert json.loads(first)["made_for"] is not None
    command(TASK, "--kept")
    assert (command.out / f"{TASK}.json").read_bytes() == first


def test_a_task_that_is_not_in_the_catalogue_is_told(command: Command) -> None:
    assert "did you mean 'order-sync'" in command("order-synk", code=2)
