"""docker-compose.yml, the Dockerfile and what they mount fit together. Nothing here runs Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from shadow.cli import app

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "dashboards" / "prometheus" / "prometheus.yml").read_text())

_DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """(source, target) of what a service mounts, variables at their defaults."""
    found = []
    for volume in service.get("volumes", ()):
        source, target, *_mode = _DEFAULT.sub(r"\1", volume).split(":")
        found.append((source, target))
    return found


def options_of(command: str) -> set[str]:
    found = typer.main.get_command(app)
    assert hasattr(found, "commands")
    return {option for parameter in found.commands[command].params for option in parameter.opts}


def test_all_parts_of_an_installation_are_there() -> None:
    assert {"postgres", "serve", "work", "prometheus", "grafana", "inngest"} <= set(SERVICES)
    assert SERVICES["postgres"]["image"] == "postgres:18"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_mounted_file_and_volume_exists(name: str) -> None:
    for source, target in mounts(SERVICES[name]):
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_dependency_is_a_service_that_can_fulfil_it(name: str) -> None:
    dependencies = SERVICES[name].get("depends_on", {})
    for other in dependencies:
        assert other in SERVICES
        condition = dependencies[other]["condition"] if isinstance(dependencies, dict) else "service_started"
        if condition == "service_healthy":
            assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_port_is_open_to_the_world_and_none_is_used_twice(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")
    every = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", ["serve", "work"])
def test_the_command_of_a_service_has_these_options(name: str) -> None:
    command, *arguments = SERVICES[name]["command"]
    given = {argument for argument in arguments if argument.startswith("--")}
    assert given <= options_of(command)
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_the_token_service_runs_a_command_that_exists() -> None:
    (script,) = SERVICES["token"]["command"]
    assert "shadow token create prometheus --scope read" in script


def test_both_processes_share_the_database_of_the_compose_file() -> None:
    settings = SERVICES["postgres"]["environment"]
    url = (
        f"postgresql://{settings['POSTGRES_USER']}:{settings['POSTGRES_PASSWORD']}@postgres:5432"
        f"/{settings['POSTGRES_DB']}"
    )
    for name in ("serve", "work", "token"):
        assert SERVICES[name]["environment"]["SHADOW_DATABASE_URL"] == url


def test_prometheus_scrapes_each_process_and_the_installation_once() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    targets = {name: job["static_configs"][0]["targets"] for name, job in jobs.items()}
    assert targets == {"shadow": ["serve:8485", "work:8485"], "shadow-parity": ["serve:8485"]}
    assert {name: job["metrics_path"] for name, job in jobs.items()} == {
        "shadow": "/metrics",
        "shadow-parity": "/metrics/parity",
    }
    for job in jobs.values():
        folder, _, file = job["authorization"]["credentials_file"].rpartition("/")
        assert folder in {target: source for source, target in mounts(SERVICES["prometheus"])}
        assert f"/token/{file}" in SERVICES["token"]["command"][0]


def test_prometheus_is_given_the_rules_that_its_configuration_names() -> None:
    targets = {target: source for source, target in mounts(SERVICES["prometheus"])}
    for name in PROMETHEUS["rule_files"]:
        assert targets[f"/etc/prometheus/{name}"] == f"./dashboards/prometheus/{name}"


def test_grafana_is_given_what_its_provisioning_reads() -> None:
    grafana = SERVICES["grafana"]
    provisioning = ROOT / "dashboards" / "provisioning"
    text = "".join(path.read_text() for path in provisioning.rglob("*.yaml"))
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(grafana["environment"])
    targets = {target: source for source, target in mounts(grafana)}
    provider = yaml.safe_load((provisioning / "dashboards" / "shadow.yaml").read_text())["providers"][0]
    assert targets[provider["options"]["path"]] == "./dashboards/grafana"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "dashboards" / "grafana" / Path(home).name).exists()


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {part for name, rest in instructions() if name == "COPY" for part in rest.split()[:-1]}
    for path in copied:
        assert (ROOT / path).exists(), path
    assert copied == sent


def test_every_package_of_the_distribution_is_in_the_image() -> None:
    copied = {part for name, rest in instructions() if name == "COPY" for part in rest.split()[:-1]}
    pyproject = (ROOT / "pyproject.toml").read_text()
    include = re.search(r"^include = \[(.*)\]$", pyproject, re.M)
    assert include is not None
    assert {name.rstrip("*") for name in re.findall(r'"([^"]+)"', include.group(1))} <= copied


def test_the_image_runs_shadow_as_nobody_special_with_pinned_libraries() -> None:
    found = instructions()
    assert found[0] == ("FROM", "python:3.11-slim")
    assert [rest for name, rest in found if name == "USER"] == ["shadow"]
    assert any("--require-hashes -r requirements.lock" in rest for name, rest in found if name == "RUN")
    assert dict(found)["ENTRYPOINT"] == '["shadow"]'
    names = {name for name, _rest in found}
    assert names <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert [name for name, _rest in found].index("USER") > max(
        index for index, (name, _rest) in enumerate(found) if name == "RUN"
    )


def test_the_default_command_of_the_image_has_these_options() -> None:
    command, *arguments = yaml.safe_load(dict(instructions())["CMD"])
    assert {argument for argument in arguments if argument.startswith("--")} <= options_of(command)
