"""What is wrong with targets, databases, world rows and probes, though each key by itself is fine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shadow.catalogue import expressions
from shadow.catalogue.base_url import wrong_with_url
from shadow.catalogue.expressions import ExpressionError
from shadow.catalogue.model import Catalogue, HttpPlatform, InngestPlatform, TaskDefaults
from shadow.catalogue.outside import Credential, Operation, Probe, Stub, Target, WorldRow
from shadow.catalogue.paths import parsed
from shadow.catalogue.problems import Finding, Path, one_of
from shadow.catalogue.tls_settings import Tls, secure_origin, wrong_with

_SCHEMES = ("http", "https", "smtp", "smtps")
_MATCH = re.compile(r"^(\*|[A-Z]+) (/\S*)$")
_MATCH_EXPECTED = "a method and a path template, such as `POST /v1/transfers` or `GET /v1/transfers/{id}`"
_PLACEHOLDER = re.compile(r"\{\+?([A-Za-z_][A-Za-z0-9_]*)\}")
_SELECT = re.compile(r"^\s*(select|with|values|table)\b", re.IGNORECASE)


def outside_inconsistencies(catalogue: Catalogue) -> Iterator[Finding]:
    """Everything about the outside that makes the catalogue unusable."""
    yield from _platforms(catalogue)
    for name, target in catalogue.targets.items():
        yield from _target(target, ("targets", name))
        yield from wrong_with(target.tls, (target.url,), ("targets", name, "tls"))
    for place, level in _levels(catalogue):
        for index, key in enumerate(level.business_keys or ()):
            yield from _json_path(key, (*place, "business_keys", index))
        for index, row in enumerate(level.world or ()):
            yield from _world(row, (*place, "world", index), catalogue)
        for index, probe in enumerate(level.probes or ()):
            yield from _probe(probe, (*place, "probes", index), catalogue)
    for key in ("paths", "keep"):
        for index, text in enumerate(getattr(catalogue.redaction, key)):
            yield from _json_path(text, ("redaction", key, index))


def _levels(catalogue: Catalogue) -> Iterator[tuple[Path, TaskDefaults]]:
    yield ("defaults",), catalogue.defaults
    for name, category in catalogue.categories.items():
        yield ("categories", name), category
    for name, task in catalogue.tasks.items():
        yield ("tasks", name), task


def _platforms(catalogue: Catalogue) -> Iterator[Finding]:
    """What is wrong with their URLs and TLS. One client serves them all, so what is of one origin is of one kind."""
    known: dict[tuple[str, int], tuple[str, Tls | None]] = {}
    for name, platform in catalogue.platforms.items():
        path: Path = ("platforms", name, "tls")
        keys = ("event_url", "api_url") if isinstance(platform, InngestPlatform) else ("url",)
        urls = tuple(getattr(platform, key) for key in keys)
        for key, url in zip(keys, urls, strict=True):
            where, alone = ("platforms", name, key), isinstance(platform, HttpPlatform)
            yield from wrong_with_url(url, ("http", "https"), where, instead="its key or `headers`", query=alone)
        if isinstance(platform, InngestPlatform) and platform.front_url is not None:
            where = ("platforms", name, "front_url")
            yield from wrong_with_url(platform.front_url, ("http", "https"), where, instead="nothing")
        yield from wrong_with(platform.tls, urls, path)
        for origin in filter(None, map(secure_origin, urls)):
            other, settings = known.setdefault(origin, (name, platform.tls))
            if settings != platform.tls:
                yield Finding(path, f"another than of {other!r}, which lies at {origin[0]} too", "the same of both")


def _target(target: Target, path: Path) -> Iterator[Finding]:
    yield from wrong_with_url(target.url, _SCHEMES, (*path, "url"), instead="`credential`")
    if target.credential is not None:
        yield from (_mail_credential if target.is_mail else _credential)(target.credential, (*path, "credential"))
    for index, operation in enumerate(target.operations):
        yield from _operation(operation, (*path, "operations", index))
    yield from _stub(target.stub, (*path, "stub"))
    if target.witness is not None:
        method, _, rest = target.witness.request.partition(" ")
        if method not in ("GET", "HEAD") or not rest.startswith("/"):
            yield Finding((*path, "witness", "request"), repr(target.witness.request), "a read, such as `GET /path`")
        yield from _json_path(target.witness.items, (*path, "witness", "items"))


def _credential(credential: Credential, path: Path) -> Iterator[Finding]:
    if (credential.header is None) == (credential.query is None):
        found = "neither" if credential.header is None else "both"
        yield Finding(path, found, "one of `header` and `query`")


def _mail_credential(credential: Credential, path: Path) -> Iterator[Finding]:
    for place in ("header", "query"):
        if getattr(credential, place) is not None:
            yield Finding((*path, place), "a place in an HTTP call", "only `secret`, `USER:PASSWORD`, of a mail server")
    if ":" not in credential.secret.get_secret_value():
        yield Finding((*path, "secret"), "a secret without a colon", "`USER:PASSWORD` of a mail server")


def _operation(operation: Operation, path: Path) -> Iterator[Finding]:
    if _MATCH.fullmatch(operation.match) is None:
        yield Finding((*path, "match"), repr(operation.match), _MATCH_EXPECTED)
    else:
        names = _PLACEHOLDER.findall(operation.match)
        if len(names) != len(set(names)):
            yield Finding((*path, "match"), repr(operation.match), "each parameter once")
    yield from _stub(operation.stub, (*path, "stub"))
    for index, text in enumerate(operation.identity):
        yield from _json_path(text, (*path, "identity", index))
    if operation.idempotency_key is not None and operation.idempotency_key.startswith("$"):
        yield from _json_path(operation.idempotency_key, (*path, "idempotency_key"))


def _stub(stub: Stub | None, path: Path) -> Iterator[Finding]:
    if stub is None:
        return
    try:
        expressions.compile(stub.body, tables=(), headers=False)
    except ExpressionError as error:
        yield Finding((*path, "body", *error.path), error.found, error.expected)


def _world(row: WorldRow, path: Path, catalogue: Catalogue) -> Iterator[Finding]:
    if row.database is not None:
        if row.database not in catalogue.databases:
            yield Finding((*path, "database"), repr(row.database), one_of(catalogue.databases, row.database))
    elif len(catalogue.databases) != 1:
        yield Finding(path, f"no database, and {len(catalogue.databases)} are declared", "the `database` it is in")


def _probe(probe: Probe, path: Path, catalogue: Catalogue) -> Iterator[Finding]:
    if (probe.sql is None) == (probe.request is None):
        yield Finding(path, "neither" if probe.sql is None else "both", "one of `sql` and `request`")
        return
    if probe.sql is not None:
        if probe.database not in catalogue.databases:
            found = "nothing" if probe.database is None else repr(probe.database)
            yield Finding((*path, "database"), found, one_of(catalogue.databases, probe.database or ""))
        if not _SELECT.match(probe.sql):
            yield Finding((*path, "sql"), "another statement", "one SELECT")
    else:
        if probe.target not in catalogue.targets:
            found = "nothing" if probe.target is None else repr(probe.target)
            yield Finding((*path, "target"), found, one_of(catalogue.targets, probe.target or ""))
        method, _, rest = (probe.request or "").partition(" ")
        if method not in ("GET", "HEAD") or not rest.startswith("/"):
            yield Finding((*path, "request"), repr(probe.request), "a read, such as `GET /v1/customers/{id}`")


def _json_path(text: str, path: Path) -> Iterator[Finding]:
    try:
        parsed(text)
    except ValueError as error:
        yield Finding(path, f"{text!r} ({error})", "a JSONPath as in RFC 9535")
