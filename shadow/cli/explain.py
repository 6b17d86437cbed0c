"""`shadow explain`: how a pair comes to its verdict, stage by stage."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import httpx
import typer
from pydantic import ValidationError

from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue
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
    url: Annotated[
        str | None, typer.Option(envvar="SHADOW_URL", help="A control API; without one, the database is read.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SHADOW_TOKEN", help="For --url: a token with the scope read.")
    ] = None,
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
            raise _failed(f"there is no pair {pair}")
        return await with_explanation(database, rulebook, found)


async def _from_api(pair: UUID, url: str, token: str | None) -> PairDetail:
    if token is None:
        raise _failed("--url needs --token; `shadow token create NAME --scope read` makes one")
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=_TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        try:
            answer = await client.get(f"/v1/pairs/{pair}", params={"explain": "true"})
        except httpx.HTTPError as error:
            raise _failed(f"{url} can't be reached: {error or type(error).__name__}") from error
    try:
        if answer.status_code != httpx.codes.OK:
            raise _failed(f"{answer.status_code} from {answer.request.url}: {answer.json()['detail']}")
        return PairDetail.model_validate_json(answer.content)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise _failed(f"{url} does not answer like Shadow's control API") from error


def _failed(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)
