"""`shadow phase` and `shadow dead-letters`, against a database."""

from __future__ import annotations

from pathlib import Path

import orjson
import psycopg
import pytest
from typer.testing import CliRunner, Result

from shadow.cli import app
from tests.unit.shadow.catalogues import TEXT


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    file = tmp_path / "catalogue.yaml"
    file.write_text(TEXT)
    return file


def shadow(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_a_move_says_what_it_did(catalogue: Path, database_url: str) -> None:
    for task in ("sync-order", "credit-creator"):
        shadow(
            "contain", task, "--declare-harmless", "-r", "a test", "-c", str(catalogue), "--database-url", database_url
        )
    done = shadow(
        "phase", "sync-order", "shadow", "--reason", "week one", "-c", str(catalogue), "--database-url", database_url
    )
    assert done.exit_code == 0, done.output
    assert "sync-order" in done.output
    assert "credit-creator" in done.output
    assert "legacy -> shadow" in done.output
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT reason, forced FROM moves").fetchall() == [("week one", False)]


def test_a_ramp_is_moved_by_share_and_lists(catalogue: Path, database_url: str) -> None:
    given = ("-r", "x", "-c", str(catalogue), "--database-url", database_url)
    shadow("contain", "pay", "--declare-harmless", *given)
    done = shadow("phase", "pay", "ramp", "--share", "10", "--allow", "acme", "--allow", "globex", "--force", *given)
    assert "pay: legacy -> ramp 10 %, allowed: acme, globex from" in done.output.replace("\n", " ")
    assert "by force" in done.output
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE phases SET effective_at = now() - interval '1 s'")
    done = shadow("phase", "pay", "ramp", "--share", "5", "--allow", "", *given)
    assert "pay: ramp 10 % -> ramp 5 % from" in done.output.replace("\n", " ")
    refused = shadow("phase", "pay", "ramp", "--share", "50", *given)
    assert refused.exit_code == 1
    assert "about to be in ramp 5 %" in refused.output


def test_a_refused_move_says_why_and_exits_1(catalogue: Path, database_url: str) -> None:
    done = shadow("phase", "nobody", "shadow", "-r", "x", "-c", str(catalogue), "--database-url", database_url)
    assert done.exit_code == 1
    assert "no task 'nobody'" in done.output


def test_a_move_without_a_reason_is_a_usage_error(catalogue: Path, database_url: str) -> None:
    done = shadow("phase", "pay", "shadow", "-c", str(catalogue), "--database-url", database_url)
    assert done.exit_code == 2
    assert "--reason" in done.output


def test_a_missing_catalogue_is_named(tmp_path: Path, database_url: str) -> None:
    done = shadow(
        "phase", "pay", "shadow", "-r", "x", "-c", str(tmp_path / "none.yaml"), "--database-url", database_url
    )
    assert done.exit_code == 2
    assert "none.yaml: no such file" in done.output


def test_dead_letters_are_listed_and_sent_again(catalogue: Path, database_url: str) -> None:
    dispatch = "01890000-0000-7000-8000-000000000001"
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """INSERT INTO dispatches (id, event_id, side, platform, task, state, attempts, error)
               VALUES (%s, gen_random_uuid(), 'legacy', 'trigger', 'pay', 'dead', 20, 'HTTP 400: no such queue')""",
            (dispatch,),
        )
    listed = shadow("dead-letters", "list", "--database-url", database_url)
    assert listed.exit_code == 0
    assert "pay" in listed.output
    sent = shadow("dead-letters", "resend", dispatch, "-c", str(catalogue), "--database-url", database_url)
    assert sent.exit_code == 0, sent.output
    assert f"{dispatch}: on its way" in sent.output
    again = shadow("dead-letters", "resend", dispatch, "-c", str(catalogue), "--database-url", database_url)
    assert again.exit_code == 1
    assert "no dead letter" in again.output
    assert "no dead letters" in shadow("dead-letters", "list", "--database-url", database_url).output


def contain(catalogue: Path, database_url: str, *arguments: str) -> Result:
    return shadow("contain", *arguments, "-c", str(catalogue), "--database-url", database_url)


def test_a_proof_without_a_guard_says_what_to_do_and_exits_1(catalogue: Path, database_url: str) -> None:
    done = contain(catalogue, database_url, "pay")
    assert done.exit_code == 1, done.output
    for said in ("guard", "failed", "put the client package into", "pay: containment is not proven; leaks: unknown"):
        assert said in " ".join(done.output.split()), done.output


def test_progress_is_told_while_it_runs_and_json_is_alone_on_stdout(catalogue: Path, database_url: str) -> None:
    told = contain(catalogue, database_url, "pay").stderr
    assert "databases: asking legacy's databases" in told
    assert told.index("guard: failed") < told.index("canary: unknown")
    found = orjson.loads(contain(catalogue, database_url, "pay", "--json").stdout)
    assert (found["state"], found["version"], found["parts"]["guard"]["state"]) == ("failed", None, "failed")


def test_a_declaration_is_shown_and_withdrawn(catalogue: Path, database_url: str) -> None:
    assert "nor declared" in contain(catalogue, database_url, "pay", "--show").output
    declared = contain(catalogue, database_url, "pay", "--declare-harmless", "-r", "it only reads", "--actor", "ada")
    assert (declared.exit_code, "declared harmless by ada: it only reads" in declared.output) == (0, True)
    assert contain(catalogue, database_url, "pay", "--show").exit_code == 0
    withdrawn = contain(catalogue, database_url, "pay", "--withdraw", "-r", "it writes", "--actor", "bob")
    assert (withdrawn.exit_code, "withdrawn by bob: it writes" in withdrawn.output) == (0, True)
    assert contain(catalogue, database_url, "pay", "--show").exit_code == 1
    assert contain(catalogue, database_url, "pay", "--withdraw", "-r", "again").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "no task 'nobody'"),
        (["pay", "--declare-harmless"], "--reason"),
        (["pay", "--declare-harmless", "--show"], "choose one of"),
        (["pay", "--patience", "soon"], "such as 90s"),
    ],
)
def test_what_makes_no_sense_exits_2(catalogue: Path, database_url: str, arguments: list[str], says: str) -> None:
    done = contain(catalogue, database_url, *arguments)
    assert (done.exit_code, says in " ".join(done.output.split())) == (2, True), done.output
