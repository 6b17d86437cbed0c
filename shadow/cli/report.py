"""`shadow report`: how a task's candidate does what legacy does, from the control API or the database itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue
from shadow.observe import logs
from shadow.reports import formats, parity, signatures
from shadow.reports.formats import Report
from shadow.reports.shapes import Parity, Signatures

_TIMEOUT_SECONDS = 30


class Format(StrEnum):
    TABLE = "table"
    MD = "md"
    JSON = "json"
    JUNIT = "junit"


def report(
    task: Annotated[str, typer.Argument(help="The task's id in the catalogue.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="How it is written.")] = Format.TABLE,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First UTC day of acceptance.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last UTC day of acceptance.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    worst: Annotated[int, typer.Option(min=0, max=200, help="How many differences to show.")] = 10,
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
    """Report a task's parity and the differences that most of its pairs show now."""
    logs.configure(level="warning")  # stdout is the report's alone
    asked = _Asked(task, since and since.date(), until and until.date(), tenant, worst)
    if url is not None:
        found = asyncio.run(_from_api(asked, url, token))
    else:
        found = asyncio.run(_from_database(asked, catalogue, data, database_url))
    if format is Format.TABLE:
        _print_table(found)
    else:
        write = {Format.MD: formats.as_markdown, Format.JSON: formats.as_json, Format.JUNIT: formats.as_junit}
        typer.echo(write[format](found).rstrip("\n"))


class _Asked:
    """What the report is to be of."""

    def __init__(self, task: str, since: date | None, until: date | None, tenant: str | None, worst: int) -> None:
        if since is not None and until is not None and since > until:
            raise typer.BadParameter(f"--until {until} lies before --since {since}")
        self.task = task
        self.since = since
        self.until = until
        self.tenant = tenant
        self.worst = worst


async def _from_database(asked: _Asked, catalogue: Path, data: Path, url: str | None) -> Report:
    resolved = read_catalogue(catalogue)
    if asked.task not in resolved.tasks:
        raise _failed(f"there is no task {asked.task!r} in {catalogue}: {', '.join(resolved.tasks)}")
    async with opened(data, url) as database:
        found = await parity.parity(
            database.engine, resolved, asked.task, since=asked.since, until=asked.until, tenant=asked.tenant
        )
        listed = await signatures.worst(database.engine, task=asked.task, limit=asked.worst)
    return Report(parity=found, signatures=listed.items)


async def _from_api(asked: _Asked, url: str, token: str | None) -> Report:
    if token is None:
        raise _failed("--url needs --token; `shadow token create NAME --scope read` makes one")
    bounds = {"since": asked.since, "until": asked.until}
    wanted = {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}
    if asked.tenant is not None:
        wanted["tenant"] = asked.tenant
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=_TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        try:
            found = Parity.model_validate_json(
                await _get(client, f"/v1/tasks/{quote(asked.task, safe='')}/parity", wanted)
            )
            listed = Signatures(items=[])
            if asked.worst:
                listed = Signatures.model_validate_json(
                    await _get(client, "/v1/signatures", {"task": asked.task, "limit": str(asked.worst)})
                )
        except httpx.HTTPError as error:
            raise _failed(f"{url} can't be reached: {error or type(error).__name__}") from error
        except ValidationError as error:
            raise _failed(f"{url} does not answer like Shadow's control API") from error
    return Report(parity=found, signatures=listed.items)


async def _get(client: httpx.AsyncClient, path: str, parameters: Mapping[str, str]) -> bytes:
    answer = await client.get(path, params=parameters)
    if answer.status_code != httpx.codes.OK:
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = "no problem details; is this the control port?"
        raise _failed(f"{answer.status_code} from {answer.request.url}: {detail}")
    return answer.content


def _failed(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _print_table(found: Report) -> None:
    console = Console()
    counts = Table(title=escape(formats.title(found.parity)), title_justify="left", show_header=False)
    counts.add_column()
    counts.add_column(justify="right")
    for name, figure in formats.figures(found.parity.counts):
        counts.add_row(name, figure)
    console.print(counts)
    if not found.signatures:
        return
    differences = Table(title=formats.DIFFERENCES, title_justify="left")
    differences.add_column("pairs", justify="right")
    differences.add_column("allowed", justify="right")
    differences.add_column("severity")
    differences.add_column("difference", ratio=1)
    differences.add_column("signature", no_wrap=True)
    for signature in found.signatures:
        differences.add_row(
            f"{signature.pairs:,}",
            f"{signature.allowed:,}",
            signature.severity,
            escape(signature.sentence),
            signature.id,
        )
    console.print(differences)
