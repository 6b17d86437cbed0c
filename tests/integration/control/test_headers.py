"""What the control port tells browsers and caches of every answer."""

from __future__ import annotations

import json
import re
from importlib import resources

import httpx
import pytest

from api.control import ControlServices
from shadow.access.rates import Rates


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/tasks", 200), ("/v1/tasks/x", 404), ("/none", 404), ("/healthz", 200), ("/metrics", 200)],
)
async def test_no_answer_is_sniffed_framed_or_kept(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers


async def test_a_fault_has_them_too(client: httpx.AsyncClient, services: ControlServices) -> None:
    services.rates = None
    services.catalogue = None  # type: ignore[assignment]
    answer = await client.get("/v1/tasks")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_behind_tls_browsers_are_told_to_stay_there(client: httpx.AsyncClient) -> None:
    assert "strict-transport-security" not in (await client.get("/healthz")).headers
    told = (await client.get("https://control/healthz")).headers["strict-transport-security"]
    assert told == "max-age=31536000"
    assert "strict-transport-security" in (await client.get("https://control/pages/sign-in")).headers


async def test_the_page_of_the_document_can_send_nothing_elsewhere(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/docs")).headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "form-action 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy


async def test_the_page_of_the_document_loads_from_this_port_alone(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [address for address in addresses if not address.startswith("docs/")] == ["data:,"]
    for address in addresses[1:]:
        answer = await client.get(f"/{address}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert "<script>" not in page


@pytest.mark.parametrize("address", ["package.json", "swagger-ui-bundle.js", "..%2fviewer.py", "%2e%2e/app.py", "x"])
async def test_nothing_else_of_the_folder_is_served(client: httpx.AsyncClient, address: str) -> None:
    assert (await client.get(f"/docs/{address}")).status_code == 404


def test_the_viewer_is_the_release_that_its_lock_names() -> None:
    folder = resources.files("api.control").joinpath("swagger_ui")
    named = json.loads(folder.joinpath("package.json").read_text())["dependencies"]["swagger-ui-dist"]
    locked = json.loads(folder.joinpath("package-lock.json").read_text())["packages"]["node_modules/swagger-ui-dist"]
    assert locked["version"] == named
    assert f'PACKAGE_VERSION:"{named}"' in folder.joinpath("swagger-ui-bundle.js").read_text()
    assert "Apache License" in folder.joinpath("LICENSE").read_text()


async def test_a_token_that_asks_too_often_is_told_when_to_come_back(
    client: httpx.AsyncClient, services: ControlServices
) -> None:
    services.rates = Rates(0.5, burst=2)
    answers = [await client.get("/v1/tasks") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) in (1, 2)
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert (await client.get("/healthz")).status_code == 200
