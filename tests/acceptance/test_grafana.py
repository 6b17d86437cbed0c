"""A real Prometheus scrapes a running service, and every query of every panel returns something."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from dashboards.generated import BOARDS, GRAFANA, PROMETHEUS
from dashboards.prometheus_rules import ALERTS, RULES
from sandbox.ports import free_port
from shadow.demo.run import Cast, Options, cast
from tests.acceptance.test_kill import Silent
from tests.prometheus import binary

OPTIONS = Options(faults=("payout-in-dollars", "email-sent-twice"), seed=5, scale=3, prove=False)
CHOSEN = {"$__rate_interval": "1m", "$__range": "15m", "$task": ".*", "$category": ".*"}
"""What stands in place of Grafana's variables: all tasks of all categories, in the last minutes."""
PATIENCE_SECONDS = 30
"""For what comes a little later: gates are evaluated every few seconds, figures read anew as often."""


def queries() -> Iterator[tuple[str, str]]:
    """(dashboard, panel and letter; expression) of every query."""
    for name in BOARDS:
        for panel in json.loads((GRAFANA / f"{name}.json").read_text())["panels"]:
            for target in panel.get("targets") or ():
                yield f"{name}: {panel['title']} {target['refId']}", chosen(target["expr"])


def chosen(expression: str) -> str:
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


def configuration(control_url: str, token: Path) -> str:
    """The committed one, of a service that listens elsewhere, looked at more often."""
    settings: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(PROMETHEUS / name) for name in settings["rule_files"]]
    for job in settings["scrape_configs"]:
        job["authorization"]["credentials_file"] = str(token)
        (static,) = job["static_configs"]
        static["targets"] = [control_url.removeprefix("http://")]
    return yaml.safe_dump(settings)


@asynccontextmanager
async def prometheus(players: Cast, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus that scrapes the service, to be asked."""
    token = folder / "token"
    token.write_text(players.token)
    (folder / "prometheus.yml").write_text(configuration(players.service.control_url, token))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            await asyncio.to_thread(binary, "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            stdout=output,
            stderr=output,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            yield client
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()
        assert "level=error" not in (folder / "prometheus.log").read_text()


async def result(client: httpx.AsyncClient, expression: str) -> list[Any]:
    """What a query returns now; NaN is nothing."""
    answer = (await client.post("/api/v1/query", data={"query": expression})).json()
    assert answer["status"] == "success", (expression, answer)
    found: list[Any] = answer["data"]["result"]
    return [sample for sample in found if not math.isnan(float(sample["value"][1]))]


async def until_up(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_ready(client) or len(await result(client, "up == 1")) < 2:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.2)


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Whether Prometheus takes queries: it listens before it does."""
    try:
        return (await client.get("/-/ready")).is_success
    except httpx.TransportError:
        return False


async def empty(client: httpx.AsyncClient) -> dict[str, str]:
    """The queries that return nothing, once they had their time."""
    left = dict(queries())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while left:
                for name in list(left):
                    if await result(client, left[name]):
                        del left[name]
                await asyncio.sleep(0.5)
    except TimeoutError:
        pass
    return left


async def test_every_query_of_every_panel_returns_something_and_all_rules_are_evaluated(tmp_path: Path) -> None:
    async with cast(OPTIONS, Silent()) as players, prometheus(players, tmp_path) as client:
        await until_up(client)
        plan = players.plan
        await players.produce(plan, Silent())
        await players.findings(plan, Silent())
        assert await empty(client) == {}

        groups = (await client.get("/api/v1/rules")).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) == len(RULES) + len(ALERTS)
        assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
        for recorded in ("phase:shadow_tasks:sum", "platform:shadow_deliveries:rate5m"):
            assert await result(client, recorded)
        firing = {
            alert["labels"]["alertname"] for alert in (await client.get("/api/v1/alerts")).json()["data"]["alerts"]
        }
        assert not firing & {"ShadowLeak", "ShadowTargetDown", "ShadowTargetLost", "ShadowMovedBack"}

        for board in BOARDS:
            for variable in json.loads((GRAFANA / f"{board}.json").read_text())["templating"]["list"]:
                if variable["type"] == "query":
                    await offers_choices(client, variable["query"])


async def offers_choices(client: httpx.AsyncClient, query: str) -> None:
    """`label_values(SELECTOR, LABEL)` is Grafana's own: it asks for the label's values in these series."""
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert asked is not None
    answer = await client.get(f"/api/v1/label/{asked[2]}/values", params={"match[]": chosen(asked[1])})
    assert len(answer.json()["data"]) > 1
