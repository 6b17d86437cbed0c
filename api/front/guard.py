"""`/shadow/guard`: what the guards in workers report, with their side's egress key or report key."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

import psycopg
from fastapi import APIRouter, Request
from pydantic import ValidationError

from api.front.keys import KeyRing
from api.front.report import Refusal, bearer, body_of, check_rate, report_keys, unknown_key, unstored
from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.containment.fingerprints import fingerprint_key
from shadow.containment.guard_told import GuardTold, keep
from shadow.containment.version import UnknownApp, tasks_of_app
from shadow.store.database import Database, Work

_EGRESS_KEY = """
SELECT side FROM egress_keys
WHERE digest = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


def guard_router(catalogue: ResolvedCatalogue, database: Database) -> APIRouter:
    """The key to take fingerprints with, and the reports."""
    router = APIRouter()
    keys = report_keys(catalogue)
    rates = Rates.of(catalogue.limits.requests_per_second)

    @router.get("/guard")
    async def key(request: Request) -> dict[str, str]:
        """The installation's key, in hexadecimal: fingerprints of a secret are equal wherever they are taken."""
        await _side(keys, database, request, rates)
        try:
            async with database.connection(Work.OUTCOMES) as conn:
                return {"key": (await fingerprint_key(conn)).hex()}
        except psycopg.Error as error:
            raise unstored("guard key", error) from None

    @router.post("/guard")
    async def guard(request: Request) -> dict[str, int]:
        """What one guard does, which secrets its worker holds, and the hosts that calls were made to all the same."""
        side = await _side(keys, database, request, rates)
        body = await body_of(request, catalogue.limits.body_bytes)
        try:
            told = GuardTold.model_validate_json(body)
        except ValidationError as error:
            problems = [
                f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            ]
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(problems[:3]), errors=problems) from None
        try:
            tasks = tasks_of_app(catalogue, side, told.app)
        except UnknownApp as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"app: {error}") from None
        try:
            async with database.connection(Work.OUTCOMES) as conn:
                return {"accepted": 1, "incidents": await keep(conn, side, told, tasks)}
        except psycopg.Error as error:
            raise unstored("guard", error) from None

    return router


async def _side(keys: KeyRing[Side], database: Database, request: Request, rates: Rates | None) -> Side:
    """The side whose key the request carries."""
    key = bearer(request)
    if key is None:
        raise unknown_key("the side: an egress key or a report key")
    side = keys.holder(key)
    if side is not None:
        check_rate(rates, key)
        return side
    try:
        async with database.connection(Work.OUTCOMES) as conn:
            found = await (
                await conn.execute(_EGRESS_KEY.encode(), (hashlib.sha256(key.encode()).digest(),))
            ).fetchone()
    except psycopg.Error as error:
        raise unstored("guard", error) from None
    if found is None:
        raise unknown_key("the side: an egress key or a report key")
    check_rate(rates, key)
    return Side(found[0])
