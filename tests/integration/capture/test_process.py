"""`capture.install()`: the guard of a whole Python process, whatever it calls with. Tried in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.capture.conftest import Front
from tests.integration.fanout.serving import served

SCRIPT = """
import asyncio, json, os, smtplib, socket, urllib.request
import httpx
from shadow.capture import Capture

capture = Capture.from_environment()
undo = capture.install()
elsewhere = os.environ["ELSEWHERE"]
host, port = elsewhere.removeprefix("http://").split(":")
result = {}

def outcome(name, work):
    try:
        result[name] = work()
    except BaseException as error:
        result[name] = f"{type(error).__name__} {getattr(error, 'host', '')}".strip()

def get(url):
    return urllib.request.urlopen(url, timeout=20).status

async def stream(to, at):
    _reader, writer = await asyncio.open_connection(to, at)
    writer.close()
    return "connected"

async def fetched(url):
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.post(url, content=b"abc")).status_code

def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        return sending.sendto(b"x", (host, int(port)))

def served_by_name():
    with socket.create_server(("localhost", 0)):
        return "bound"

def all_of_it():
    outcome("urllib", lambda: get("http://evil.test/"))
    outcome("address", lambda: get(elsewhere))
    outcome("localhost", lambda: get(f"http://localhost:{port}/"))
    outcome("stream", lambda: asyncio.run(stream(host, int(port))))
    outcome("mail", lambda: smtplib.SMTP("mail.evil.test", 25, timeout=5) and "sent")
    outcome("datagram", datagram)
    outcome("httpx", lambda: httpx.post("https://stripe.test/v1/transfers", content=b"abc").status_code)
    outcome("asynchronous", lambda: asyncio.run(fetched("https://stripe.test/v1/other")))
    outcome("plain", lambda: httpx.get("http://evil.test/x", trust_env=False).status_code)
    outcome("target", lambda: get("https://stripe.test/v1/transfers"))
    outcome("gateway", lambda: get(os.environ["FRONT"] + "/healthz"))
    outcome("allowed", lambda: get(os.environ["ALLOWED"]))
    outcome("bound", served_by_name)

with capture.run("run_1", "pay"):
    all_of_it()
result["reported"] = capture.report_guard({})
undo()
outcome("undone", lambda: get(elsewhere))
result["reported again"] = capture.report_guard({})
print(json.dumps(result))
"""


async def tried(environ: dict[str, str], folder: Path) -> Any:
    script = folder / "worker.py"
    script.write_text(textwrap.dedent(SCRIPT))
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, "PYTHONPATH": str(Path(__file__).parents[3]), **environ},
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()[-3000:]
    return orjson.loads(out.splitlines()[-1])


def environment(front: Front, allowed: str, elsewhere: str) -> dict[str, str]:
    return {
        "SHADOW_GATEWAY_URL": front.url,
        "SHADOW_EGRESS_KEY": "shk_1",
        "SHADOW_TARGETS": "stripe.test=stripe",
        "SHADOW_ALLOW": allowed.removeprefix("http://"),
        "FRONT": front.url,
        "ALLOWED": allowed,
        "ELSEWHERE": elsewhere,
    }


async def test_nothing_leaves_the_process_but_to_the_gateway_and_what_is_allowed(front: Front, tmp_path: Path) -> None:
    allowed, elsewhere = Front(), Front()
    async with served(allowed) as allowed_url, served(elsewhere) as url:
        got = await tried(environment(front, allowed_url, url), tmp_path)
        port = url.rpartition(":")[2]
    assert got == {
        "urllib": "HostDenied evil.test",
        "address": f"HostDenied 127.0.0.1:{port}",
        "localhost": f"HostDenied localhost:{port}",
        "stream": f"HostDenied localhost:{port}",  # as it was called last
        "mail": "HostDenied mail.evil.test:25",
        "datagram": f"HostDenied localhost:{port}",
        "httpx": 200,
        "asynchronous": 200,
        "plain": "HostDenied evil.test",
        "target": "HostDenied stripe.test",
        "gateway": 200,
        "allowed": 200,
        "bound": "bound",
        "reported": True,
        "undone": 200,
        "reported again": True,
    }
    assert [path for path, _, _ in allowed.raw] == ["GET /"]
    assert [path for path, _, _ in elsewhere.raw] == ["GET /"]  # once it was undone
    sent = {path: (headers, body) for path, headers, body in front.raw if path.startswith("POST /egress")}
    assert set(sent) == {"POST /egress/stripe/v1/transfers", "POST /egress/stripe/v1/other"}
    assert all((headers["x-shadow-run"], body) == ("run_1", b"abc") for headers, body in sent.values())
    told = [orjson.loads(body) for path, _, body in front.raw if path == "POST /shadow/guard"]
    met = {host["host"] for report in told for host in report.get("hosts", [])}
    assert {"evil.test", "mail.evil.test:25", "stripe.test", f"127.0.0.1:{port}"} <= met
    assert [report["covers"] for report in told if "fingerprints" in report] == ["process", "clients"]


@pytest.mark.parametrize("gateway", ["", None])
async def test_without_a_gateway_nothing_happens_at_all(front: Front, tmp_path: Path, gateway: str | None) -> None:
    elsewhere = Front()
    async with served(elsewhere) as url:
        environ = environment(front, url, url)
        del environ["SHADOW_GATEWAY_URL"]
        if gateway is not None:
            environ["SHADOW_GATEWAY_URL"] = gateway
        got = await tried(environ, tmp_path)
    assert {got[name] for name in ("address", "gateway", "allowed", "undone")} == {200}
    assert (got["stream"], got["datagram"], got["reported"]) == ("connected", 1, False)
    assert "HostDenied" not in str(got)
    assert [path for path, _, _ in front.raw] == ["GET /healthz"]
