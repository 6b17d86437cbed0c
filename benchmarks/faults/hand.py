"""A hand: how one run writes what a script says. Its ids, its clock and its spelling are its own."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from benchmarks.faults.ids import FORMS
from benchmarks.faults.symbols import (
    BEGIN,
    BORN,
    CLOCK,
    EMBEDDED,
    FRESH,
    GAP,
    INSTANT,
    MARKUP,
    NEWLINE,
    SEPARATOR,
    STOLEN,
    SYMBOL,
)

_INSTANTS = ("milliseconds, Z", "milliseconds, offset", "microseconds, offset", "Z", "another offset")
_ESCAPES = ("named", "decimal", "hexadecimal", "least")
_GAPS = ("", "", "\n", "\n    ", " \r\n")


@dataclass
class Hand:
    """The hand of one run."""

    rng: random.Random
    started_at: datetime
    accepted_at: datetime
    given: dict[str, str] = field(default_factory=dict)
    """Ids that this run was given, where another run was given the same."""
    plain: bool = False
    """Whether to spell as the sandbox does."""

    def __post_init__(self) -> None:
        self.ids: dict[str, str] = dict(self.given)
        self.instants = _INSTANTS[0] if self.plain else self.rng.choice(_INSTANTS)
        self.escapes = _ESCAPES[0] if self.plain else self.rng.choice(_ESCAPES)
        self.gap = "" if self.plain else self.rng.choice(_GAPS)
        self.hours = self.rng.choice((1, 2, -5, -8, 9))
        self.foreign = self.rng.random() < 0.5
        """Whether it escapes what is no ASCII, too."""
        self.tags = (
            "plain" if self.plain else self.rng.choice(("plain", "plain", "capitals", "quotes", "xhtml", "broken"))
        )
        self.newline = self.rng.choice(("\n", "\r\n"))
        self.legacys: dict[str, str] = {}
        """The other run's ids, for who uses them by mistake."""

    def value(self, value: Any, at: datetime) -> Any:
        """What a script says, as this run writes it at that moment."""
        if isinstance(value, str):
            return self.text(value, at) if BEGIN in value else value
        if isinstance(value, dict):
            return {self.name(name, at): self.value(member, at) for name, member in value.items()}
        if isinstance(value, list):
            return [self.value(item, at) for item in value]
        return value

    def name(self, name: str, at: datetime) -> str:
        return str(self.text(name, at)) if BEGIN in name else name

    def text(self, text: str, at: datetime) -> Any:
        """A text with its symbols; one that is a figure alone becomes a number."""
        whole = SYMBOL.fullmatch(text)
        if whole is not None:
            return self._symbol(whole[1], whole[2].split(SEPARATOR), at)
        written = SYMBOL.sub(lambda found: str(self._symbol(found[1], found[2].split(SEPARATOR), at)), text)
        return self._tagged(written) if written.startswith("<p>") else written

    def moment(self, symbol: str, at: datetime) -> datetime:
        """The moment that a symbol of one names."""
        found = SYMBOL.fullmatch(symbol)
        assert found is not None, symbol
        arguments = found[2].split(SEPARATOR)
        if found[1] == INSTANT:
            return datetime.fromisoformat(arguments[0])
        assert found[1] == CLOCK, symbol
        return at + timedelta(seconds=float(arguments[1]))

    def id(self, name: str, form: str) -> Any:
        if form == STOLEN:
            return self.legacys.get(name, name)
        if name not in self.ids:
            self.ids[name] = FORMS[form](self.rng)
        made = self.ids[name]
        return int(made) if form == "serial" else made

    def _symbol(self, kind: str, arguments: list[str], at: datetime) -> Any:
        if kind == BORN:
            return self.id(arguments[0], arguments[1])
        if kind == INSTANT:
            return self._instant(datetime.fromisoformat(arguments[0]))
        if kind == FRESH:
            # As exact as either notation tells it.
            moment = self.accepted_at - timedelta(seconds=float(arguments[0]))
            return self._instant(moment.replace(microsecond=moment.microsecond // 1000 * 1000))
        if kind == CLOCK:
            moment = at + timedelta(seconds=float(arguments[1]))
            if arguments[0] == "seconds":
                return int(moment.timestamp())
            if arguments[0] == "milliseconds":
                return int(moment.timestamp() * 1000)
            return self._instant(moment)
        if kind == MARKUP:
            return self._escaped(arguments[0])
        if kind == EMBEDDED:
            value = json.loads(arguments[0])
            return json.dumps(dict(sorted(value.items(), reverse=self.foreign)), indent=2 if self.hours < 0 else None)
        if kind == NEWLINE:
            return self.newline
        assert kind == GAP, kind
        return self.gap

    def _tagged(self, html: str) -> str:
        """HTML in another spelling that looks the same."""
        match self.tags:
            case "capitals":
                return re.sub(r"</?[a-z]+", lambda found: found[0].upper(), html)
            case "quotes":
                return re.sub(r'="([^"\']*)"', r"='\1'", html)
            case "xhtml":
                return "<!-- made by another library -->" + re.sub(r"<(img[^>]*)>", r"<\1 />", html)
            case "broken":
                return "".join(
                    part if part.startswith("<") else part.replace(" ", "\n  ") for part in re.split(r"(<[^>]*>)", html)
                )
        return html

    def _instant(self, moment: datetime) -> str:
        moment = moment.astimezone(UTC)
        match self.instants:
            case "milliseconds, Z":
                return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            case "milliseconds, offset":
                return moment.isoformat(timespec="milliseconds")
            case "microseconds, offset":
                return moment.isoformat(timespec="microseconds")
            case "Z":
                return moment.isoformat(timespec="auto").replace("+00:00", "Z")
            case _:
                shifted = moment + timedelta(hours=self.hours)
                sign = "+" if self.hours >= 0 else "-"
                return (
                    f"{shifted.replace(tzinfo=None).isoformat(timespec='milliseconds')}{sign}{abs(self.hours):02d}:00"
                )

    def _escaped(self, text: str) -> str:
        match self.escapes:
            case "named":
                return escape(text)
            case "least":
                return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        written = []
        for character in text:
            if character in "&<>\"'" or (self.foreign and not character.isascii()):
                code = ord(character)
                written.append(f"&#{code};" if self.escapes == "decimal" else f"&#x{code:X};")
            else:
                written.append(character)
        return "".join(written)
