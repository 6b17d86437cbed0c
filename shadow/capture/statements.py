"""Reading SQL as workers send it: whether it may write, and which rows of which table. No I/O, no PostgreSQL.

Not a parser of SQL: what it does not understand it says so of, and the caller reports the bare statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<parameter>%\(\w+\)[sbt]|%[sbt]|\$\d+)
    | (?P<text>[eE]?'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][\w$]*)
    | (?P<sign>::|[-+*/<>=~!@\#^&|`?]+|%%|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PURE = frozenset(
    {
        "and", "any", "array", "as", "avg", "by", "cast", "coalesce", "count", "current_setting", "date_part",
        "date_trunc", "distinct", "exists", "extract", "filter", "from", "greatest", "in", "interval", "is",
        "json_agg", "json_build_object", "jsonb_agg", "jsonb_build_object", "join", "least", "length", "limit",
        "lower", "max", "min", "nextval", "not", "now", "nullif", "numeric", "on", "or", "order", "over",
        "row_number", "select", "string_agg", "sum", "then", "to_char", "union", "upper", "using", "values",
        "varchar", "when", "where"
    }
)  # fmt: skip
"""What may stand before a parenthesis in a statement that only reads."""
_READING = frozenset(("select", "show", "table", "values", "explain", "fetch", "set", "reset", "listen", "declare"))
_ROW_WRITING = frozenset(("insert", "update", "delete", "merge", "copy", "truncate"))
_ALONE = frozenset(("insert", "update", "delete", "merge", "select", "with", "copy", "truncate"))
_ENDING = {"commit": "commit", "end": "commit", "rollback": "rollback", "abort": "rollback", "savepoint": "savepoint"}


class Unknown(Enum):
    """A value that only the server knows."""

    VALUE = "value"


@dataclass(frozen=True)
class Parameter:
    """A value that is sent beside the statement, by its position or name."""

    key: int | str


Value: TypeAlias = Parameter | Unknown | str | int | float | bool | None


@dataclass(frozen=True)
class Statement:
    """One statement."""

    verb: str
    """Its first word, or `upsert`."""
    writes: bool
    """Whether it may change something."""
    table: str | None = None
    """As it was named, without quotes; None where that was not understood."""
    columns: tuple[str, ...] = ()
    """That it sets."""
    rows: tuple[tuple[Value, ...], ...] = ()
    """The values of `columns`, a row each; empty where only the server knows the rows."""
    conflict: tuple[str, ...] = ()
    """The columns of `ON CONFLICT`."""
    may_skip: bool = False
    """Whether it may leave out rows: `DO NOTHING`, or an upsert with a condition."""
    returning: bool = False
    """Whether it has a RETURNING of its own."""
    alone: bool = False
    """Whether it can be put into a transaction of its own."""
    ends: str | None = None
    """`commit`, `rollback`, `rollback to` or `savepoint`."""
    savepoint: str | None = None

    @property
    def writes_rows(self) -> bool:
        """Whether rows of a table are what it changes, by its own words."""
        return self.verb in _ROW_WRITING or self.verb == "upsert" or (self.verb == "with" and self.table is not None)

    @property
    def known(self) -> bool:
        """Whether its rows are known without asking the server."""
        return bool(self.rows) and not self.may_skip and all(Unknown.VALUE not in row for row in self.rows)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    parameter: int | str | None = None

    @property
    def low(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text


@lru_cache(maxsize=1024)
def read(text: str) -> Statement:
    """What a statement is, with psycopg's placeholders in it."""
    tokens = _tokens(text)
    first = tokens[0].low if tokens else ""
    if first in _ENDING:
        return _ending(first, tokens)
    if not _may_write(first, tokens):
        return Statement(first, writes=False)
    bare = Statement(first, writes=True, alone=first in _ALONE and not _several(tokens))
    if _several(tokens):
        return bare
    reader = _Reader(tokens)
    try:
        if first == "insert":
            return _insert(reader, bare)
        if first == "update":
            return _update(reader, bare)
        if first == "delete":
            return _delete(reader, bare)
        if first in ("merge", "copy", "truncate"):
            return _other(reader, bare)
    except _NotUnderstood:
        return bare
    return replace(bare, table="") if first == "with" and _modifies(tokens) else bare


def resolve(rows: Sequence[Sequence[Value]], parameters: Any) -> list[list[Any]]:
    """The rows with what was sent in the place of parameters."""
    return [[_resolved(value, parameters) for value in row] for row in rows]


def _resolved(value: Value, parameters: Any) -> Any:
    if not isinstance(value, Parameter):
        return value
    if isinstance(parameters, Mapping) or (isinstance(value.key, int) and value.key < len(parameters or ())):
        return parameters[value.key]
    return Unknown.VALUE


class _NotUnderstood(Exception):
    pass


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup or "sign", match.group()
        if match.group("text") is not None:
            kind = "text"
        if kind == "space":
            continue
        if kind == "parameter":
            named = re.match(r"%\((\w+)\)", found)
            if found.startswith("$"):
                tokens.append(_Token(kind, found, int(found[1:]) - 1))
            elif named:
                tokens.append(_Token(kind, found, named.group(1)))
            else:
                tokens.append(_Token(kind, found, position))
                position += 1
        else:
            tokens.append(_Token(kind, found))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    return tokens


def _several(tokens: Sequence[_Token]) -> bool:
    return any(token.text == ";" for token in tokens)


def _may_write(first: str, tokens: Sequence[_Token]) -> bool:
    if first == "with":
        return True
    if first not in _READING and first not in ("begin", "start", "release", "(", ""):
        return True
    if _several(tokens):
        return True
    if first in ("set", "reset", "show", "listen", "begin", "start", "release", "fetch", ""):
        return False
    return any(
        tokens[index + 1].text == "(" and token.kind in ("word", "quoted") and token.low not in _PURE
        for index, token in enumerate(tokens[:-1])
    ) or (first == "explain" and any(token.low in ("analyze", "analyse") for token in tokens))


def _modifies(tokens: Sequence[_Token]) -> bool:
    return any(token.low in ("insert", "update", "delete", "merge") for token in tokens)


def _ending(first: str, tokens: Sequence[_Token]) -> Statement:
    ends = _ENDING[first]
    words = [token.low for token in tokens]
    savepoint = None
    if ends == "savepoint" and len(tokens) > 1:
        savepoint = words[1]
    if ends == "rollback" and "to" in words:
        ends, savepoint = "rollback to", words[-1]
    if "prepared" in words:
        ends = "rollback"  # what is committed later, by whomever, is nobody's here
    return Statement(first, writes=False, ends=ends, savepoint=savepoint)


class _Reader:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at].low if self.at < len(self.tokens) else ""

    def take(self) -> _Token:
        if self.at >= len(self.tokens):
            raise _NotUnderstood
        self.at += 1
        return self.tokens[self.at - 1]

    def skip(self, *words: str) -> bool:
        if self.peek() in words:
            self.at += 1
            return True
        return False

    def need(self, *words: str) -> None:
        if not self.skip(*words):
            raise _NotUnderstood

    def name(self) -> str:
        """A column's or table's name, with its schema."""
        token = self.take()
        if token.kind not in ("word", "quoted"):
            raise _NotUnderstood
        found = token.text.strip('"').replace('""', '"') if token.kind == "quoted" else token.low
        return f"{found}.{self.name()}" if self.skip(".") else found

    def alias(self, *until: str) -> None:
        if self.skip("as") or self.peek() not in (*until, ""):
            self.take()

    def names(self) -> tuple[str, ...]:
        """`(a, b)`."""
        self.need("(")
        found = [self.name()]
        while self.skip(","):
            found.append(self.name())
        self.need(")")
        return tuple(found)

    def expressions(self) -> list[list[_Token]]:
        """`(x, y + 1, f(z))`, each as its tokens."""
        self.need("(")
        found: list[list[_Token]] = [[]]
        depth = 0
        while depth or self.peek() != ")":
            token = self.take()
            depth += (token.text in "([") - (token.text in ")]") if token.kind == "sign" else 0
            if token.text == "," and not depth:
                found.append([])
            else:
                found[-1].append(token)
        self.need(")")
        return found

    def has(self, word: str) -> bool:
        """Whether a word is among what is left, outside of parentheses."""
        depth = 0
        for token in self.tokens[self.at :]:
            depth += (token.text == "(") - (token.text == ")")
            if not depth and token.low == word:
                return True
        return False


def _insert(reader: _Reader, bare: Statement) -> Statement:
    reader.need("insert")
    reader.need("into")
    table = reader.name()
    reader.alias("(", "values", "default", "select", "overriding", "with")
    if reader.peek() != "(":
        return replace(bare, table=table, returning=reader.has("returning"))
    columns = reader.names()
    if reader.skip("overriding"):
        reader.take()
        reader.need("value")
    rows: list[tuple[Value, ...]] = []
    if reader.skip("values"):
        rows.append(tuple(_value(tokens) for tokens in reader.expressions()))
        while reader.skip(","):
            rows.append(tuple(_value(tokens) for tokens in reader.expressions()))
        if any(len(row) != len(columns) for row in rows):
            raise _NotUnderstood
    else:
        while reader.peek() not in ("on", "returning", ""):
            reader.take()
    conflict, verb, may_skip = _conflict(reader)
    returning = reader.has("returning")
    return replace(
        bare,
        verb=verb,
        table=table,
        columns=columns,
        rows=tuple(rows),
        conflict=conflict,
        may_skip=may_skip,
        returning=returning,
    )


def _conflict(reader: _Reader) -> tuple[tuple[str, ...], str, bool]:
    if not reader.skip("on"):
        return (), "insert", False
    reader.need("conflict")
    conflict: tuple[str, ...] = ()
    if reader.peek() == "(":
        expressions = reader.expressions()
        if all(len(tokens) == 1 and tokens[0].kind in ("word", "quoted") for tokens in expressions):
            conflict = tuple(tokens[0].text.strip('"') for tokens in expressions)
    while not reader.skip("do"):
        reader.take()
    if reader.skip("nothing"):
        return conflict, "insert", True
    return conflict, "upsert", reader.has("where")


def _update(reader: _Reader, bare: Statement) -> Statement:
    reader.need("update")
    reader.skip("only")
    table = reader.name()
    reader.alias("set")
    reader.need("set")
    columns: list[str] = []
    while True:
        columns.extend(reader.names() if reader.peek() == "(" else (reader.name(),))
        reader.need("=")
        depth = 0
        while reader.peek():
            if not depth and reader.peek() in (",", "from", "where", "returning"):
                break
            text = reader.take().text
            depth += (text in ("(", "[")) - (text in (")", "]"))
        if not reader.skip(","):
            break
    return replace(bare, table=table, columns=tuple(columns), returning=reader.has("returning"))


def _delete(reader: _Reader, bare: Statement) -> Statement:
    reader.need("delete")
    reader.need("from")
    reader.skip("only")
    return replace(bare, table=reader.name(), returning=reader.has("returning"))


def _other(reader: _Reader, bare: Statement) -> Statement:
    reader.take()
    reader.skip("into", "table")
    reader.skip("only")
    table = reader.name()
    if bare.verb == "copy" and not reader.has("from"):
        return replace(bare, writes=False)
    return replace(bare, table=table, returning=True)


def _value(tokens: Sequence[_Token]) -> Value:
    """A value that stands there itself, whatever it is cast to; else it is the server's to say."""
    kinds = [token.text for token in tokens[1:2]]
    if not tokens or (kinds and kinds != ["::"]):
        if len(tokens) == 2 and tokens[0].text == "-" and tokens[1].kind == "number":
            return _number(f"-{tokens[1].text}")
        return Unknown.VALUE
    token = tokens[0]
    if token.parameter is not None:
        return Parameter(token.parameter)
    if token.kind == "text" and token.text.startswith("'") and "\\" not in token.text:
        return token.text[1:-1].replace("''", "'")
    if token.kind == "number":
        return _number(token.text)
    return {"null": None, "true": True, "false": False}.get(token.low, Unknown.VALUE)


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
