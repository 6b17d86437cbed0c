"""Logs are one JSON object a line, whoever writes them, and tell nothing of local variables."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy.exc
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shadow.observe import logs
from shadow.observe.exceptions import formatted


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


SECRET = "sk_live_" + "marker"  # put together, so that no line of code shows it


def quoting(text: str) -> str:
    return f"found {text}"


def failing(depth: int = 0) -> None:
    """Raises what quotes a value, with causes and notes that do too."""
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        error.add_note(SECRET)
        raise ExceptionGroup(quoting(SECRET), [ValueError(quoting(SECRET)), OSError(2, SECRET, SECRET)]) from error


@pytest.mark.parametrize("json", [True, False])
def test_an_exception_is_told_without_what_it_quotes(stream: io.StringIO, json: bool) -> None:
    logs.configure(stream=stream, json=json)
    try:
        failing()
    except ExceptionGroup:
        structlog.get_logger("shadow").exception("part.failed")
        logging.getLogger("a.library").exception("it failed")
    told = stream.getvalue()
    assert SECRET not in told
    for kind in ("KeyError", "ValueError", "ExceptionGroup"):
        assert told.count(f"{kind}: (message withheld)") == 2, kind
    assert "FileNotFoundError: [Errno 2] No such file or directory" in told
    assert "in failing" in told


def test_a_databases_error_is_told_by_its_state(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    try:
        raise psycopg.errors.UniqueViolation(quoting(SECRET))
    except psycopg.Error as error:
        wrapped = sqlalchemy.exc.IntegrityError(quoting(SECRET), {"email": SECRET}, error)
        structlog.get_logger("shadow").error("part.failed", exc_info=wrapped)
        structlog.get_logger("shadow").exception("part.failed")
    told = stream.getvalue()
    assert SECRET not in told
    assert "sqlalchemy.exc.IntegrityError: SQLSTATE 23505" in told
    assert "psycopg.errors.UniqueViolation: SQLSTATE 23505" in told


def test_what_a_library_fills_into_its_messages_is_left_out(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    library = logging.getLogger("a.library")
    library.warning("could not parse %r", SECRET)
    library.warning(quoting(SECRET))
    library.error(ValueError(SECRET))
    first, second, third = lines(stream)
    assert SECRET not in stream.getvalue()
    assert first["event"] == "could not parse %r"
    assert second["event"] == "(message withheld)"
    assert third["event"] == "ValueError: (message withheld)"
    assert first["at"].startswith("test_logs:")


def test_why_the_database_cannot_be_reached_is_told_in_words(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    logging.getLogger("psycopg.pool").warning("error connecting in %r: %s", "pool-1", "connection refused")
    assert lines(stream)[0]["event"] == "error connecting in 'pool-1': connection refused"


async def test_what_nobody_awaited_is_told_like_anything_else(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    logs.configure(stream=stream)
    loop = asyncio.get_running_loop()
    logs.follow(loop)
    task = asyncio.create_task(fail(), name="forgotten")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    loop.call_soon(called_back, SECRET)
    await asyncio.sleep(0)
    thread = threading.Thread(target=failing, name="worker")
    thread.start()
    thread.join()
    by_event = {line["event"]: line for line in lines(stream)}
    forgotten, back = (line for line in lines(stream) if line["event"] == "loop.failed")
    assert (forgotten["about"], forgotten["task"]) == ("Task exception was never retrieved", "forgotten")
    assert "in fail" in forgotten["exception"]
    assert back["about"].startswith("Exception in callback")
    assert by_event["thread.failed"]["thread"] == "worker"
    assert SECRET not in stream.getvalue()


def called_back(text: str) -> None:
    raise ValueError(quoting(text))


async def fail() -> None:
    raise ValueError(quoting(SECRET))


@given(st.recursive(st.just(0), lambda deeper: st.lists(deeper, min_size=1, max_size=3), max_leaves=20))
def test_no_nesting_of_exceptions_tells_a_message(shape: Any) -> None:
    def made(shape: Any) -> Exception:
        error: Exception
        if isinstance(shape, list):
            error = ExceptionGroup(quoting(SECRET), [made(one) for one in shape])
            error.__cause__ = made(0)
            error.__context__ = error.__cause__
        else:
            error = RuntimeError(quoting(SECRET), SECRET)
        return error

    assert SECRET not in formatted(made(shape))


def test_exceptions_that_cause_each_other_come_to_an_end() -> None:
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, other.__cause__ = other, one
    assert formatted(one).count("Traceback") == 2
