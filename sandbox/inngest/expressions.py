"""The part of CEL which Inngest expressions use in practice: paths, comparisons, logic, arithmetic, string
methods.

`event.data.total > 100 && event.data.tenant == async.data.tenant` and the like. A path that does not exist
is null, which equals only null and is never smaller or larger than anything.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Scope = Mapping[str, Any]
Evaluation = Callable[[Scope], Any]

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<symbol>&&|\|\||==|!=|<=|>=|[-+*/%!<>.()\[\],?:]))"""
)
LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
METHODS: dict[str, Callable[..., Any]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "lowerAscii": str.lower,
    "upperAscii": str.upper,
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "size": len,
    "string": lambda value: str(value).lower() if isinstance(value, bool) else str(value),
    "int": int,
    "double": float,
    "has": lambda value: value is not None,
}


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Evaluation:
    """Compile an expression. Raises ValueError that quotes the expression when it cannot be read."""
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read expression {text!r} at character {position}")
        tokens.append(match.group().strip())
        position = match.end()
    parser = _Parser(tokens, text)
    evaluation = parser.ternary()
    if parser.peek() is not None:
        raise ValueError(f"cannot read expression {text!r} at {parser.peek()!r}")
    return evaluation


def holds(text: str | None, scope: Scope) -> bool:
    """Whether an expression is true; no expression always is, one that fails on its data never is."""
    if not text:
        return True
    try:
        return compile_expression(text)(scope) is True
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return False


def key_of(text: str | None, scope: Scope) -> str:
    """The value of a key expression as text; empty without an expression."""
    return str(compile_expression(text)(scope)) if text else ""


class _Parser:
    def __init__(self, tokens: list[str], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._position = 0

    def peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self) -> str:
        token = self.peek()
        if token is None:
            raise ValueError(f"expression {self._text!r} ends too early")
        self._position += 1
        return token

    def _expect(self, wanted: str) -> None:
        found = self._take()
        if found != wanted:
            raise ValueError(f"cannot read expression {self._text!r}: expected {wanted!r}, found {found!r}")

    def ternary(self) -> Evaluation:
        condition = self._either()
        if self.peek() != "?":
            return condition
        self._take()
        yes = self.ternary()
        self._expect(":")
        no = self.ternary()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _either(self) -> Evaluation:
        left = self._both()
        while self.peek() == "||":
            self._take()
            left = _or(left, self._both())
        return left

    def _both(self) -> Evaluation:
        left = self._comparison()
        while self.peek() == "&&":
            self._take()
            left = _and(left, self._comparison())
        return left

    def _comparison(self) -> Evaluation:
        left = self._sum()
        while self.peek() in COMPARISONS:
            left = _compare(self._take(), left, self._sum())
        return left

    def _sum(self) -> Evaluation:
        left = self._product()
        while self.peek() in ("+", "-"):
            left = _calculate(self._take(), left, self._product())
        return left

    def _product(self) -> Evaluation:
        left = self._unary()
        while self.peek() in ("*", "/", "%"):
            left = _calculate(self._take(), left, self._unary())
        return left

    def _unary(self) -> Evaluation:
        if self.peek() == "!":
            self._take()
            operand = self._unary()
            return lambda scope: not operand(scope)
        if self.peek() == "-":
            self._take()
            negated = self._unary()
            return lambda scope: -negated(scope)
        return self._path()

    def _path(self) -> Evaluation:
        value = self._primary()
        while self.peek() in (".", "["):
            if self._take() == "[":
                index = self.ternary()
                self._expect("]")
                value = _indexed(value, index)
                continue
            name = self._take()
            if self.peek() == "(":
                if name not in METHODS:
                    raise ValueError(f"expression {self._text!r} calls {name!r}, which is not supported here")
                value = _called(METHODS[name], [value, *self._arguments()])
            else:
                value = _indexed(value, _constant(name))
        return value

    def _arguments(self) -> list[Evaluation]:
        self._expect("(")
        found: list[Evaluation] = []
        while self.peek() != ")":
            found.append(self.ternary())
            if self.peek() != ")":
                self._expect(",")
        self._expect(")")
        return found

    def _primary(self) -> Evaluation:
        token = self._take()
        if token == "(":
            inner = self.ternary()
            self._expect(")")
            return inner
        if token == "[":
            items: list[Evaluation] = []
            while self.peek() != "]":
                items.append(self.ternary())
                if self.peek() != "]":
                    self._expect(",")
            self._take()
            return lambda scope: [item(scope) for item in items]
        if token[0].isdigit():
            return _constant(float(token) if "." in token else int(token))
        if token[0] in "\"'":
            return _constant(re.sub(r"\\(.)", r"\1", token[1:-1]))
        if token in LITERALS:
            return _constant(LITERALS[token])
        if self.peek() == "(":
            if token not in FUNCTIONS:
                raise ValueError(f"expression {self._text!r} calls {token!r}, which is not supported here")
            return _called(FUNCTIONS[token], self._arguments())
        if not token[0].isalpha() and token[0] != "_":
            raise ValueError(f"cannot read expression {self._text!r} at {token!r}")
        return lambda scope: scope.get(token)


def _constant(value: Any) -> Evaluation:
    return lambda scope: value


def _or(left: Evaluation, right: Evaluation) -> Evaluation:
    return lambda scope: bool(left(scope)) or bool(right(scope))


def _and(left: Evaluation, right: Evaluation) -> Evaluation:
    return lambda scope: bool(left(scope)) and bool(right(scope))


def _compare(sign: str, left: Evaluation, right: Evaluation) -> Evaluation:
    compare = COMPARISONS[sign]

    def evaluate(scope: Scope) -> bool:
        first, second = left(scope), right(scope)
        if sign not in ("==", "!=") and (second is None or (first is None and sign != "in")):
            return False
        return bool(compare(first, second))

    return evaluate


def _calculate(sign: str, left: Evaluation, right: Evaluation) -> Evaluation:
    calculate = ARITHMETIC[sign]
    return lambda scope: calculate(left(scope), right(scope))


def _called(function: Callable[..., Any], arguments: list[Evaluation]) -> Evaluation:
    return lambda scope: function(*(argument(scope) for argument in arguments))


def _indexed(value: Evaluation, index: Evaluation) -> Evaluation:
    def evaluate(scope: Scope) -> Any:
        container, key = value(scope), index(scope)
        if isinstance(container, Mapping):
            return container.get(key)
        if isinstance(container, list) and isinstance(key, int) and -1 < key < len(container):
            return container[key]
        return None

    return evaluate
