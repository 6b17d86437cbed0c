"""Mail that workers send by SMTP: recorded, and sent on for runs with authority alone.

Mail of other runs gets the answer that their twin's got. Whoever sends authenticates with its side's egress key, as
user or password. Where several mail targets are declared, the user names the one. Whose a mail is, is asked where it is
asked of calls, and it is written down where they are: mail goes on while the database is away. A mail that is nobody's,
or of the other side, is refused and never leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import structlog
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.correlation import CallTraits
from shadow.effects.evidence import UNKNOWN, Nobody
from shadow.effects.mail import UnreadableMail, read_mail, without_ours
from shadow.effects.notation import in_normal_form
from shadow.effects.record import SeenBy
from shadow.egress.answers import encoded_headers
from shadow.egress.callers import Callers
from shadow.egress.calls import Answered, Call
from shadow.egress.containing import Containing, Question
from shadow.egress.disposition import CallEffect, Disposition
from shadow.egress.journal import Journal
from shadow.egress.keys import EgressKeys
from shadow.egress.mail_relay import MailRelay, NotSent
from shadow.egress.runs import KnownRun, Told, Unknown, WrongSide
from shadow.egress.twin import Asked
from shadow.egress.upstream import permit
from shadow.model.ids import new_id
from shadow.model.json_text import write_json
from shadow.observe import metrics

log = structlog.get_logger(__name__)

KIND, OPERATION = "email", "send"
LONGEST = 32 * 1024 * 1024
_ACCEPTED = 250
_UNKNOWN = "530 5.7.0 authentication with an egress key is required"
_TOO_OFTEN = "450 4.7.1 this key sends more than `limits.requests_per_second`; send it again later"
"""A transient refusal (RFC 5321, 4.2.1): whoever sends keeps the mail and tries again."""
_LATER = "451 4.3.0 what a mail does must be known and recorded first, and can't be now"


@dataclass(frozen=True, slots=True)
class _Login:
    side: Side
    target: str
    key: UUID


class SmtpSink:
    """An SMTP server for workers."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        keys: EgressKeys,
        callers: Callers,
        journal: Journal,
        containing: Containing,
        relay: MailRelay,
        *,
        host: str,
        port: int,
        rates: Rates | None = None,
    ) -> None:
        """
        Args:
            rates: how many mails a key may begin: those of its calls, as both are one worker's.

        Raises:
            ValueError: no target of the catalogue is a mail server.
        """
        self.targets = [name for name, target in catalogue.targets.items() if target.is_mail]
        if not self.targets:
            raise ValueError("a mail sink needs a target whose url begins with smtp:// or smtps://")
        self._callers = callers
        self._journal = journal
        self._keys = keys
        self._containing = containing
        self._relay = relay
        self._patience = {name: catalogue.targets[name].timeout.total_seconds() for name in self.targets}
        self._host, self.port = host, port
        self._rates = rates
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
        holder = next((holder for text in texts if (holder := self._keys.holder(text)) is not None), None)
        target = texts[1] if texts[1] in self.targets else self.targets[0] if len(self.targets) == 1 else None
        if holder is None or target is None:
            return refused
        return AuthResult(success=True, auth_data=_Login(holder.side, target, holder.key))

    async def handle_MAIL(  # noqa: N802 (aiosmtpd's)
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd's hook: a mail begins."""
        login: object = session.auth_data
        if not isinstance(login, _Login):
            return _UNKNOWN
        if self._rates is not None and self._rates.wait(login.key, time.monotonic()) > 0:
            return _TOO_OFTEN
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
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            log.exception("mail.unrecorded", error=type(error).__name__)
            return "554 5.6.0 what this mail does can't be recorded"
        except (psycopg.Error, TimeoutError, OSError) as error:
            log.warning("mail.unrecorded", error=type(error).__name__)
            return _LATER
        except Exception as error:
            log.exception("mail.failed", error=type(error).__name__)
            return "554 5.3.0 the mail was not let through"

    async def _taken(self, login: _Login, sender: str, recipients: list[str], content: bytes) -> str:
        try:
            mail = await asyncio.to_thread(read_mail, content, sender, recipients)
        except UnreadableMail as error:
            return f"554 5.6.0 {error}"
        told, carried = Told.of(mail.headers), CallTraits.of(mail.headers, dict(mail.document))
        document = write_json(in_normal_form("email", dict(mail.document)))
        try:
            run = await self._callers.run(login.side, told, lambda: carried, target=login.target, operation=OPERATION)
        except Unknown as error:
            if error.is_new or self._journal.is_behind:
                return _LATER  # it comes again, and is written down or known then
            call = replace(_call(login, told, None, Disposition.REFUSE, document), suspects=error.suspects)
            await self._kept(replace(call, traits=carried.stored() if call.nobodys else None), 550)
            return (
                "550 5.7.1 nobody knows whose mail this is: expected X-Shadow-Run, or X-Shadow-Event and X-Shadow-Task"
            )
        except WrongSide as error:
            await self._kept(_call(login, told, None, Disposition.REFUSE, document), 550)
            return f"550 5.7.1 {error}"
        call = replace(
            _call(login, told, run, Disposition.FORWARD, document),
            digest=_digest(recipients),
        )
        if run.authority != "real":
            return await self._contained(call, run)
        return await self._sent_on(login, sender, recipients, content, call, run)

    async def _contained(self, call: Call, run: KnownRun) -> str:
        """As the twin was answered; where nothing is known of that, with a yes. It is written down first."""
        asked = Asked(run, call.attempt, call.target, call.operation, None, call.digest, CallEffect.WRITE)
        decided = await self._containing.settle(
            Question(call.id, asked, "replay", has_stub=True), self._patience[call.target]
        )
        status, text = _ACCEPTED, "2.0.0 accepted"
        if (answer := decided.found.answer) is not None:
            status, text = answer.status, answer.body.decode(errors="replace")
        call = replace(call, disposition=decided.disposition)
        await self._containing.written(call, status, decided, run.pair_id)
        _counted(call)
        return f"{status} {text}"

    async def _sent_on(
        self, login: _Login, sender: str, recipients: list[str], content: bytes, call: Call, run: KnownRun
    ) -> str:
        """Written down before it leaves, and so is the relay's answer before the worker gets it."""
        permit(call.disposition, run.authority, CallEffect.WRITE, "replay")
        await self._kept(call, None)
        try:
            code, text = await self._relay.relay(login.target, sender, recipients, without_ours(content))
        except NotSent as error:
            code, text = error.code, str(error)
        try:
            await self._journal.write_done(
                Answered(
                    id=call.id,
                    side=call.side,
                    run_id=call.run_id,
                    platform_run_id=call.platform_run_id,
                    status=code,
                    answered_at=datetime.now(UTC),
                    answer=text.encode(errors="replace"),
                    answer_headers=encoded_headers(()),
                    tenant=call.tenant,
                    of_tenant=call.of_tenant,
                )
            )
        except Exception:
            # The mail has left, or has not: what the worker is told stays true.
            log.exception("mail.answer_unrecorded", effect=str(call.id))
        return f"{code} {text}"

    async def _kept(self, call: Call, status: int | None) -> None:
        """Return once it is durable; without a status before it leaves."""
        if status is not None:
            call = replace(call, status=status, answered_at=datetime.now(UTC))
        await self._journal.write(call)
        _counted(call)


def _counted(call: Call) -> None:
    metrics.mailed(call.side.value, call.disposition.value)
    metrics.effects(call.side.value)


def _digest(recipients: Sequence[str]) -> bytes:
    """By which a mail is known as its twin's: its text may differ by what was born in the run."""
    return hashlib.sha256("\n".join(sorted({one.strip().lower() for one in recipients})).encode()).digest()


def _call(login: _Login, told: Told, run: KnownRun | None, disposition: Disposition, document: bytes) -> Call:
    """A mail as it is written down, without an answer yet."""
    tenant = run.tenant if run is not None else UNKNOWN
    return Call(
        id=new_id(),
        side=login.side,
        run_id=run.id if run is not None else None,
        platform_run_id=told.run or (run.platform_run_id if run is not None else None),
        task=run.task if run is not None else told.task,
        sequence=time.time_ns() // 1000,
        attempt=told.attempt,
        kind=KIND,
        target=login.target,
        operation=OPERATION,
        identity=None,
        idempotency_key=None,
        occurred_at=datetime.now(UTC),
        attributed_by=run.attributed_by if run is not None else None,
        disposition=disposition,
        writes=True,
        digest=None,
        document=document,
        tenant=None if isinstance(tenant, Nobody) else tenant,
        of_tenant=not isinstance(tenant, Nobody),
        seen_by=SeenBy.MAIL,
    )
