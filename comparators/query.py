"""The language of JSONPath queries (RFC 9535), with what an author or a document may not make slow.

`match` and `search` in filters are the library's by Python's engine, and the expression may be the author's or, as in
`$[?match(@.a, @.b)]`, the document's own. Here they are matched as `comparators.regular` matches.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathSyntaxError
from jsonpath.filter import StringLiteral
from jsonpath.function_extensions import ExpressionType, FilterFunction

from comparators.regular import EXPECTED, NotRegular, Regular

_MEMORY = 1 << 20
_LONGEST = 10_000
"""Of a text that is matched, and of an expression that a document holds a tenth of it; longer ones match nothing."""


@lru_cache(maxsize=64)
def _form(expression: str) -> Regular:
    return Regular(expression, memory=_MEMORY)


class _Matching(FilterFunction):
    @property
    def arg_types(self) -> list[ExpressionType]:
        return [ExpressionType.VALUE, ExpressionType.VALUE]

    @property
    def return_type(self) -> ExpressionType:
        return ExpressionType.LOGICAL

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __call__(self, value: object, expression: object) -> bool:
        if not isinstance(value, str) or not isinstance(expression, str):
            return False
        if len(value) > _LONGEST or len(expression) > _LONGEST // 10:
            return False
        try:
            form = _form(expression)
        except NotRegular:
            return False
        return form.takes(value) if self._whole else form.is_within(value)


class QueryEnvironment(JSONPathEnvironment):
    """Compiles queries. A filter whose expression could never match is refused."""

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Matching(whole=True)
        self.function_extensions["search"] = _Matching(whole=False)

    def check_well_typedness(self, token: Any, func: FilterFunction, args: list[Any]) -> None:
        super().check_well_typedness(token, func, args)
        if isinstance(func, _Matching) and isinstance(args[1], StringLiteral):
            try:
                _form(args[1].value)
            except NotRegular as error:
                raise JSONPathSyntaxError(f"{args[1].value!r} ({error}), expected {EXPECTED}", token=token) from None
