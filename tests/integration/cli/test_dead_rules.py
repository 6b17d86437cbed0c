"""`shadow tasks check --dead-rules`, against a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from typer.testing import CliRunner

from shadow.cli import app
from shadow.judge.loop import JudgeLoop
from tests.integration.cli.within import within
from tests.integration.judge.world import CATALOGUE, World


def test_check_names_dead_rules_when_asked(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE)

    async def judged(world: World) -> None:
        await (await world.event()).both({"tookMs": 1})
        await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))

    within(database_url, judged)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE task_rules SET since = now() - interval '31 days'")

    def checked(*options: str) -> str:
        done = CliRunner().invoke(app, ["tasks", "check", str(file), "--database-url", database_url, *options])
        assert done.exit_code == 0, done.output
        return done.output

    warning = (
        "warning: tasks.order-sync.rules.identities[0]: it spoke of nothing in 30 days in which pairs were judged"
        " [dead-rule]"
    )
    assert warning in checked("--dead-rules")
    assert "dead-rule" not in checked()
