"""Mail that workers send by SMTP: recorded, and sent on for runs with authority alone.

Whoever sends authenticates with its side's egress key, as user or password. Where several mail targets are declared,
the user names the one. A mail that is nobody's, or of the other side, is refused and never leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
import psycopg
import structlog
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.correlation import Attribution, CallTraits, Correlator
from shadow.effects.mail import UnreadableMail, read_mail, without_ours
from shadow.effects.record import SeenBy, SeenEffect, record_effects
from shadow.model.ids import new_id
from shadow.observe import metrics
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

KIND, OPERATION = "email", "send"
LONGEST = 32 * 1024 * 1024
PATIENCE_SECONDS = 2.0
"""How long a run that a mail names is waited for: it may begin before it is known."""
_PAUSE = 0.1
_ACCEPTED = 250
_UNKNOWN = "530 5.7.0 authentication with an egress key is required"

_DECIDED = b"UPDATE effects SET disposition = %s, writes = true WHERE id = %s"
_ANSWERED = b"UPDATE effects SET status = %s, answered_at = now() WHERE id = %s"


class NotSent(Exception):
    """The relay did not take a mail."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class KnowsKeys(Protocol):
    """Whose an egress key is."""

    def side_of(self, secret: str) -> Side | None: ...


class Relays(Protocol):
    """Sends on."""

    async def relay(self, target: str, sender: str, recipients: Sequence[str], content: bytes) -> tuple[int, str]:
        """The relay's answer.

        Raises:
            NotSent: with the relay's own code, or 451 where it can't be reached.
        """


@dataclass(frozen=True, slots=True)
class _Login:
    side: Side
    target: str


class SmtpSink:
    """An SMTP server for workers."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        keys: KnowsKeys,
        relay: Relays,
        *,
        host: str,
        port: int,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """
        Raises:
            ValueError: no target of the catalogue is a mail server.
        """
        self.targets = [
            name for name, target in catalogue.targets.items() if target.url.startswith(("smtp://", "smtps://"))
        ]
        if not self.targets:
            raise ValueError("a mail sink needs a target whose url begins with smtp:// or smtps://")
        self._database = database
        self._correlator = Correlator(catalogue)
        self._keys = keys
        self._relay = relay
        self._host, self.port = host, port
        self._patience = patience
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self,
                loop=loop,
                hostname="shadow",
                ident="Shadow",
                data_size_limit=LONGEST,
                enable_SMTPUTF8=True,
                auth_require_tls=False,  # the key opens nothing but this
                authenticator=self._authenticated,
                timeout=60,
            ),
            self._host,
            self.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("mail.listening", port=self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _authenticated(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, told: Any
    ) -> AuthResult:
        refused = AuthResult(success=False, handled=False)
        if not isinstance(told, LoginPassword):
            return refused
        texts = [text.decode(errors="replace") for text in (told.password, told.login)]
        side = next((side for text in texts if (side := self._keys.side_of(text)) is not None), None)
        target = texts[1] if texts[1] in self.targets else self.targets[0] if len(self.targets) == 1 else None
        if side is None or target is None:
            return refused
        return AuthResult(success=True, auth_data=_Login(side, target))

    async def handle_MAIL(  # noqa: N802 (aiosmtpd's)
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd's hook: a mail begins."""
        login: object = session.auth_data
        if not isinstance(login, _Login):
            return _UNKNOWN
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        """aiosmtpd's hook: a whole mail came in. Anything but a plain yes refuses it."""
        try:
            login: object = session.auth_data
            content = envelope.content
            if not isinstance(login, _Login) or not isinstance(content, bytes):
                return _UNKNOWN
            return await self._taken(login, envelope.mail_from or "", list(envelope.rcpt_tos), content)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("mail.unrecorded", error=type(error).__name__)
            return "451 4.3.0 what a mail does must be recorded first, and can't be now"
        except Exception as error:
            log.exception("mail.failed", error=type(error).__name__)
            return "554 5.3.0 the mail was not let through"

    async def _taken(self, login: _Login, sender: str, recipients: list[str], content: bytes) -> str:
        try:
            mail = await asyncio.to_thread(read_mail, content, sender, recipients)
        except UnreadableMail as error:
            return f"554 5.6.0 {error}"
        call = CallTraits.of(mail.headers, dict(mail.document))
        at = datetime.now(UTC)
        found = await self._whose(login.side, call, at)
        run = found.run
        sends = run is not None and run.authority == "real"
        disposition = "refuse" if run is None else "forward" if sends else "stub"
        effect = await self._recorded(login, call, found, mail.document, at, disposition)
        metrics.mailed(login.side.value, disposition)
        if run is None:
            await self._answered(effect, 550)
            return (
                "550 5.7.1 nobody knows whose mail this is: expected X-Shadow-Run, or X-Shadow-Event and X-Shadow-Task"
            )
        if not sends:
            await self._answered(effect, _ACCEPTED)
            return "250 2.0.0 accepted"
        try:
            code, text = await self._relay.relay(login.target, sender, recipients, without_ours(content))
        except NotSent as error:
            await self._answered(effect, error.code)
            return f"{error.code} {error}"
        await self._answered(effect, code)
        return f"{code} {text}"

    async def _whose(self, side: Side, call: CallTraits, at: datetime) -> Attribution:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            async with self._database.connection(Work.EGRESS) as conn:
                found = await self._correlator.whose(conn, side, call, at)
            named = call.run is not None or call.event is not None
            if found.run is not None or not named or loop.time() >= until:
                return found
            await asyncio.sleep(_PAUSE)

    async def _recorded(
        self, login: _Login, call: CallTraits, found: Attribution, document: Any, at: datetime, disposition: str
    ) -> UUID:
        """Written down before anything leaves."""
        identifier = new_id()
        run = found.run
        effect = SeenEffect(
            run=found.said,
            run_id=run.id if run is not None else None,
            task=run.task if run is not None else call.task,
            attempt=found.attempt,
            kind=KIND,
            target=login.target,
            operation=OPERATION,
            data=orjson.dumps(document),
            occurred_at=at,
            seen_by=SeenBy.MAIL,
            attributed_by=found.by if run is not None or found.said is not None else None,
            id=identifier,
            suspects=found.candidates,
            traits=call.stored() if found.nobodys else None,
        )
        async with self._database.connection(Work.EGRESS) as conn:
            await record_effects(conn, login.side, [effect])
            await conn.execute(_DECIDED, (disposition, identifier))
        metrics.effects(login.side.value)
        return identifier

    async def _answered(self, effect: UUID, code: int) -> None:
        try:
            async with self._database.connection(Work.EGRESS) as conn:
                await conn.execute(_ANSWERED, (code, effect))
        except psycopg.Error as error:
            # The mail has left, or has not: what the worker is told stays true.
            log.warning("mail.answer_unrecorded", effect=str(effect), error=type(error).__name__)
