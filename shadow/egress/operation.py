"""What a target declares of its operations, compiled: from a method and an address to the operation it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comparators.canonical import canonical
from comparators.generated import take_apart
from comparators.regular import Regular
from shadow.catalogue import Document
from shadow.catalogue import expressions as catalogue_expressions
from shadow.catalogue.expressions import CompiledExpression
from shadow.catalogue.outside import Operation, Stub, Target
from shadow.catalogue.paths import MISSING, Walk, walk
from shadow.egress.address import Address
from shadow.egress.disposition import CallEffect
from shadow.model.json_text import write_json

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PLACEHOLDER = re.compile(r"\{(\+?)([A-Za-z_][A-Za-z0-9_]*)\}")
_IDEMPOTENCY_KEY = "idempotency-key"
_OVERRIDING = ("x-http-method-override", "x-http-method", "x-method-override")
"""Headers by which a call may be something else to its server than its method says, or the catalogue."""
_IDENTITY_SEPARATOR = " / "
_SEGMENT = "\x00"
"""Between segments when they are matched: no segment can hold it."""


@dataclass(frozen=True, slots=True)
class CompiledStub:
    """The declared answer to a write that must not leave."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: CompiledExpression | None

    def answer(self, document: Mapping[str, Any]) -> bytes:
        """The body, for that call.

        Raises:
            MappingFailed: the call lacks what the stub says back.
        """
        if self.body is None:
            return b""
        value = self.body.evaluate(Document(document))
        if isinstance(value, str) and not self._is_json:
            return value.encode()
        return write_json(value)

    @property
    def _is_json(self) -> bool:
        given = [value for name, value in self.headers if name.lower() == "content-type"]
        return not given or "json" in given[0]


@dataclass(frozen=True, slots=True)
class MatchedOperation:
    """What a call is."""

    template: str
    """`POST /v1/transfers/{id}`: the operation's name in the ledger."""
    effect: CallEffect
    kind: str
    params: Mapping[str, str]
    declared: bool
    stub: CompiledStub | None
    _identity: tuple[Walk, ...]
    _key_header: str | None
    _key_path: Walk | None

    @property
    def writes(self) -> bool:
        return self.effect is CallEffect.WRITE

    def identity(self, document: Mapping[str, Any]) -> str | None:
        """What makes this call that call: the declared values, else the path's parameters, else nothing."""
        found = [value for path in self._identity if (value := path(dict(document))) is not MISSING]
        if found:
            return _IDENTITY_SEPARATOR.join(map(_as_text, found))
        return _IDENTITY_SEPARATOR.join(self.params.values()) or None

    def idempotency_key(self, headers: Mapping[str, str], document: Mapping[str, Any]) -> str | None:
        """The provider's idempotency key, where the call carries one."""
        if self._key_path is not None:
            value = self._key_path(dict(document))
            return None if value is MISSING or value is None else _as_text(value)
        return headers.get(self._key_header or _IDEMPOTENCY_KEY) or None


@dataclass(frozen=True, slots=True)
class _Compiled:
    method: str
    named: Callable[[str], Mapping[str, str] | None]
    """The parameters of a path that is of the template; None of any other."""
    path: str
    effect: CallEffect | None
    kind: str
    stub: CompiledStub | None
    identity: tuple[Walk, ...]
    key_header: str | None
    key_path: Walk | None


@dataclass(frozen=True, slots=True)
class Operations:
    """A target's operations, the first that fits a call is what it is."""

    _declared: tuple[_Compiled, ...]
    _kind: str
    _stub: CompiledStub | None
    _undeclared_allowed: bool = field(default=True)

    @classmethod
    def of(cls, name: str, target: Target) -> Operations:
        """Compile what the target declares.

        Raises:
            ExpressionError: a stub's body can never be made.
            ValueError: a JSONPath is none.
        """
        fallback = _stub(target.stub, f"targets.{name}.stub")
        declared = tuple(
            _compiled(operation, target, fallback, f"targets.{name}.operations[{index}]")
            for index, operation in enumerate(target.operations)
        )
        return cls(declared, target.kind, fallback, target.undeclared == "allow")

    def match(self, method: str, address: Address, headers: Mapping[str, str]) -> MatchedOperation | None:
        """The operation that a call is; None for one that the target doesn't declare and must not be called by."""
        overridden = any(name in headers for name in _OVERRIDING)
        text = _SEGMENT.join(address.segments)
        for operation in self._declared:
            if operation.method not in ("*", method):
                continue
            found = operation.named(text)
            if found is None:
                continue
            params = {name: value.replace(_SEGMENT, "/") for name, value in found.items()}
            effect = operation.effect or _by_method(method)
            return MatchedOperation(
                template=f"{method} {operation.path}",
                effect=CallEffect.WRITE if overridden else effect,
                kind=operation.kind,
                params=params,
                declared=True,
                stub=operation.stub,
                _identity=operation.identity,
                _key_header=operation.key_header,
                _key_path=operation.key_path,
            )
        if not self._undeclared_allowed:
            return None
        path, params = _generalised(address.segments)
        return MatchedOperation(
            template=f"{method} {path}",
            effect=CallEffect.WRITE if overridden else _by_method(method),
            kind=self._kind,
            params=params,
            declared=False,
            stub=self._stub,
            _identity=(),
            _key_header=None,
            _key_path=None,
        )


def _by_method(method: str) -> CallEffect:
    return CallEffect.READ if method in _READING else CallEffect.WRITE


def _compiled(operation: Operation, target: Target, fallback: CompiledStub | None, where: str) -> _Compiled:
    method, _, path = operation.match.partition(" ")
    key = operation.idempotency_key
    return _Compiled(
        method=method,
        named=_template(path),
        path=path,
        effect=CallEffect(operation.effect) if operation.effect is not None else None,
        kind=operation.kind or target.kind,
        stub=_stub(operation.stub, f"{where}.stub") or fallback,
        identity=tuple(walk(text) for text in operation.identity),
        key_header=key.lower() if key is not None and not key.startswith("$") else None,
        key_path=walk(key) if key is not None and key.startswith("$") else None,
    )


def _stub(stub: Stub | None, where: str) -> CompiledStub | None:
    if stub is None:
        return None
    body = None
    if stub.body is not None:
        body = catalogue_expressions.compile(stub.body, where=f"{where}.body", tables=(), headers=False)
    headers = tuple(stub.headers.items())
    if body is not None and not any(name.lower() == "content-type" for name, _value in headers):
        headers = (*headers, ("content-type", "application/json"))
    return CompiledStub(stub.status, headers, body)


def _template(path: str) -> Callable[[str], Mapping[str, str] | None]:
    """A template as an expression on decoded segments, joined. `{name}` is part of one, `{+name}` spans several."""
    pieces = []
    position = 0
    text = _SEGMENT.join(segment for segment in path.split("/") if segment)
    for found in _PLACEHOLDER.finditer(text):
        pieces.append(re.escape(text[position : found.start()]))
        pieces.append(f"(?P<{found[2]}>{'.+' if found[1] else f'[^{_SEGMENT}]+'})")
        position = found.end()
    pieces.append(re.escape(text[position:]))
    expression = "(?s)" + "".join(pieces)
    parts = [_PLACEHOLDER.findall(segment) for segment in text.split(_SEGMENT)]
    if max(map(len, parts)) > 1 or sum(bool(spans) for part in parts for spans, _name in part) > 1:
        # A worker's path could be made to be cut in very many ways.
        return Regular(expression).named
    quick = re.compile(expression)

    def named(text: str) -> Mapping[str, str] | None:
        matched = quick.fullmatch(text)
        return None if matched is None else matched.groupdict()

    return named


def _generalised(segments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The path with every segment left out that looks generated or is a number, and what stood there."""
    params: dict[str, str] = {}
    shown = []
    for segment in segments:
        if segment.isdigit() or any(not token.is_instant for token in take_apart(segment).tokens):
            name = "id" if not params else f"id{len(params) + 1}"
            params[name] = segment
            shown.append(f"{{{name}}}")
        else:
            shown.append(segment)
    return "/" + "/".join(shown), params


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()
