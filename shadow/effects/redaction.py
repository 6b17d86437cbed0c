"""Redaction: what is personal or secret becomes a hash before anything is kept as evidence. Pure.

A hash is keyed with the tenant's evidence key: within a tenant equal values have equal hashes, on both sides and
wherever they stand, and without the key nobody can try values out. Values are brought into one notation first
(addresses in lower case, phone numbers as digits, moments in UTC), so that notation is no difference; what is notation
in an effect of some kind was taken away before (`notation.py`). What a person may read stays:
`~email:1a2b3c4d5e6f7a8b@shop.test` says that it was an address at shop.test.

Redaction must change no verdict. So a recipient never looks like an id that was born in a run, whatever it looked like;
a secret that did look like one still does (`~token:sk_live_f0...`), or else fresh tokens would be differences.
"""

from __future__ import annotations

import hmac
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from operator import is_not
from re import Match
from re import compile as pattern
from typing import cast
from urllib.parse import unquote

from comparators import JSON
from comparators.canonical import plain
from comparators.generated import take_apart
from comparators.kinds.instants import instant
from comparators.nesting import DEEPEST, TooDeep
from comparators.path import Parts, find
from shadow.catalogue.outside import Redaction
from shadow.effects.names import NOBODY, Names
from shadow.effects.sensitive import (
    FORMS,
    REDACTED,
    Kind,
    has_words,
    is_bare,
    is_card,
    kind_of_name,
    may_have_forms,
)
from shadow.model.json_text import parse, write_json

HASH_BITS = 64
"""Of a hash as shown; those of generated-looking secrets have 88."""
_ALREADY = pattern(REDACTED)
_ANGLE = pattern(r"<([^<>\s]+)>")
_PARTS_NAMES = "<>@,;\n"
_MAILBOXES = frozenset({"to", "from", "cc", "bcc", "sender", "recipient", "recipients", "replyto", "reply_to"})
_DIGITS = pattern(r"\d")
_NOT_DIGITS = pattern(r"\D+")
_NO_DIGEST = "0" * 64
_MAY_BE_BORN = frozenset({Kind.SECRET, Kind.TOKEN, Kind.HIDDEN})


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The nodes of one document that the catalogue names."""

    hidden: frozenset[Parts] = frozenset()
    kept: frozenset[Parts] = frozenset()


class Redactor:
    """Redacts with one tenant's key. What is nested deeper than documents may be is hashed whole.

    Args:
        key: the tenant's evidence key.
        rules: what the catalogue adds to the built-in rules, and takes from them.
        names: people who are looked for in free text.
    """

    def __init__(self, key: bytes, rules: Redaction | None = None, names: Names = NOBODY) -> None:
        self._key = key
        self._rules = rules or Redaction()
        self._names = names
        self._met: list[str] = []
        """Whom members named."""
        self._worded = True
        """Whether there may be words in the texts of the document at hand."""

    def document(self, content: bytes) -> bytes:
        """A JSON document, redacted; the very same bytes when there is nothing to redact. What is no JSON is taken
        for text."""
        try:
            value = parse(content)
        except TooDeep:
            return write_json(self._whole(Kind.HIDDEN, content.decode(errors="surrogateescape")))
        except ValueError:
            text = content.decode(errors="surrogateescape")
            redacted = self.free_text(text)
            return content if redacted == text else redacted.encode(errors="surrogateescape")
        try:
            changed = self.read(value, content)
        except RecursionError:  # documents in texts in documents
            return write_json(self._whole(Kind.HIDDEN, content.decode(errors="surrogateescape")))
        return content if changed is value and not says_more(content, value) else write_json(changed)

    def read(self, value: JSON, content: bytes) -> JSON:
        """A JSON value that was read from `content`, redacted; the very same object when there is nothing to redact."""
        if self._is_silent(value, content):
            return value
        self._worded = has_words(content)
        try:
            return self._walk(value)
        finally:
            self._worded = True

    def value(self, value: JSON) -> JSON:
        """A JSON value, redacted; the very same object when there is nothing to redact."""
        return self._walk(value)

    def text(self, text: str) -> str:
        """A text with what shows by its form redacted: addresses, cards, phone numbers, tokens."""
        return FORMS.sub(self._form, text) if may_have_forms(text, worded=self._worded) else text

    def free_text(self, text: str) -> str:
        """The same, and the people who are looked for."""
        return self._names.replaced(self.text(text), self._name) if self._names.known else self.text(text)

    def names_in(self, content: bytes) -> Names:
        """The people whom the members of a JSON document name."""
        reader = _Reader(self._key, self._rules)
        reader.document(content)
        return Names.of(reader._met)

    def names_and_document(self, content: bytes) -> tuple[Names, bytes]:
        """The people whom the members of a JSON document name, and the document redacted, without looking for them."""
        reader = Redactor(self._key, self._rules)
        redacted = reader.document(content)
        return Names.of(reader._met), redacted

    def hash(self, kind: Kind, normal: str, shown: str = "") -> str:
        """The redacted form of a value in its normal notation.

        Args:
            shown: what may be read after the hash.
        """
        return f"~{kind}:{self._digest(kind, normal)[:16]}{shown}"

    # ------------------------------------------------------------ walking

    def _is_silent(self, value: JSON, content: bytes) -> bool:
        """Whether it is plain that nothing is to be redacted in a value that was read from `content`. Of most documents
        it is, and to go through their texts one by one takes several times as long."""
        return (
            not self._rules.paths
            and not self._rules.keep
            and is_bare(content)
            and not (self._names.known and self._names.may_stand_in(content))
            and _names_nothing(value, None, 0)
        )

    def _walk(self, value: JSON) -> JSON:
        chosen = None
        if self._rules.paths or self._rules.keep:
            chosen = _Chosen(_nodes(self._rules.paths, value), _nodes(self._rules.keep, value))
        return self._value(value, None, None, None, 0, (), chosen)

    def _value(
        self,
        value: JSON,
        kind: Kind | None,
        name: str | None,
        above: str | None,
        depth: int,
        parts: Parts,
        chosen: _Chosen | None,
    ) -> JSON:
        """
        Args:
            kind: of everything here, as the name of something above says.
            name: of the nearest member around the value.
            above: of the member around that.
            parts: where it stands, while `chosen` names nodes.
        """
        if chosen is not None:
            if parts in chosen.hidden:
                kind, chosen = Kind.HIDDEN, None
            elif parts in chosen.kept:
                return value
        if isinstance(value, dict):
            if depth > DEEPEST:
                return self._whole(Kind.HIDDEN, json.dumps(value, sort_keys=True))
            return self._members(value, kind, name, depth + 1, parts, chosen)
        if isinstance(value, list):
            if depth > DEEPEST:
                return self._whole(Kind.HIDDEN, json.dumps(value, sort_keys=True))
            return self._items(value, kind, name, above, depth + 1, parts, chosen)
        return self._leaf(value, kind, name)

    def _members(
        self,
        members: dict[str, JSON],
        inherited: Kind | None,
        name: str | None,
        depth: int,
        parts: Parts,
        chosen: _Chosen | None,
    ) -> JSON:
        redacted: dict[str, JSON] | None = None  # while nothing has changed
        renamed = False
        told = _told_name(members) if "value" in members else None
        for member, value in members.items():
            kind = inherited or kind_of_name(member, name)
            if told is not None and member == "value":
                kind = kind or kind_of_name(told, name)
            if chosen is not None or isinstance(value, dict | list):
                if kind is Kind.TOKEN and isinstance(value, dict):
                    kind = None  # a card's or a session's description, of which each part has a name of its own
                inside = parts if chosen is None else (*parts, member)
                kept = self._value(value, kind, member, name, depth, inside, chosen)
            elif isinstance(value, str):
                kept = self._string(value, kind, member)
            elif kind is None:
                kept = value
            else:
                kept = self._leaf(value, kind, member)
            shown = member if _is_plain(member) else self.text(member)
            if redacted is None and (kept is not value or shown != member):
                redacted = {}
                for before in members:
                    if before == member:
                        break
                    redacted[before] = members[before]
            if redacted is not None:
                renamed = renamed or shown != member
                redacted[_free(shown, redacted) if renamed else shown] = kept
        return members if redacted is None else redacted

    def _items(
        self,
        items: list[JSON],
        kind: Kind | None,
        name: str | None,
        above: str | None,
        depth: int,
        parts: Parts,
        chosen: _Chosen | None,
    ) -> JSON:
        if kind is None and _is_header(items):
            kind = kind_of_name(cast(str, items[0]))
            if kind is not None:
                value = self._value(items[1], kind, name, above, depth, (*parts, 1), chosen)
                return items if value is items[1] else [items[0], value]
        redacted = [
            self._value(item, kind, name, above, depth, parts if chosen is None else (*parts, index), chosen)
            for index, item in enumerate(items)
        ]
        return redacted if any(map(is_not, redacted, items)) else items

    def _leaf(self, value: JSON, kind: Kind | None, name: str | None) -> JSON:
        if isinstance(value, str):
            return self._string(value, kind, name)
        if value is None or isinstance(value, bool) or kind not in (Kind.SECRET, Kind.HIDDEN, Kind.PHONE):
            return value
        # A number keeps being told from the text that looks like it.
        return self._whole(kind, f"number {json.dumps(plain(value))}")

    def _string(self, text: str, kind: Kind | None, name: str | None) -> str:
        if not text or (text[0] == "~" and _ALREADY.fullmatch(text)):
            return text
        if kind is not None:
            return self._named(kind, text)
        if name is not None and "<" in text and name.lower() in _MAILBOXES:
            text = self._mailboxes(text)
        if text[0] in "{[" and (embedded := self._embedded(text)) is not None:
            return embedded
        redacted = self.free_text(text)
        return text if redacted == text else redacted

    def _embedded(self, text: str) -> str | None:
        """A JSON document inside a text; written anew only where something in it was redacted."""
        try:
            value = parse(text.encode())
        except TooDeep:
            return self._whole(Kind.HIDDEN, text)
        except (ValueError, UnicodeEncodeError):
            return None
        try:
            redacted = self._walk(value)
        except RecursionError:
            return self._whole(Kind.HIDDEN, text)
        if redacted is value and not says_more(text.encode(), value):
            return text
        return write_json(redacted).decode()

    # ------------------------------------------------------------ values

    def _named(self, kind: Kind, text: str) -> str:
        """A text that its name says to be personal or secret."""
        if kind is Kind.PHONE:
            if len(_DIGITS.findall(text)) < 5:
                return self.text(text)
            return self.hash(kind, _phone(text))
        if kind is Kind.IP:
            try:
                return self.hash(kind, str(ip_address(text.strip())))
            except ValueError:
                return self.text(text)
        if kind is Kind.IBAN:
            return self.hash(kind, "".join(text.split()).upper())
        if kind in _MAY_BE_BORN:
            # What is whole an address or a card is one wherever else it stands: there it must have the same hash.
            typed = self.text(text)
            return typed if _ALREADY.fullmatch(typed) else self._whole(kind, text)
        return self._name(text) if kind is Kind.NAME else self.hash(kind, _notation(text))

    def _name(self, text: str) -> str:
        self._met.append(text)
        return self.hash(Kind.NAME, _notation(text))

    def _whole(self, kind: Kind, text: str) -> str:
        """A secret as a hash that looks generated where the secret did, and keeps its prefix."""
        text = _notation(text)
        tokens = [token for token in take_apart(text).tokens if not token.is_instant]
        if not tokens:
            return self.hash(kind, text)
        prefix = f"{tokens[0].prefix}_" if tokens[0].prefix else ""
        born = f"~{kind}:{prefix}f0{self._digest(kind, text)[:22]}"
        return born if _ALREADY.fullmatch(born) else self.hash(kind, text)

    def _form(self, found: Match[str]) -> str:
        """What to put in the place of something that `FORMS` found."""
        whole = found.group()
        match found.lastgroup:
            case "redacted":
                return whole
            case "domain" | "email":
                return self._email(found["local"], found["domain"], encoded="%40" in whole)
            case "card":
                digits = _NOT_DIGITS.sub("", whole)
                return self.hash(Kind.CARD, digits) if is_card(digits) else whole
            case "phone":
                return self.hash(Kind.PHONE, _phone(whole))
            case "credential":
                return found["scheme"] + self._whole(Kind.TOKEN, found["credential"])
            case "argument":
                return found["parameter"] + self._whole(Kind.SECRET, found["argument"])
            case "userinfo" | "pem":
                return self.hash(Kind.SECRET, whole)
            case _:
                return self._whole(Kind.TOKEN, whole)

    def _email(self, local: str, domain: str, *, encoded: bool) -> str:
        domain = domain.lower()
        name = unicodedata.normalize("NFC", unquote(local) if encoded else local).casefold()
        return self.hash(Kind.EMAIL, f"{name}@{domain}", f"@{domain}")

    def _mailboxes(self, text: str) -> str:
        """Every `Name <address>` in a text with its name redacted. Takes as long as the text is: a pattern that looks
        for name, space and angle at once takes the cube of it where there are many spaces and no angle."""
        told, end = [], 0
        for found in _ANGLE.finditer(text):
            before = text[end : found.start()]
            name = before.rstrip()
            begins = max(map(name.rfind, _PARTS_NAMES)) + 1
            told += [before[:begins], self._mailbox(name[begins:], before[len(name) :], found[1])]
            end = found.end()
        return "".join([*told, text[end:]])

    def _mailbox(self, display: str, space: str, address: str) -> str:
        if display.strip() and not _ALREADY.fullmatch(display.strip()):
            begins = display[: len(display) - len(display.lstrip())]
            display = begins + self._name(display.strip().strip('"'))
        return f"{display}{space}<{address}>"

    def _digest(self, kind: Kind, normal: str) -> str:
        return hmac.digest(self._key, f"{kind}\0{normal}".encode(errors="surrogatepass"), "sha256").hex()


class _Reader(Redactor):
    """Goes through a document for the people whom its members name, and makes no hashes."""

    def text(self, text: str) -> str:
        return text

    def _digest(self, kind: Kind, normal: str) -> str:
        return _NO_DIGEST

    def _whole(self, kind: Kind, text: str) -> str:
        return text


def _nodes(paths: Iterable[str], value: JSON) -> frozenset[Parts]:
    return frozenset(parts for path in paths for parts, _ in find(path, value))


def _names_nothing(value: JSON, name: str | None, depth: int) -> bool:
    """Whether no member in a value has a name that says it to be personal or secret.

    Args:
        name: of the nearest member around the value.
    """
    if depth > DEEPEST:
        return False
    if isinstance(value, dict):
        told = _told_name(value) if "value" in value else None
        if not _are_open(tuple(value), name) or (told is not None and kind_of_name(told, name) is not None):
            return False
        for member, held in value.items():
            if isinstance(held, dict | list) and not _names_nothing(held, member, depth + 1):
                return False
    elif isinstance(value, list):
        if _is_header(value) and kind_of_name(cast(str, value[0])) is not None:
            return False
        for item in value:
            if isinstance(item, dict | list) and not _names_nothing(item, name, depth + 1):
                return False
    return True


@lru_cache(maxsize=8192)
def _are_open(members: tuple[str, ...], above: str | None) -> bool:
    """Whether members of these names, that stand together, hold nothing that is redacted for its name: such groups of
    names repeat."""
    return all(kind_of_name(member, above) is None and _is_plain(member) for member in members)


@lru_cache(maxsize=8192)
def _is_plain(name: str) -> bool:
    """Whether a member's name has nothing to redact, whoever's it is: names repeat."""
    return not may_have_forms(name)


def says_more(content: bytes, value: JSON) -> bool:
    """Whether a document may say more than was read from it: of members that are named twice only the last is read, and
    looked at. It has more quotation marks then."""
    again = write_json(value)
    return again != content and content.count(b'"') + content.count(b"\\u0022") != again.count(b'"')


def _told_name(members: Mapping[str, JSON]) -> str | None:
    """Of `{"name": "authorization", "value": ...}` the name."""
    told = members.get("name", members.get("key"))
    return told if isinstance(told, str) and "value" in members else None


def _is_header(items: Sequence[JSON]) -> bool:
    """Whether an array is a header as `["name", "value"]`."""
    return len(items) == 2 and isinstance(items[0], str) and isinstance(items[1], str)


def _free(name: str, taken: Mapping[str, JSON]) -> str:
    """A member name; numbered where two names have become one."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}#{number}", number + 1
    return free


def _notation(text: str) -> str:
    """A text in the one notation that is hashed: letters composed, a moment in UTC."""
    return instant(unicodedata.normalize("NFC", text))


def _phone(text: str) -> str:
    """A phone number as its digits, with the international prefix in one notation."""
    digits = _NOT_DIGITS.sub("", text)
    return digits.removeprefix("00") if not text.lstrip().startswith("+") else digits
