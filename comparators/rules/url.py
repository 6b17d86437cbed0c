"""URL: the order of query parameters does not matter, nor do the parameters that are named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from comparators.canonical import JSON
from comparators.protected import protects_name
from comparators.rules.rule import PROTECTED, Pair, Place, RuleError, ValueRule

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ESCAPED = re.compile(r"%[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class UrlRule(ValueRule):
    """Also the same: letter case of scheme and host, the scheme's own port, how characters are escaped."""

    without: tuple[str, ...] = ()
    """Parameters that are left out, as shell-style patterns: `utm_*`, `X-Amz-Signature`."""

    type: ClassVar[str] = "url"

    def check(self) -> None:
        for name in self.without:
            if not name.strip("*?"):
                raise RuleError("without", repr(name), "names or patterns of parameters, such as utm_*")
            if protects_name(name):
                raise RuleError(
                    "without", f"{name!r}, which touches {PROTECTED}: these cannot be ignored", "other parameters"
                )

    def weakens(self) -> str | None:
        return "compared without some of its parameters" if self.without else None

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if not isinstance(legacy, str) or not isinstance(candidate, str):
            return None
        if pair.texts_correspond(legacy, candidate, place.parts):
            return True
        mine, theirs = self._normal(legacy), self._normal(candidate)
        if mine is None or theirs is None:
            return None
        return True if pair.texts_correspond(mine, theirs, place.parts) else None

    def _normal(self, text: str) -> str | None:
        try:
            split = urlsplit(text)
        except ValueError:
            return None
        scheme, host = split.scheme.lower(), split.netloc
        # A user and password before the host keep their case.
        user, at, address = host.rpartition("@")
        host = user + at + address.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":"))
        path = _ESCAPED.sub(lambda escaped: escaped.group().upper(), split.path or "/")
        kept = [(name, value) for name, value in parse_qsl(split.query, keep_blank_values=True) if self._keeps(name)]
        query = urlencode(sorted(kept, key=lambda parameter: parameter[0]))
        return f"{scheme}://{host}{path}?{query}#{split.fragment}"

    def _keeps(self, name: str) -> bool:
        return protects_name(name) or not any(fnmatchcase(name, pattern) for pattern in self.without)
