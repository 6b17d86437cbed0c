"""`shadow up`, `shadow serve` and `shadow work`: the processes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from shadow.catalogue import ResolvedCatalogue
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, DirectUrl, read_catalogue
from shadow.platforms.tls import TlsFiles, check
from shadow.sealing.master import SEALING_PROBLEMS

FrontHost = Annotated[str, typer.Option(envvar="SHADOW_FRONT_HOST", help="Where producers and platforms reach it.")]
FrontPort = Annotated[int, typer.Option(envvar="SHADOW_FRONT_PORT")]
ControlHost = Annotated[str, typer.Option(envvar="SHADOW_CONTROL_HOST", help="Where operators reach it.")]
ControlPort = Annotated[int, typer.Option(envvar="SHADOW_CONTROL_PORT")]
ControlNames = Annotated[
    list[str] | None,
    typer.Option(
        "--control-name",
        envvar="SHADOW_CONTROL_NAMES",
        help="A name by which metrics may be asked for without a token, beside addresses and localhost; for each.",
    ),
]
SmtpHost = Annotated[str, typer.Option(envvar="SHADOW_SMTP_HOST", help="Where workers reach the mail sink.")]
SmtpPort = Annotated[
    int | None,
    typer.Option(envvar="SHADOW_SMTP_PORT", help="Of the mail sink, for smtp:// targets; none by default."),
]

Drain = Annotated[
    float | None,
    typer.Option(
        envvar="SHADOW_DRAIN",
        min=0,
        help="Seconds that what is under way may take once told to stop; as long as the catalogue's longest timeout.",
    ),
]

DEFAULT_CATALOGUE = Path("catalogue.yaml")
DEFAULT_DATA = Path(".shadow")
FRONT_PORT = 8484
CONTROL_PORT = 8485


def up(
    catalogue: CatalogueFile = DEFAULT_CATALOGUE,
    data: DataFolder = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    database_direct_url: DirectUrl = None,
    front_host: FrontHost = "127.0.0.1",
    front_port: FrontPort = FRONT_PORT,
    control_host: ControlHost = "127.0.0.1",
    control_port: ControlPort = CONTROL_PORT,
    control_name: ControlNames = None,
    smtp_host: SmtpHost = "127.0.0.1",
    smtp_port: SmtpPort = None,
    drain: Drain = None,
) -> None:
    """Everything in one process: both listeners and all loops."""
    from shadow.service import Listener

    _run(
        read_catalogue(catalogue),
        data=data,
        database_url=database_url,
        direct_url=database_direct_url,
        front=Listener(front_host, front_port),
        control=Listener(control_host, control_port, control_name or ()),
        smtp=Listener(smtp_host, smtp_port) if smtp_port is not None else None,
        drain=timedelta(seconds=drain) if drain is not None else None,
        loops=True,
    )


def serve(
    catalogue: CatalogueFile = DEFAULT_CATALOGUE,
    data: DataFolder = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    database_direct_url: DirectUrl = None,
    front_host: FrontHost = "127.0.0.1",
    front_port: FrontPort = FRONT_PORT,
    control_host: ControlHost = "127.0.0.1",
    control_port: ControlPort = CONTROL_PORT,
    control_name: ControlNames = None,
    smtp_host: SmtpHost = "127.0.0.1",
    smtp_port: SmtpPort = None,
    drain: Drain = None,
) -> None:
    """HTTP only: the front listener (doors) and the control listener (API, metrics)."""
    from shadow.service import Listener

    _run(
        read_catalogue(catalogue),
        data=data,
        database_url=database_url,
        direct_url=database_direct_url,
        front=Listener(front_host, front_port),
        control=Listener(control_host, control_port, control_name or ()),
        smtp=Listener(smtp_host, smtp_port) if smtp_port is not None else None,
        drain=timedelta(seconds=drain) if drain is not None else None,
        loops=False,
    )


def work(
    catalogue: CatalogueFile = DEFAULT_CATALOGUE,
    data: DataFolder = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    database_direct_url: DirectUrl = None,
    control_host: ControlHost = "127.0.0.1",
    control_port: Annotated[
        int | None, typer.Option(envvar="SHADOW_WORK_PORT", help="For its own metrics; none by default.")
    ] = None,
    control_name: ControlNames = None,
) -> None:
    """The loops only: delivery to both sides, outcomes, judging."""
    from shadow.service import Listener

    _run(
        read_catalogue(catalogue),
        data=data,
        database_url=database_url,
        direct_url=database_direct_url,
        front=None,
        control=Listener(control_host, control_port, control_name or ()) if control_port is not None else None,
        loops=True,
    )


def _run(catalogue: ResolvedCatalogue, **options: Any) -> None:
    """Run the process; without the right master key, or a file that TLS needs, exit 2 with what is wrong."""
    from shadow.service import run

    try:
        check(catalogue)
        run(catalogue, **options)
    except (*SEALING_PROBLEMS, TlsFiles) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
