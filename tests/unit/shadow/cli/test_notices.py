"""`shadow notices test` tries a channel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import structlog
import yaml
from typer.testing import CliRunner

from shadow.cli import app
from tests.unit.shadow.catalogues import TEXT as CATALOGUE


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class _Hook(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    """The URL of a receiver."""
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/s3cr3t"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_channel_can_be_tried(hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = {"ops": {"kind": "slack", "url": hook, "private": True}}
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE + yaml.safe_dump({"notifications": {"channels": channels}}))
    tried = CliRunner().invoke(app, ["notices", "test", "ops", "--catalogue", str(path)])
    assert (tried.exit_code, tried.output) == (0, "ops: sent\n")
    assert b"Channel ops works" in _Hook.bodies[-1]
    monkeypatch.setattr(_Hook, "status", 403)
    tried = CliRunner().invoke(app, ["notices", "test", "ops", "--catalogue", str(path)])
    assert (tried.exit_code, tried.output) == (1, "ops: answered 403\n")
    tried = CliRunner().invoke(app, ["notices", "test", "opps", "--catalogue", str(path)])
    assert tried.exit_code == 2
    assert "expected one of ops" in tried.output
