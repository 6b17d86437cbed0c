"""What a role may write in a PostgreSQL database, as that server itself says."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources

from shadow.store.database import OtherConnection

_SQL = resources.files("shadow.containment").joinpath("privileges.sql").read_text()
_STATEMENTS = {
    name.strip(): statement for name, _, statement in (part.partition("\n") for part in _SQL.split("\n-- name: ")[1:])
}


class NoSuchRole(LookupError):
    """The server has no role of that name."""


@dataclass(frozen=True, slots=True)
class Privileges:
    """What a role could do to the tables of a schema, itself or as any role that it is a member of."""

    role: str
    database: str
    namespace: str
    tables: int
    """How many tables there are to protect."""
    writes: tuple[str, ...] = field(default=())
    """Every way to write, a phrase each."""
    warnings: tuple[str, ...] = field(default=())
    """What is no write privilege, and may lead to writes or disturb them."""

    @property
    def may_write(self) -> bool:
        return bool(self.writes)


@dataclass(frozen=True, slots=True)
class Place:
    """Which database a connection leads to."""

    cluster: str
    """PostgreSQL's own identifier of the server's data."""
    database: str
    namespace: str | None
    """The schema that unqualified names are looked up in."""
    user: str


async def place_of(connection: OtherConnection) -> Place:
    """Where a connection leads.

    Raises:
        psycopg.Error: it is away, or is no PostgreSQL.
    """
    row = await (await connection.execute(_STATEMENTS["place"].encode())).fetchone()
    assert row is not None  # it selects from nothing
    return Place(str(row[0]), row[1], row[2], row[3])


async def privileges_of(connection: OtherConnection, role: str, namespace: str) -> Privileges:
    """What `role` may write in `namespace` of the database that is connected to.

    Raises:
        NoSuchRole: the server does not know it.
        LookupError: the schema does not exist, or has no tables: nothing would be shown.
    """
    found = await (await connection.execute(_STATEMENTS["role"].encode(), {"role": role})).fetchone()
    if found is None:
        raise NoSuchRole(role)
    parameters = {"role": found[0], "namespace": namespace}
    place = await place_of(connection)
    counted = await (await connection.execute(_STATEMENTS["tables"].encode(), parameters)).fetchone()
    if counted is None:
        raise LookupError(f"the database {place.database} has no schema {namespace!r}")
    if not counted[0]:
        raise LookupError(f"the schema {namespace!r} of {place.database} has no tables: it would show nothing")
    writes = await _phrases(connection, "writes", parameters)
    warnings = await _phrases(connection, "warnings", parameters)
    return Privileges(role, place.database, namespace, counted[0], writes, warnings)


async def _phrases(connection: OtherConnection, name: str, parameters: dict[str, object]) -> tuple[str, ...]:
    rows = await (await connection.execute(_STATEMENTS[name].encode(), parameters)).fetchall()
    return tuple(row[0] for row in rows)
