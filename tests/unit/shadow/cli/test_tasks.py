"""`shadow tasks`: check, schema, import."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from shadow.catalogue import json_schema, parse
from shadow.catalogue.variables import Placeholders
from shadow.cli import tasks
from tests.unit.shadow.catalogue.generated import ENVIRON, small

runner = CliRunner(env={**ENVIRON, "COLUMNS": "140"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.yaml"
    path.write_text(small())
    return path


def test_check_lists_the_tasks_and_warns(file: Path) -> None:
    result = runner.invoke(tasks.app, ["check", str(file)])
    assert result.exit_code == 0, result.output
    for text in ("without a category", "sync-order", "shopify/order.created", "trigger: pay", "inngest: commerce-pay"):
        assert text in result.output
    assert "warning: sources.calls: no task is fed by it [unused-source]" in result.output
    assert "2 tasks on 2 routes, 1 warning" in result.output


def test_check_groups_by_category_and_names_routes(file: Path) -> None:
    file.write_text(small(("event: payout/approved", "event: shopify/order.created\n    category: 'orders [eu]'")))
    result = runner.invoke(tasks.app, ["check", str(file)])
    assert "orders [eu] (1)" in result.output
    assert "pay, sync-order share shopify/order.created: they change phase together" in result.output


def test_check_prints_problems_a_line_each_and_fails(file: Path) -> None:
    file.write_text(small(("side: legacy", "side: old"), ("sources: [app]", "sources: [ap, app]")))
    result = runner.invoke(tasks.app, ["check", str(file)])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{file}:4: platforms.trigger.side: found 'old', expected one of candidate, legacy",
        "1 problem",
    ]


def test_check_is_strict_about_warnings_only_when_asked(file: Path) -> None:
    assert runner.invoke(tasks.app, ["check", str(file), "--strict"]).exit_code == 1


def test_check_needs_no_secrets_when_told_so(file: Path) -> None:
    bare = CliRunner(env=dict.fromkeys(ENVIRON))
    assert "${TRIGGER_KEY}, which is not set" in bare.invoke(tasks.app, ["check", str(file)]).output
    assert bare.invoke(tasks.app, ["check", str(file), "--allow-unset"]).exit_code == 0


def test_check_speaks_json(file: Path) -> None:
    told = json.loads(runner.invoke(tasks.app, ["check", str(file), "--json"]).output)
    assert told["ok"] is True
    assert told["tasks"]["pay"]["candidate"] == {"platform": "inngest", "function": "commerce-pay"}
    assert [one["code"] for one in told["warnings"]] == ["unused-source"]
    file.write_text(small(("side: legacy", "side: old")))
    result = runner.invoke(tasks.app, ["check", str(file), "--json"])
    assert result.exit_code == 1
    problem = json.loads(result.output)["problems"][0]
    assert (problem["line"], problem["key"], problem["found"]) == (4, "platforms.trigger.side", "'old'")


def test_check_of_no_file_says_so(tmp_path: Path) -> None:
    result = runner.invoke(tasks.app, ["check", str(tmp_path / "absent.yaml")])
    assert result.exit_code == 2
    assert "absent.yaml: No such file" in result.output


def test_no_secret_is_printed(file: Path) -> None:
    for options in ([], ["--json"]):
        assert "secret_value" not in runner.invoke(tasks.app, ["check", str(file), *options]).output


def test_schema_prints_the_schema() -> None:
    assert json.loads(runner.invoke(tasks.app, ["schema"]).output) == json_schema()


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/api/v1/runs":
        return httpx.Response(200, json={"data": [{"taskIdentifier": "process-payout"}], "pagination": {}})
    if request.url.path == "/api/v1/schedules":
        return httpx.Response(200, json={"data": [], "pagination": {"totalPages": 0}})
    if request.headers.get("authorization", "").startswith("Bearer "):
        triggers = [{"event": "payout/approved"}]
        return httpx.Response(200, json=[{"config": {"slug": "commerce-process-payout", "triggers": triggers}}])
    return httpx.Response(401, text="Authentication failed")


@pytest.fixture
def platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both platforms answer from memory."""
    real = httpx.AsyncClient

    def client(**options: object) -> httpx.AsyncClient:
        assert options == {"follow_redirects": False, "trust_env": False, "timeout": 30}
        return real(transport=httpx.MockTransport(answer))

    monkeypatch.setattr(httpx, "AsyncClient", client)


URLS = ["--legacy-url", "http://t.test", "--candidate-url", "http://i.test"]
IMPORT = ["import", "--legacy-key", "tr_key", "--app", "commerce", *URLS]


@pytest.mark.usefixtures("platforms")
def test_import_drafts_a_catalogue_that_loads(tmp_path: Path) -> None:
    output = tmp_path / "drafted.yaml"
    result = runner.invoke(tasks.app, [*IMPORT, "--signing-key", "abcd", "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert "drafted from 1 task and 1 function" in result.output
    catalogue = parse(output.read_text(), "drafted.yaml", Placeholders({}))
    assert catalogue.tasks["process-payout"].event == "payout/approved"
    printed = runner.invoke(tasks.app, [*IMPORT, "--signing-key", "abcd"]).output
    assert printed == output.read_text()
    assert "tr_key" not in printed
    # What was there is never overwritten: it may have been worked on.
    assert runner.invoke(tasks.app, [*IMPORT, "-o", str(output)]).exit_code == 2


@pytest.mark.usefixtures("platforms")
def test_import_says_which_platform_did_not_list() -> None:
    result = runner.invoke(tasks.app, IMPORT)
    assert result.exit_code == 1
    assert "GET http://i.test/v1/apps/commerce/functions: found status 401, expected 200" in result.output
