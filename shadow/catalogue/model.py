"""The catalogue: which platforms, sources and tasks there are, as pydantic models.

One YAML file describes a migration. This module says only what a catalogue may contain: reading it is in
`load.py`, what one key alone cannot show to be wrong in `resolve.py`, expressions in `expressions.py`.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shadow.catalogue.cron_settings import CronSettings as CronSettings
from shadow.catalogue.cutover_settings import CutoverSettings as CutoverSettings
from shadow.catalogue.gate_settings import GateSettings as GateSettings
from shadow.catalogue.gate_settings import MigrationGate as MigrationGate
from shadow.catalogue.notice_settings import Notifications as Notifications
from shadow.catalogue.outside import DatabasePair, Probe, Redaction, Retention, Target, WorldRow
from shadow.catalogue.price_settings import PriceBook as PriceBook
from shadow.catalogue.rule_settings import IdentitySetting as IdentitySetting
from shadow.catalogue.rule_settings import IgnoreSetting as IgnoreSetting
from shadow.catalogue.rule_settings import RuleSettings as RuleSettings
from shadow.catalogue.tls_settings import Tls as Tls
from shadow.catalogue.values import EXPRESSION_MARK as EXPRESSION_MARK
from shadow.catalogue.values import Duration, Expression, RateBudget, Secret, Strict
from shadow.catalogue.values import Origin as Origin
from shadow.catalogue.values import Side as Side

# ---------------------------------------------------------------- platforms


class PlatformBase(Strict):
    side: Side
    timeout: Duration = timedelta(seconds=15)
    budget: RateBudget = RateBudget()
    poll_every: Duration = timedelta(seconds=2)
    """How long a run may stay silent before the reconciler asks for it."""
    concurrency: int = Field(16, gt=0, le=1000)
    """Deliveries in flight at once."""
    tls: Tls | None = None
    """How it is known by TLS, where that is not as with any public server."""


class TriggerPlatform(PlatformBase):
    kind: Literal["trigger.dev"]
    url: str = "https://api.trigger.dev"
    secret_key: Secret
    private_store: bool = False
    """Whether its object store may lie in a private network, though the platform does not."""


class InngestPlatform(PlatformBase):
    kind: Literal["inngest"]
    event_url: str = "https://inn.gs"
    api_url: str = "https://api.inngest.com"
    event_key: Secret
    signing_key: Secret | None = None
    front_url: str | None = None
    """Where the platform reaches the front listener: what the watcher registers with, whoever asks for it."""
    dev: bool = False
    """A dev server: it does not sign its calls to the watcher."""
    app: str
    """The app id whose functions run the tasks; function ids are `app-function`."""
    batch_size: int = Field(100, gt=0, le=5000)
    """Events per delivery (the platform takes at most 5,000)."""


class HttpPlatform(PlatformBase):
    """Any HTTP endpoint: webhooks are forwarded byte for byte, outcomes are reported at `/shadow/runs`."""

    kind: Literal["http"]
    url: str
    headers: dict[str, Secret] = {}


Platform = Annotated[TriggerPlatform | InngestPlatform | HttpPlatform, Field(discriminator="kind")]


# ---------------------------------------------------------------- sources


class SignatureScheme(StrEnum):
    SHOPIFY = "shopify"
    STRIPE = "stripe"
    GITHUB = "github"
    SLACK = "slack"
    STANDARD = "standard-webhooks"
    HMAC = "hmac"


class Signature(Strict):
    """How a provider signs. `secrets` may hold several: while one is rotated, either is accepted."""

    scheme: SignatureScheme
    secrets: tuple[Secret, ...] = Field(min_length=1)
    tolerance: Duration = timedelta(minutes=5)
    """How old a signed timestamp may be, for the schemes that sign one."""
    header: str | None = None
    """`hmac` only: the header that carries the signature."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    """`hmac` only."""
    encoding: Literal["hex", "base64"] = "hex"
    """`hmac` only."""
    prefix: str = ""
    """`hmac` only: text before the digest, such as `sha256=`."""


class EventMapping(Strict):
    """One kind of event a webhook source can bring; the first whose `when` holds is taken."""

    when: dict[str, Any] = {}
    """Expression (`header:...` or `$...`) to the value, or list of values, that it must have."""
    name: str
    id: Expression = None
    data: Expression = Field(default_factory=lambda: "$")
    tenant: Expression = None
    occurred_at: Expression = None


class WebhookSource(Strict):
    kind: Literal["webhook"]
    signature: Signature
    delivery_id: Expression = None
    """Where the provider's delivery id stands; each scheme has its own default header."""
    dedupe: Literal["delivery", "body"] = "delivery"
    """By what a delivery is known again: its provider's id, or its bytes. Where the id stands in a header that nobody
    signs, whoever has a delivery can bring it again under another id; by its bytes it is known all the same."""
    tables: dict[str, dict[str, Any]] = {}
    events: tuple[EventMapping, ...] = Field(min_length=1)
    ignore: tuple[dict[str, Any], ...] = ()
    """`when` clauses of deliveries that are acknowledged and dropped, before `events` are looked at. The
    empty clause `{}` drops whatever none of `events` takes."""
    forward: str | None = None
    """An `http` platform that gets every delivery byte for byte with its original headers."""
    answer: Literal["accepted", "passthrough"] = "accepted"
    """`passthrough`: the producer gets the forwarded app's true answer instead of 202."""


class KeyedSource(Strict):
    keys: tuple[Secret, ...] = Field(min_length=1)
    origin: Origin = Origin.PRODUCER
    unknown: Literal["refuse", "forward"] = "refuse"
    """What happens to an event or task that the catalogue does not name."""
    tenant: Expression = "$.tenantId"
    """Into the event's data. An event in which it finds nothing has no tenant."""


class InngestSource(KeyedSource):
    kind: Literal["inngest"]


class TriggerSource(KeyedSource):
    kind: Literal["trigger.dev"]


Source = Annotated[WebhookSource | InngestSource | TriggerSource, Field(discriminator="kind")]


# ---------------------------------------------------------------- tasks


class Flow(StrEnum):
    """Candidate flow control that drops or merges runs; a pair that lost its run to it says so."""

    RATE_LIMIT = "rateLimit"
    DEBOUNCE = "debounce"
    SINGLETON = "singleton"
    BATCH = "batchEvents"


class LegacyTask(Strict):
    platform: str
    task: str | None = None
    """Its id on the legacy platform; the catalogue's own key by default."""
    payload: Expression = Field(default_factory=lambda: "$")
    """Event data -> the task's payload."""
    options: dict[str, Any] = {}
    """Trigger options to send along (`queue`, `ttl`, `tags` ...) as they stand; never an idempotency key."""


class CandidateTask(Strict):
    platform: str
    function: str | None = None
    """`app-function`; the platform's app and the catalogue's own key by default."""
    data: Expression = Field(default_factory=lambda: "$")
    """Trigger.dev door: the producer's payload -> the event's data."""
    flow: tuple[Flow, ...] = ()


class TaskDefaults(Strict):
    """What a task inherits: `defaults`, then its category, then its own; of `rules`, `gate` and `cutover`, each key by
    itself."""

    deadline: Duration | None = None
    """From the (scheduled) start: a side with no outcome by then is missing. Default 15 minutes."""
    settle: Duration | None = None
    """How long late effects are waited for after both runs ended. Default 5 seconds."""
    tenant_rate: float | None = Field(None, gt=0)
    """Deliveries per second and tenant on each side; unlimited by default."""
    rules: RuleSettings | None = None
    sequence: Literal["after", "together"] | None = None
    """`after`: the run without authority starts when the one with authority has settled, so that every answer it
    needs is recorded. Default: `after` where the catalogue declares targets, else `together`."""
    reads: Literal["replay", "forward"] | None = None
    """What answers the reads of a run without authority: the twin's recorded answers (default), or the target itself,
    on a budget of its own."""
    business_keys: tuple[str, ...] | None = None
    """JSONPaths into the event's data. A call or row without a run's headers that carries one of these values within
    the run's time is taken for that run's."""
    probes: tuple[Probe, ...] | None = None
    """Read on both sides after settling."""
    world: tuple[WorldRow, ...] | None = None
    """Rows that are copied from the authoritative database before an `after` run."""
    gate: GateSettings | None = None
    """What must be shown before it may move on."""
    cutover: CutoverSettings | None = None
    """How it moves over, and what moves it back."""


class Task(TaskDefaults):
    """One legacy task and the candidate function that shall replace it."""

    category: str | None = None
    event: str
    """The event that starts the candidate function."""
    sources: tuple[str, ...]
    """Which sources feed it. An event is mirrored at one door only. Empty for a task that only its `cron` starts."""
    legacy: LegacyTask
    candidate: CandidateTask
    cron: CronSettings | None = None
    """Of a task that a clock starts."""
    description: str | None = None


class ReportKeys(Strict):
    """The key a side's workers use at `/shadow/effects` and `/shadow/runs`. The key says the side."""

    legacy: tuple[Secret, ...] = ()
    candidate: tuple[Secret, ...] = ()


class Limits(Strict):
    body_bytes: int = Field(3 * 1024 * 1024, gt=0)
    """Largest request a door takes; both platforms refuse more than 3 MiB."""
    batch_bytes: int = Field(64 * 1024 * 1024, gt=0)
    """Largest batch upload (up to 1,000 items) on the Trigger.dev door."""
    spool_bytes: int = Field(2 * 1024 * 1024 * 1024, gt=0)
    """How much may wait on a machine's local disk while the database is away; beyond it, doors say 503."""
    last_known: Duration = timedelta(minutes=1)
    """How long no process may have looked at the phases for one that starts while the database is away to decide by the
    copy in its data folder; 0: such a process waits."""
    requests_per_second: float | None = Field(None, gt=0)
    """Of each event key, secret key, report key and egress key, in each process; beyond twice that at once callers get
    429. Unlimited by default: whoever calls a door is in production."""
    control_requests_per_second: float | None = Field(500.0, gt=0)
    """Of each token at the control API, in each process, and twice that at once; null: unlimited."""
    sign_ins_per_minute: float = Field(10.0, gt=0)
    """Tokens that may be tried at the pages from one address, in each process."""
    idle: Duration = timedelta(seconds=75)
    """How long a connection is kept between two requests. Load balancers keep theirs for 60 seconds and use them again:
    were we to close first, what they send just then would be lost."""


class Catalogue(Strict):
    """A migration. Use `shadow.catalogue.load` to read one; `tasks` then have their defaults filled in."""

    version: Literal[1] = 1
    platforms: dict[str, Platform]
    sources: dict[str, Source]
    defaults: TaskDefaults = TaskDefaults()
    categories: dict[str, TaskDefaults] = {}
    tasks: dict[str, Task]
    report_keys: ReportKeys = ReportKeys()
    targets: dict[str, Target] = {}
    """The outside systems that runs call, through `/egress/NAME/...`."""
    databases: dict[str, DatabasePair] = {}
    """The applications' databases, one of each side."""
    redaction: Redaction = Redaction()
    retention: Retention = Retention()
    limits: Limits = Limits()
    gate: MigrationGate = MigrationGate()
    """What holds for all gates together."""
    prices: PriceBook = PriceBook()
    notifications: Notifications = Notifications()
