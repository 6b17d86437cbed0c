"""What the reports of workers have in common: whose key it is, the body, and what is answered when one is not taken."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import psycopg
import structlog
from fastapi import Request

from api.front.exchange import ENCODED, is_encoded
from api.front.keys import KeyRing
from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.intake.group_commit import Overloaded

log = structlog.get_logger(__name__)

MOST_PROBLEMS = 20
_RETRY_SECONDS = 2


class Refusal(Exception):
    """A report that is answered with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors[:MOST_PROBLEMS]
        self.headers = headers


def report_keys(catalogue: ResolvedCatalogue) -> KeyRing[Side]:
    """Whose report keys these are."""
    return KeyRing(((Side.LEGACY, catalogue.report_keys.legacy), (Side.CANDIDATE, catalogue.report_keys.candidate)))


def bearer(request: Request) -> str | None:
    """The key that a request carries; None when it carries none."""
    return key_of(request.headers.get("authorization"))


def key_of(authorization: str | None) -> str | None:
    """The key that stands in that header; None when none does."""
    scheme, _, key = (authorization or "").partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


def side_of(keys: KeyRing[Side], key: str | None, rates: Rates | None = None) -> Side:
    """The side whose report key it is.

    Raises:
        Refusal: it is nobody's, or sends more than the catalogue lets it.
    """
    side = None if key is None else keys.holder(key)
    if side is None:
        raise unknown_key("`report_keys` in the catalogue")
    check_rate(rates, key)
    return side


def check_rate(rates: Rates | None, key: str | None) -> None:
    """Refuse a key that sends more than the catalogue lets it: the worker comes again."""
    if rates is not None and (wait := rates.wait(key, time.monotonic())) > 0:
        seconds = str(math.ceil(wait))
        raise Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"this key sends more than `limits.requests_per_second`; come back in {seconds} s",
            headers={"retry-after": seconds},
        )


def unknown_key(expected: str) -> Refusal:
    """There is no key, or nobody has it."""
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        f"expected `Authorization: Bearer KEY` with a key of {expected}",
        headers={"www-authenticate": "Bearer"},
    )


async def body_of(request: Request, most: int) -> bytes:
    """The body, unless it has more than so many bytes."""
    if is_encoded(request.scope):
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, ENCODED, headers={"accept-encoding": "identity"})
    announced = request.headers.get("content-length", "")
    chunks: list[bytes] = []
    size = int(announced) if announced.isdecimal() else 0
    if size <= most:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                break
            chunks.append(chunk)
    if size > most:
        raise too_large(most)
    return b"".join(chunks)


def too_large(most: int) -> Refusal:
    """The body has more than so many bytes."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a report may have at most {most} bytes")


def unstored(what: str, error: psycopg.Error | Overloaded) -> Refusal:
    """The database would not take it, or too much waits for it."""
    log.error("reports.not_stored", what=what, error=type(error).__name__)
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the report could not be stored; send it again",
        headers={"retry-after": str(_RETRY_SECONDS)},
    )
