"""The guard's part of a proof: whom the worker's client package lets through, and which secrets the worker holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.containment.fingerprints import fingerprint
from shadow.containment.guard_reports import GuardReport
from shadow.containment.part import Part, failed, passed

Address = tuple[str, int | None]
"""Host and port; None: any."""

_PORTS = {"http": 80, "https": 443, "smtp": 25, "postgresql": 5432, "postgres": 5432}
_INSTALL = (
    "put the client package into the candidate's worker, with its egress key, SHADOW_VERSION and this gateway's URL,"
    " start it, and try again (docs/how-to/contain.md)"
)


_CLIENTS_ONLY = (
    "the guard does not reach what else the worker may call with: have the client package guard the whole process"
    " (`capture.install()`)"
)


def judge_guard(
    report: GuardReport | None, catalogue: ResolvedCatalogue, secrets: Mapping[str, Iterable[str]], key: bytes
) -> Part:
    """What the newest report of the candidate's guard shows.

    Args:
        secrets: where a real secret stands -> the texts that would give it away (real_secrets.py).
        key: with which the worker took its fingerprints.
    """
    if report is None:
        return failed("no guard of the candidate's worker has reported what it denies and holds", todo=[_INSTALL])
    if report.version is None:
        return failed(
            "the guard tells no version, so a proof could not end with it",
            todo=["set SHADOW_VERSION in the candidate's worker to what its deployment is called"],
        )
    wrong: list[str] = []
    todo: list[str] = []
    if not report.denies:
        wrong.append("the guard lets every host through")
        todo.append("let it deny: in the worker's environment, SHADOW_OTHER_HOSTS=deny")
    for problem in _allowed(report, catalogue):
        wrong.append(problem)
        todo.append("take the host out of the guard's allowed ones")
    held = sorted(where for where, texts in secrets.items() if _holds(report, texts, key))
    for where in held:
        wrong.append(f"the worker holds a real secret: {where}")
        todo.append(f"give the worker its egress key, or nothing, in place of {where}, and change that secret")
    facts: dict[str, Any] = {
        "version": report.version,
        "reported_at": report.made_at.isoformat() if report.made_at else None,
        "covers": report.covers,
        "allowed": list(report.allowed),
        "fingerprints": len(report.fingerprints),
        "compared_with": len(secrets),
        "real_secrets_held": held,
    }
    if wrong:
        return failed(*wrong, todo=_once(todo), **facts)
    reach = "" if report.covers == "process" else " to the HTTP clients that the client package made"
    return passed(
        f"every host but the gateway is denied{reach}"
        + (f", and {', '.join(report.allowed)} (the candidate's own platform or database)" if report.allowed else ""),
        f"none of the worker's {len(report.fingerprints)} secrets is one of the {len(secrets)} real ones",
        warnings=[] if report.covers == "process" else [_CLIENTS_ONLY],
        **facts,
    )


def _allowed(report: GuardReport, catalogue: ResolvedCatalogue) -> Iterator[str]:
    """What is wrong with the hosts that the guard lets through."""
    targets = {name: address for name, target in catalogue.targets.items() if (address := address_of(target.url))}
    fine = [address for address in _own(report, catalogue) if address not in targets.values()]
    for allowed in report.allowed:
        host, port = _pattern(allowed)
        reachable = sorted(name for name, address in targets.items() if _matches(host, port, address))
        if reachable:
            yield f"the guard lets {allowed} through, where the target {', '.join(reachable)} is"
        elif not any(_matches(host, port, address) for address in fine) or "*" in host:
            yield f"the guard lets {allowed} through, which is neither the gateway nor the candidate's platform"


def _own(report: GuardReport, catalogue: ResolvedCatalogue) -> Iterator[Address]:
    """Where a candidate's worker may go: the gateway, its platform, its database."""
    urls = [report.gateway if "://" in report.gateway else f"//{report.gateway}"] if report.gateway else []
    for platform in catalogue.platforms.values():
        if platform.side is Side.CANDIDATE:
            urls += [str(getattr(platform, field, "")) for field in ("url", "event_url", "api_url")]
    urls += [pair.candidate.dsn.get_secret_value() for pair in catalogue.databases.values()]
    yield from (address for url in urls if (address := address_of(url)) is not None)


def address_of(url: str) -> Address | None:
    """The host and port of a URL; None where it has no host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return None if host is None else (host, port or _PORTS.get(parts.scheme.partition("+")[0]))


def _pattern(allowed: str) -> Address:
    """A host as a guard may write it: `API.stripe.com:443`, `*.stripe.com`, `https://api.stripe.com/`."""
    return address_of(allowed if "://" in allowed else f"//{allowed}") or (allowed.lower(), None)


def _matches(host: str, port: int | None, address: Address) -> bool:
    """Whether letting that host through, on any port unless one is named, opens the way to `address`."""
    return fnmatchcase(address[0], host) and (port is None or address[1] is None or port == address[1])


def _holds(report: GuardReport, texts: Iterable[str], key: bytes) -> bool:
    return any(fingerprint(key, text) in report.fingerprints for text in texts)


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
