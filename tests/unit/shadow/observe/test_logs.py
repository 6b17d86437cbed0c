"""Logs are one JSON object a line, whoever writes them, and tell nothing of local variables."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog

from shadow.observe import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_an_event_a_level_a_time_and_its_fields(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    structlog.get_logger("shadow.part").info("part.done", pairs=3)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "part.done", "level": "info", "logger": "shadow.part", "pairs": 3}


def test_the_standard_librarys_loggers_write_the_same_lines(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    logging.getLogger("uvicorn.error").warning("shutting %s", "down")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("shutting down", "warning")


def test_without_a_stream_lines_go_to_the_stderr_of_the_moment(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure()
    monkeypatch.setattr("sys.stderr", stream)
    structlog.get_logger("shadow").info("part.done")
    assert lines(stream)[0]["event"] == "part.done"


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    logs.configure(stream=stream, level="warning")
    structlog.get_logger("shadow").info("part.done")
    logging.getLogger("other").info("chatter")
    assert lines(stream) == []


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO, json: bool) -> None:
    logs.configure(stream=stream, json=json)
    try:
        secret = "sk_" + "live"
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger("shadow").exception("part.failed")
    assert "RuntimeError: broken" in stream.getvalue()
    assert secret not in stream.getvalue()


def test_what_is_no_json_is_written_as_text(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    structlog.get_logger("shadow").info("part.done", where=complex(1, 2))
    assert lines(stream)[0]["where"] == "(1+2j)"


def test_an_unknown_level_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="'loud'"):
        logs.configure(stream=stream, level="loud")
