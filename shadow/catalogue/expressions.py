"""Expressions: how the catalogue says where a value comes from.

    "$.a.b"                                      the first match of a JSONPath in the document
    "header:x-name"                              a request header
    {"path": ..., "as": CAST, "optional": true}  the same with a cast, or allowed to find nothing
    {"lookup": TABLE, "key": EXPRESSION, "else": LITERAL}
    {"value": LITERAL}                           itself, whatever it looks like
    {"build": {...}}                             a mapping or list, whatever its keys are called
    {...}, [...]                                 built from the expressions in it
    anything else                                itself

They are compiled once, into closures, and evaluated for every event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from jsonpath import JSONPathError

from shadow.catalogue.casts import CASTS, CastFailed, kind_of
from shadow.catalogue.paths import JSON, MISSING, Missing, Walk, only_member, walk
from shadow.catalogue.problems import Path, dotted, one_of

Tables = Mapping[str, Mapping[str, JSON]]


@dataclass(slots=True)  # not frozen: made for every event, and freezing doubles what that costs
class Document:
    """What expressions are evaluated on. Results may share parts with `body`."""

    body: JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    tables: Tables = field(default_factory=dict)


class ExpressionError(ValueError):
    """An expression that can never be evaluated; found when the catalogue is loaded."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        self.path = path
        """Within the expression."""
        self.found = found
        self.expected = expected
        super().__init__(f"{dotted(path) or 'expression'}: found {found}, expected {expected}")


class MappingFailed(ValueError):
    """An event from which an expression cannot make its value. Says kinds and keys, not the event's values."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        self.where = where
        """The expression's key in the catalogue."""
        self.expected = expected
        self.found = found
        super().__init__(f"{where}: found {found}, expected {expected}")


Evaluate = Callable[[Document], "JSON | Missing"]


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """An expression that is ready to be evaluated."""

    source: JSON
    """As it stands in the catalogue."""
    find: Evaluate = field(repr=False, compare=False)
    """As `evaluate`, but `MISSING` where an optional path found nothing."""

    def evaluate(self, document: Document) -> JSON:
        """The value; None also where an optional path found nothing.

        Raises:
            MappingFailed: a path or header found nothing, a cast or lookup failed.
        """
        value = self.find(document)
        return None if value is MISSING else value


@dataclass(frozen=True, slots=True)
class _Scope:
    """What an expression may refer to, and where it stands."""

    where: str
    tables: Collection[str] | None
    headers: bool

    def at(self, path: Path) -> str:
        inner = dotted(path)
        return self.where + (inner if inner.startswith("[") or not inner else f".{inner}")


def compile(
    expression: JSON,
    *,
    where: str = "expression",
    tables: Collection[str] | None = None,
    headers: bool = True,
    optional: bool = False,
) -> CompiledExpression:
    """Make an expression ready to be evaluated.

    Args:
        where: its key in the catalogue, for `MappingFailed`.
        tables: the names that a lookup may use; None allows all.
        headers: whether there is a request whose headers can be read.
        optional: treat a bare path or header as if it said `optional: true`.

    Raises:
        ExpressionError: a bad path, an unknown table or cast, a header where there is none.
    """
    scope = _Scope(where, tables, headers)
    if optional and isinstance(expression, str) and _refers(expression):
        return CompiledExpression(expression, _reference(expression, None, True, scope, ()))
    return CompiledExpression(expression, _compiled(expression, scope, ()))


def _refers(text: str) -> bool:
    return text.startswith(("$", "header:"))


def _compiled(expression: JSON, scope: _Scope, path: Path) -> Evaluate:
    if isinstance(expression, str):
        return _reference(expression, None, False, scope, path) if _refers(expression) else _literal(expression)
    if isinstance(expression, list):
        return _list([_compiled(item, scope, (*path, index)) for index, item in enumerate(expression)])
    if not isinstance(expression, dict):
        return _literal(expression)
    if "path" in expression:
        return _path_form(expression, scope, path)
    if "lookup" in expression:
        return _lookup_form(expression, scope, path)
    if expression.keys() == {"value"}:
        return _literal(expression["value"])
    if expression.keys() == {"build"}:
        built = expression["build"]
        if isinstance(built, dict):
            return _mapping(built, scope, (*path, "build"))
        return _compiled(built, scope, (*path, "build"))
    return _mapping(expression, scope, path)


def _literal(value: JSON) -> Evaluate:
    return lambda _: value


def _list(items: list[Evaluate]) -> Evaluate:
    def build(document: Document) -> JSON:
        values = [item(document) for item in items]
        return [None if value is MISSING else value for value in values]

    return build


def _mapping(expression: dict[str, JSON], scope: _Scope, path: Path) -> Evaluate:
    members = [(key, _compiled(value, scope, (*path, key))) for key, value in expression.items()]

    def build(document: Document) -> JSON:
        built: dict[str, JSON] = {}
        for key, evaluate in members:
            value = evaluate(document)
            if value is not MISSING:
                built[key] = value
        return built

    return build


def _known_keys(expression: dict[str, JSON], known: tuple[str, ...], path: Path) -> None:
    for key in expression:
        if key not in known:
            raise ExpressionError(
                (*path, key),
                f"the key {key!r} beside {known[0]!r}",
                f"{one_of(known, key)}; to make a mapping with a key {known[0]!r}, wrap it: {{build: ...}}",
            )


def _path_form(expression: dict[str, JSON], scope: _Scope, path: Path) -> Evaluate:
    _known_keys(expression, ("path", "as", "optional"), path)
    target, cast, optional = expression["path"], expression.get("as"), expression.get("optional", False)
    if not isinstance(target, str) or not _refers(target):
        raise ExpressionError((*path, "path"), kind_of(target), "a JSONPath ($...) or header:NAME")
    if cast is not None and (not isinstance(cast, str) or cast not in CASTS):
        found = repr(cast) if isinstance(cast, str) else kind_of(cast)
        raise ExpressionError((*path, "as"), found, one_of(CASTS, cast if isinstance(cast, str) else ""))
    if not isinstance(optional, bool):
        raise ExpressionError((*path, "optional"), kind_of(optional), "true or false")
    return _reference(target, cast, optional, scope, path, (*path, "path"))


def _reference(
    target: str, cast: str | None, optional: bool, scope: _Scope, path: Path, at: Path | None = None
) -> Evaluate:
    """A JSONPath or header; `at` is where the text itself stands when `path` is the form around it."""
    read = _reader(target, scope, path if at is None else at)
    where, expected = scope.at(path), f"a value at {target}"
    if cast is None:
        if optional:
            return read
        if target.startswith("header:"):
            return _of_headers(_header(target), where, expected)

        def required(document: Document) -> JSON:
            value = read(document)
            if value is MISSING:
                raise MappingFailed(where, expected, "nothing")
            return value

        return required

    convert = CASTS[cast]

    def converted(document: Document) -> JSON | Missing:
        value = read(document)
        if value is MISSING or (value is None and optional):
            if optional:
                return value
            raise MappingFailed(where, expected, "nothing")
        try:
            return convert(value)
        except CastFailed as error:
            raise MappingFailed(where, f"{error.expected} at {target}", error.found) from None

    return converted


def _reader(target: str, scope: _Scope, path: Path) -> Evaluate:
    if target.startswith("header:"):
        name = _header(target)
        if not scope.headers:
            raise ExpressionError(path, repr(target), "no header: only webhook sources have a request to read")
        if not name:
            raise ExpressionError(path, repr(target), "a name after header:")
        return lambda document: document.headers.get(name, MISSING)
    try:
        find = walk(target)
    except ValueError as error:
        raise ExpressionError(
            path, f"{target!r} ({error})", "a JSONPath as in RFC 9535 (or {value: ...} for text that starts with $)"
        ) from None
    if (member := only_member(target)) is not None:
        return _of_body(member)
    return _in_body(find, scope.at(path), target)


def _header(target: str) -> str:
    return target.removeprefix("header:").strip().lower()


def _of_headers(name: str, where: str, expected: str) -> Evaluate:
    """A header that must be there."""

    def read(document: Document) -> JSON:
        value = document.headers.get(name, MISSING)
        if value is MISSING:
            raise MappingFailed(where, expected, "nothing")
        return value

    return read


def _of_body(name: str) -> Evaluate:
    def read(document: Document) -> JSON | Missing:
        body = document.body
        return body.get(name, MISSING) if isinstance(body, dict) else MISSING

    return read


def _in_body(find: Walk, where: str, target: str) -> Evaluate:
    def read(document: Document) -> JSON | Missing:
        try:
            return find(document.body)
        except (JSONPathError, RecursionError):
            raise MappingFailed(where, f"a document shallow enough for {target}", "one nested too deeply") from None

    return read


def _lookup_form(expression: dict[str, JSON], scope: _Scope, path: Path) -> Evaluate:
    _known_keys(expression, ("lookup", "key", "else"), path)
    table = expression["lookup"]
    if not isinstance(table, str) or (scope.tables is not None and table not in scope.tables):
        found = repr(table) if isinstance(table, str) else kind_of(table)
        raise ExpressionError(
            (*path, "lookup"),
            found,
            f"{one_of(scope.tables, found)}" if scope.tables else "no lookup: only webhook sources have tables",
        )
    if "key" not in expression:
        raise ExpressionError(path, "no key", "a key: the expression that says which row")
    key = _compiled(expression["key"], scope, (*path, "key"))
    fallback: JSON | Missing = expression.get("else", MISSING)
    where = scope.at(path)

    def look_up(document: Document) -> JSON:
        wanted = key(document)
        row: JSON | Missing = MISSING
        if isinstance(wanted, str | int) and not isinstance(wanted, bool):
            row = document.tables.get(table, {}).get(str(wanted), MISSING)
        if row is not MISSING:
            return row
        if fallback is not MISSING:
            return fallback
        # The key is named: without it nobody can add the row that is missing.
        named = isinstance(wanted, str | int)
        found = repr(wanted)[:100] if named else "nothing" if wanted is MISSING else kind_of(wanted)
        raise MappingFailed(where, f"a row of the table {table}", found)

    return look_up
