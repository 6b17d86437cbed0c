"""`shadow explain`: how a pair comes to its verdict, stage by stage."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from shadow.cli.control_api import ControlToken, ControlUrl, control_api
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue
from shadow.judge.rulebook import Rulebook
from shadow.observe import logs
from shadow.reports import pairs
from shadow.reports.explanation import as_text, with_explanation
from shadow.reports.shapes import PairDetail

_TIMEOUT_SECONDS = 60


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def explain(
    pair: Annotated[UUID, typer.Argument(help="The pair's id.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="How it is written.")] = Format.TEXT,
    url: ControlUrl = None,
    token: ControlToken = None,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Judge a pair anew and show what each stage did; nothing of it is stored."""
    logs.configure(level="warning")  # stdout is the explanation's alone
    if url is not None:
        found = asyncio.run(_from_api(pair, url, token))
    else:
        found = asyncio.run(_from_database(pair, catalogue, data, database_url))
    typer.echo(as_text(found) if format is Format.TEXT else found.model_dump_json(indent=2))


async def _from_database(pair: UUID, catalogue: Path, data: Path, url: str | None) -> PairDetail:
    rulebook = Rulebook(read_catalogue(catalogue))
    async with opened(data, url) as database:
        found = await pairs.detail(database.engine, pair)
        if found is None:
            raise failed(f"there is no pair {pair}")
        return await with_explanation(database, rulebook, found)


async def _from_api(pair: UUID, url: str, token: str | None) -> PairDetail:
    async with control_api(url, token, patience=_TIMEOUT_SECONDS) as api:
        return await api.get(f"/v1/pairs/{pair}", PairDetail, {"explain": "true"})
