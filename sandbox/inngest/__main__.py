"""`python -m sandbox.inngest`: the pretend Inngest started by hand."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys

import httpx
import uvicorn

from sandbox.inngest.server import PretendInngest


def main() -> None:
    """Serve until interrupted, after having synced the given apps."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.inngest", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8288)
    parser.add_argument(
        "--event-key", action="append", help="accept this key alone; may be repeated (default: any key)"
    )
    parser.add_argument("--signing-key", help="plain hex of even length; default: no authentication")
    parser.add_argument("--app", action="append", default=[], metavar="URL", help="serve URL to sync at the start")
    parser.add_argument("--retry-delay", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor on sleeps and waits")
    parser.add_argument("--crons", action="store_true", help="fire cron triggers when they are due")
    options = parser.parse_args()
    inngest = PretendInngest(
        event_keys=frozenset(options.event_key) if options.event_key else None,
        signing_key=options.signing_key,
        retry_delay=options.retry_delay,
        time_scale=options.time_scale,
        fire_crons=options.crons,
    )
    config = uvicorn.Config(inngest.app, host=options.host, port=options.port, log_level="info")
    _Server(config, inngest, options.app).run()


class _Server(uvicorn.Server):
    """Syncs the apps once the port is bound, for they register themselves through it."""

    def __init__(self, config: uvicorn.Config, inngest: PretendInngest, apps: list[str]) -> None:
        super().__init__(config)
        self._inngest = inngest
        self._apps = apps
        self._syncing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._syncing = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        for url in self._apps:
            try:
                await self._inngest.sync(url)
            except (httpx.HTTPError, RuntimeError) as error:
                print(f"could not sync {url}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
