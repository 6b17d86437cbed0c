"""The databases' part of a proof: the candidate's role can't write the authoritative tables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.outside import DatabasePair
from shadow.containment.part import Part, failed, passed
from shadow.containment.privileges import NoSuchRole, Place, Privileges, place_of, privileges_of
from shadow.store.database import OtherConnection

CONNECT_SECONDS = 10
_SCHEMES = ("postgresql", "postgres")


class NotPostgres(ValueError):
    """A database that can't be asked for privileges."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one database showed."""

    passed: bool
    says: str
    todo: str | None = None
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None


async def prove_databases(catalogue: ResolvedCatalogue) -> Part:
    """Ask the authoritative databases what the candidate's roles may write there.

    In `shadow` legacy has authority: legacy's tables are the ones to protect.
    """
    if not catalogue.databases:
        return passed("no database is declared", warnings=["a database that is not declared is not looked at"])
    names = list(catalogue.databases)
    shown = await asyncio.gather(*(_show(name, catalogue.databases[name]) for name in names))
    says = [one.says for one in shown]
    warnings = [warning for one in shown for warning in one.warnings]
    facts = {name: one.facts for name, one in zip(names, shown, strict=True)}
    if all(one.passed for one in shown):
        return passed(*says, warnings=warnings, **facts)
    return failed(*says, todo=[one.todo for one in shown if one.todo], warnings=warnings, **facts)


async def _show(name: str, pair: DatabasePair) -> Shown:
    try:
        authoritative = libpq(pair.legacy.dsn.get_secret_value())
        candidate = libpq(pair.candidate.dsn.get_secret_value())
        role = pair.candidate.role or _user(candidate)
        if role is None:
            return Shown(
                False, f"{name}: whose role the candidate has is unknown", f"declare databases.{name}.candidate.role"
            )
        async with await _connected(authoritative) as connection:
            place = await place_of(connection)
            elsewhere = await _elsewhere(name, place, candidate)
            namespace = pair.legacy.namespace or place.namespace
            if namespace is None:
                return Shown(
                    False,
                    f"{name}: legacy's connection has no schema of its own",
                    f"declare databases.{name}.legacy.namespace",
                )
            if isinstance(elsewhere, Shown):
                return elsewhere
            return await _judge(connection, name, role, namespace, place, elsewhere)
    except NotPostgres as error:
        return Shown(
            False,
            f"{name}: {error}",
            "only PostgreSQL can be asked; if the candidate can't write there, declare the task harmless and say why",
        )
    except psycopg.Error as error:
        return Shown(
            False,
            f"{name}: legacy's database can't be asked: {_first_line(error)}",
            f"see whether databases.{name}.legacy.dsn is right and the server is up",
        )
    except LookupError as error:
        return Shown(False, f"{name}: {error}", f"correct databases.{name}.legacy.namespace")


async def _elsewhere(name: str, legacy: Place, dsn: str) -> Place | Shown:
    """Where the candidate's own database is."""
    try:
        async with await _connected(dsn) as connection:
            return await place_of(connection)
    except psycopg.Error as error:
        return Shown(
            False,
            f"{name}: the candidate's database can't be asked: {_first_line(error)}",
            f"see whether databases.{name}.candidate.dsn is right and the server is up",
        )


async def _judge(
    connection: OtherConnection, name: str, role: str, namespace: str, legacy: Place, candidate: Place
) -> Shown:
    facts: dict[str, Any] = {"role": role, "authoritative": asdict(legacy), "candidate": asdict(candidate)}
    try:
        privileges = await privileges_of(connection, role, namespace)
    except NoSuchRole:
        if legacy.cluster == candidate.cluster:
            return Shown(
                False,
                f"{name}: the server has no role {role}",
                f"correct databases.{name}.candidate.role: the one as which the candidate's worker connects",
                facts=facts,
            )
        return Shown(
            True,
            f"{name}: the candidate works on another server, and legacy's knows no role {role}",
            facts=facts,
        )
    facts["privileges"] = {
        "tables": privileges.tables,
        "writes": list(privileges.writes),
        "warnings": list(privileges.warnings),
    }
    warnings = tuple(f"{name}: {warning}" for warning in privileges.warnings)
    if not privileges.may_write:
        return Shown(True, _says(name, privileges), warnings=warnings, facts=facts)
    if legacy.cluster != candidate.cluster:
        # A role of the same name there is another login: the guard shows that the worker does not hold its password.
        warning = f"{name}: legacy's server has a role {role} as well, and that one may write"
        return Shown(True, f"{name}: the candidate works on another server", warnings=(warning, *warnings), facts=facts)
    return Shown(
        False,
        f"{name}: {role} may write {privileges.database}.{namespace}: " + "; ".join(_few(privileges.writes)),
        f"give the candidate's worker a role of its own that may only read there, and declare it as"
        f" databases.{name}.candidate.role",
        warnings=warnings,
        facts=facts,
    )


def _says(name: str, privileges: Privileges) -> str:
    return (
        f"{name}: {privileges.role} has no write privilege on any of the {privileges.tables} tables of"
        f" {privileges.database}.{privileges.namespace}"
    )


def _few(phrases: tuple[str, ...], at_most: int = 5) -> list[str]:
    more = len(phrases) - at_most
    return [*phrases[:at_most], *([f"and {more} more"] if more > 0 else [])]


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


async def _connected(dsn: str) -> OtherConnection:
    return await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="shadow-containment"
    )


def libpq(dsn: str) -> str:
    """A DSN as libpq takes it: SQLAlchemy's name of the driver is left out.

    Raises:
        NotPostgres: it is of another kind of database.
    """
    scheme, mark, rest = dsn.partition("://")
    if not mark:
        if "=" in dsn:
            return dsn  # host=... dbname=...
        raise NotPostgres("its DSN is no URL")
    kind = scheme.partition("+")[0].lower()
    if kind not in _SCHEMES:
        raise NotPostgres(f"a database of kind {kind}")
    return f"{kind}://{rest}"


def _user(dsn: str) -> str | None:
    if "://" not in dsn:
        return dict(pair.split("=", 1) for pair in dsn.split() if "=" in pair).get("user")
    user = urlsplit(dsn).username
    return unquote(user) if user else None
