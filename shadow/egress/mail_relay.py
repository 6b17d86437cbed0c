"""Sending mail on to the real server, with its credential, for those who may."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.outside import Target
from shadow.platforms.resolving import Forbidden, Resolver
from shadow.platforms.tls import context_of

log = structlog.get_logger(__name__)

_PORTS = {"smtp": 587, "smtps": 465}
_AWAY = 451


class NotSent(Exception):
    """The relay did not take a mail."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class MailRelay:
    """The declared mail servers."""

    def __init__(self, catalogue: ResolvedCatalogue, *, tls: ssl.SSLContext | None = None) -> None:
        self._servers = {
            name: _Server(target, tls or _context(target))
            for name, target in catalogue.targets.items()
            if target.is_mail
        }

    async def relay(self, target: str, sender: str, recipients: Sequence[str], content: bytes) -> tuple[int, str]:
        """The relay's answer.

        Raises:
            NotSent: with the relay's own code, or 451 where it can't be reached.
        """
        return await self._servers[target].send(sender, recipients, content)


def _context(target: Target) -> ssl.SSLContext:
    return ssl.create_default_context() if target.tls is None else context_of(target.tls, http=False)


class _Server:
    def __init__(self, target: Target, tls: ssl.SSLContext) -> None:
        url = urlsplit(target.url)
        self._secure = url.scheme == "smtps"
        self._host = url.hostname or ""
        self._port = url.port or _PORTS[url.scheme]
        self._private = target.private
        self._timeout = target.timeout.total_seconds()
        self._credential = target.credential.secret.get_secret_value() if target.credential is not None else None
        self._resolver = Resolver(self._host, self._port, private=target.private)
        self._tls = tls
        self._asks_tls = target.tls is not None
        """Where it is said how the relay is known by TLS, one that says it has none may be somebody between."""

    async def send(self, sender: str, recipients: Sequence[str], content: bytes) -> tuple[int, str]:
        try:
            addresses = await self._resolver.addresses()
        except Forbidden as error:
            raise NotSent(554, f"5.7.1 {error}") from None
        except (OSError, TimeoutError):
            raise NotSent(_AWAY, f"4.4.3 {self._host} can't be resolved") from None
        return await asyncio.to_thread(self._send, addresses[0], sender, list(recipients), content)

    def _send(self, address: str, sender: str, recipients: list[str], content: bytes) -> tuple[int, str]:
        try:
            with contextlib.closing(self._connected(address)) as server:
                return self._transaction(server, sender, recipients, content)
        except smtplib.SMTPResponseException as error:
            raise NotSent(error.smtp_code, _text(error.smtp_error)) from None
        except (smtplib.SMTPException, OSError) as error:
            log.warning("mail.relay_unreachable", host=self._host, error=type(error).__name__)
            raise NotSent(_AWAY, f"4.4.1 {self._host} can't be reached") from None

    def _connected(self, address: str) -> smtplib.SMTP:
        if self._secure:
            server: smtplib.SMTP = _CheckedTls(address, self._host, self._port, self._timeout, self._tls)
        else:
            server = _Checked(address, self._host, self._port, self._timeout)
        server.ehlo()
        if not self._secure and server.has_extn("starttls"):
            server.starttls(context=self._tls)
            server.ehlo()
        elif not self._secure and self._asks_tls:
            server.close()
            raise NotSent(554, "5.7.4 the relay offers no TLS, which the catalogue asks for")
        elif not self._secure and self._credential is not None and not self._private:
            server.close()
            raise NotSent(554, "5.7.4 the relay offers no TLS: its credential is not sent in clear")
        if self._credential is not None:
            user, _, password = self._credential.partition(":")
            server.login(user, password)
        return server

    def _transaction(self, server: smtplib.SMTP, sender: str, recipients: list[str], content: bytes) -> tuple[int, str]:
        """One mail to all or to none: a part of its recipients would be another effect than was recorded."""
        options = ["smtputf8"] if not _ascii(sender, *recipients) and server.has_extn("smtputf8") else []
        if server.has_extn("8bitmime"):
            options.append("body=8bitmime")
        for code, text in (
            server.mail(sender, options),
            *(server.rcpt(recipient) for recipient in recipients),
        ):
            if code >= 400:
                raise NotSent(code, _text(text))
        code, text = server.data(content)
        if code >= 400:
            raise NotSent(code, _text(text))
        with contextlib.suppress(smtplib.SMTPException, OSError):
            server.quit()  # it has the mail
        return code, _text(text)


class _Checked(smtplib.SMTP):
    """Connects to the address that was checked, by whatever name."""

    def __init__(self, address: str, host: str, port: int, timeout: float) -> None:
        self._address = address
        super().__init__(host, port, timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)


class _CheckedTls(smtplib.SMTP_SSL):
    def __init__(self, address: str, host: str, port: int, timeout: float, context: ssl.SSLContext) -> None:
        self._address = address
        self._tls = context
        super().__init__(host, port, timeout=timeout, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        connection = socket.create_connection((self._address, port), timeout)
        return self._tls.wrap_socket(connection, server_hostname=host)


def _ascii(*texts: str) -> bool:
    return all(text.isascii() for text in texts)


def _text(text: bytes | str) -> str:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return " ".join(said.split())
