"""A control API that a command asks in place of a database: `--url` and `--token`, and what goes wrong there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import httpx
import typer
from pydantic import BaseModel, ValidationError

from shadow.cli.options import failed

ControlUrl = Annotated[
    str | None, typer.Option("--url", envvar="SHADOW_URL", help="A control API; without one, the database is read.")
]
ControlToken = Annotated[
    str | None, typer.Option("--token", envvar="SHADOW_TOKEN", help="For --url: a token with the scope read.")
]

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ControlApi:
    """An API that is being asked."""

    client: httpx.AsyncClient

    async def get(self, path: str, shape: type[Answer], parameters: Mapping[str, str]) -> Answer:
        """What it answers. Exit 2, with the reason, when it refuses."""
        return self._read(await self.client.get(path, params=parameters), shape)

    async def find(self, path: str, shape: type[Answer], parameters: Mapping[str, str]) -> Answer | None:
        """The same of what may not be there: None then."""
        answer = await self.client.get(path, params=parameters)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._read(answer, shape)

    @staticmethod
    def _read(answer: httpx.Response, shape: type[Answer]) -> Answer:
        if answer.status_code != httpx.codes.OK:
            try:
                detail = answer.json()["detail"]
            except (ValueError, KeyError, TypeError):
                detail = "no problem details; is this the control port?"
            raise failed(f"{answer.status_code} from {answer.request.url}: {detail}")
        return shape.model_validate_json(answer.content)


@asynccontextmanager
async def control_api(url: str, token: str | None, *, patience: float) -> AsyncIterator[ControlApi]:
    """The API at that URL. Exit 2 when there is no token, nobody answers, or it is another thing that does.

    Args:
        patience: seconds that an answer may take.
    """
    if token is None:
        raise failed("--url needs --token; `shadow token create NAME --scope read` makes one")
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=patience,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        try:
            yield ControlApi(client)
        except httpx.HTTPError as error:
            raise failed(f"{url} can't be reached: {error or type(error).__name__}") from error
        except ValidationError as error:
            raise failed(f"{url} does not answer like Shadow's control API") from error
