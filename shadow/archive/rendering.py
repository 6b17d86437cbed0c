"""An evidence pack as files: JSON for programs, and one self-contained page for people. Pure, but for its template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from shadow.archive.shapes import EvidencePack

_LONG = 600
"""Characters of a value that are shown on the page; the JSON has all of it."""


@dataclass(frozen=True, slots=True)
class Files:
    """A pack as it is given away, and kept."""

    json: bytes
    html: bytes
    digest: str
    """SHA-256 of the JSON, in hexadecimal; the page shows it."""


def files(pack: EvidencePack) -> Files:
    """The pack as both files. The same pack gives the same bytes."""
    content = _json(pack.model_dump(mode="json"), indented=True)
    digest = sha256(content).hexdigest()
    page = _environment().get_template("pack.html").render(pack=pack, digest=digest)
    return Files(content, page.encode(), digest)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("shadow.archive"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(moment=_moment, percent=_percent, value=_value)
    return made


def _moment(moment: datetime | str | None) -> str:
    if moment is None:
        return ""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.3%}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value).decode()
    return text if len(text) <= _LONG else text[:_LONG] + " ..."


def _json(value: Any, *, indented: bool = False) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indented else 0))
    except TypeError:  # integers past 64 bits, lone surrogates
        return json.dumps(value, sort_keys=True, indent=2 if indented else None).encode()
