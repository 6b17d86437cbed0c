"""What runs have effects on, as pydantic models: targets and their operations, databases, probes, what is redacted."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from shadow.catalogue.tls_settings import Tls
from shadow.catalogue.values import Duration, Expression, RateBudget, Secret, Strict

# ---------------------------------------------------------------- targets


class Credential(Strict):
    """The real credential of a target, and where a call carries it. At the same place workers put their egress key."""

    header: str | None = None
    """The header, such as `authorization` or `x-shopify-access-token`."""
    query: str | None = None
    """The query parameter, such as `api_secret`."""
    secret: Secret
    """The whole value of the header or parameter: `Bearer sk_live_...`, `Basic dXNlcjpwYXNz`, `key`."""


class Stub(Strict):
    """What a write of a run without authority is answered with when its twin made no such call."""

    status: int = Field(200, ge=200, le=599)
    headers: dict[str, str] = {}
    body: Expression = None
    """An expression on the call (`$.params`, `$.query`, `$.body`), so that a stub can say back what was asked for."""


class Operation(Strict):
    """One thing that can be done at a target. The first whose `match` fits a call is taken."""

    match: str
    """Method and path template: `POST /v1/transfers`, `GET /v1/transfers/{id}`, `* /graphql`; `{+rest}` spans
    slashes."""
    effect: Literal["read", "write"] | None = None
    """By default GET, HEAD and OPTIONS read and everything else writes."""
    kind: str | None = None
    """Of the effect in the ledger; the target's by default."""
    identity: tuple[str, ...] = ()
    """JSONPaths into the call (`$.params.id`, `$.query.q`, `$.body.requestId`): what makes this call that call. By
    default the path's parameters, and among calls with the same ones their order."""
    idempotency_key: str | None = None
    """The header or, beginning with `$`, the JSONPath of the provider's idempotency key; `idempotency-key` by
    default."""
    stub: Stub | None = None


class Witness(Strict):
    """A read at the target that shows from outside the gateway what was done there."""

    request: str
    """`GET /v1/transfers?limit=100`."""
    items: str
    """JSONPath of the things listed: those that a contained run made must not be among them."""


class Target(Strict):
    """An outside system that runs call. Only declared targets can be reached."""

    url: str
    """Base URL: `https://api.stripe.com`, or `smtp://host:587` for mail."""
    credential: Credential | None = None
    headers: dict[str, Secret] = {}
    """Put on every call that is forwarded."""
    kind: str = "http"
    """Of its effects in the ledger: `http`, or `email` for a mail provider's API."""
    operations: tuple[Operation, ...] = ()
    undeclared: Literal["allow", "refuse"] = "allow"
    """What becomes of a call that no operation fits: taken by its method and path, or refused."""
    stub: Stub | None = None
    """For writes whose operation has none of its own. Without either they are refused."""
    timeout: Duration = timedelta(seconds=30)
    """How long the target's clients wait for an answer; a call is held at most so long."""
    quota: RateBudget | None = None
    """What may be spent there in all."""
    reads_quota: RateBudget = RateBudget(requests_per_minute=60, burst=10)
    """What the forwarded reads of runs without authority may spend of it."""
    recorded_bytes: int = Field(1024 * 1024, ge=0)
    """How much of a body is kept; of a longer one its digest is."""
    private: bool = False
    """Whether the URL may resolve to a private or loopback address."""
    tls: Tls | None = None
    """How it is known by TLS, where that is not as with any public server."""
    witness: Witness | None = None

    @property
    def is_mail(self) -> bool:
        """Whether it takes mail by SMTP; any other is called by HTTP."""
        return self.url.lower().startswith(("smtp://", "smtps://"))


# ---------------------------------------------------------------- databases


class RowChanges(Strict):
    """Rows that change are read from PostgreSQL's logical decoding and become effects of kind `sql`."""

    tables: dict[str, tuple[str, ...]]
    """Table to the columns that identify a row of it."""
    publication: str = Field("shadow", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    slot: str = Field("shadow", pattern=r"^[a-z0-9_]{1,63}$")
    enabled: bool = True
    """False drops the slot, which else would keep the server's log for ever."""
    lag_bytes: int = Field(1024**3, gt=0)
    """How far the slot may fall behind before it is dropped and pairs say so."""


class DatabaseSide(Strict):
    """One side's database."""

    dsn: Secret
    """SQLAlchemy's or libpq's URL, with which Shadow reads (and on the candidate's side copies rows into) it."""
    namespace: str | None = None
    """The schema in which the tables lie; the connection's own by default."""
    role: str | None = None
    """The role as which this side's workers connect: a candidate's must not be able to write legacy's tables."""
    row_changes: RowChanges | None = None


class DatabasePair(Strict):
    """An application's database as each side has it."""

    legacy: DatabaseSide
    candidate: DatabaseSide


class WorldRow(Strict):
    """Rows that a run needs to find as its twin found them."""

    table: str
    key: dict[str, Expression] = Field(min_length=1)
    """Column to the expression, on the event's data, of the value that it has in these rows."""
    database: str | None = None
    """One of `databases`; the only one by default."""
    changed_at: str | None = None
    """The column that tells when a row changed last. A row that is newer than its event is a stale world."""


class Probe(Strict):
    """A read on each side after settling: what it finds is an effect of kind `state`."""

    name: str
    database: str | None = None
    """One of `databases`, for `sql`."""
    sql: str | None = None
    """One SELECT with `:name` parameters."""
    target: str | None = None
    """One of `targets`, for `request`."""
    request: str | None = None
    """`GET /v1/customers/{id}`, with `{name}` parameters."""
    parameters: dict[str, Expression] = {}
    """Expressions on `{"event": ..., "output": ...}`."""
    identity: tuple[str, ...] = ()
    """Columns that identify a row; else all rows are one effect."""
    rows: int = Field(100, gt=0, le=10_000)
    timeout: Duration = timedelta(seconds=5)


# ---------------------------------------------------------------- what is kept


class Redaction(Strict):
    """What is hashed in evidence, beyond the built-in rules for credentials, cards and tokens."""

    paths: tuple[str, ...] = ()
    """JSONPaths into events, outputs and effects."""
    keep: tuple[str, ...] = ()
    """JSONPaths that stay in clear though a built-in rule takes them for personal or secret."""


class Retention(Strict):
    """How long things are kept."""

    originals: Duration = timedelta(days=30)
    """Sealed bodies of events and recorded answers: what replay and the gateway need."""
    evidence: Duration = timedelta(days=400)
    """Redacted effects, pairs and differences."""
    notices: Duration = timedelta(days=180)
    """What people were told, and how: once every channel has taken it, or was given up."""
