"""GraphQL requests: what is asked for, whatever the text that asks for it looks like.

White space, comments, the order of arguments, of variables and of fields are notation, but for the fields that a
mutation begins with: those are done one after the other. Names, aliases and values are what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

from graphql import GraphQLError, Node, OperationType, Visitor, parse, print_ast, visit
from graphql.language import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
)

from comparators import nesting
from comparators.canonical import JSON, plain

_MEMBERS = frozenset({"query", "variables", "operationName", "extensions", "id"})
_MOST_TOKENS = 20_000
_LONGEST = 256 * 1024

AnyNode = TypeVar("AnyNode", bound=Node)


def request(value: JSON) -> JSON:
    """A request (or a batch of them) in its normal notation; what is none stays."""
    if isinstance(value, list) and value:
        read = [request(item) for item in value]
        return read if all(new is not old for new, old in zip(read, value, strict=True)) else value
    if not isinstance(value, dict) or not value.keys() <= _MEMBERS:
        return value
    text = value.get("query")
    if not isinstance(text, str) or (query := normal_query(text)) is None:
        return value
    asked: dict[str, JSON] = {**value, "query": query}
    for name in ("variables", "extensions"):
        held = asked.get(name)
        if isinstance(held, str):  # as in a form, or a URL
            try:
                asked[name] = held = plain(nesting.read(held, nesting.DEEPEST_EMBEDDED))
            except ValueError:
                continue
        if held is None or held == {}:
            asked.pop(name, None)
    if asked.get("operationName") in (None, ""):
        asked.pop("operationName", None)
    return asked


def normal_query(text: str) -> str | None:
    """A GraphQL document in its normal notation; None for what is none."""
    if len(text) > _LONGEST or "{" not in text:
        return None
    return _normal_query(text)


@lru_cache(maxsize=512)
def _normal_query(text: str) -> str | None:
    try:
        document = parse(text, no_location=True, max_tokens=_MOST_TOKENS)
        return print_ast(visit(document, _Sorting()))
    except (GraphQLError, RecursionError):
        return None


class _Sorting(Visitor):
    """Puts in order what may stand in any."""

    def leave_field(self, node: FieldNode, *_: Any) -> FieldNode:
        return _with(node, arguments=_sorted(node.arguments))

    def leave_directive(self, node: DirectiveNode, *_: Any) -> DirectiveNode:
        return _with(node, arguments=_sorted(node.arguments))

    def leave_object_value(self, node: ObjectValueNode, *_: Any) -> ObjectValueNode:
        return _with(node, fields=_sorted(node.fields))

    def leave_string_value(self, node: StringValueNode, *_: Any) -> StringValueNode:
        return _with(node, block=False)

    def leave_selection_set(self, node: SelectionSetNode, key: Any, parent: Any, *_: Any) -> SelectionSetNode:
        if isinstance(parent, OperationDefinitionNode) and parent.operation is OperationType.MUTATION:
            return node
        return _with(node, selections=_sorted(node.selections))

    def leave_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> OperationDefinitionNode:
        return _with(node, variable_definitions=_sorted(node.variable_definitions))

    def leave_document(self, node: DocumentNode, *_: Any) -> DocumentNode:
        return _with(node, definitions=_sorted(node.definitions))


def _with(node: AnyNode, **changed: Any) -> AnyNode:
    return type(node)(**{**{key: getattr(node, key) for key in node.keys}, **changed})


def _sorted(nodes: Iterable[AnyNode] | None) -> tuple[AnyNode, ...]:
    return tuple(sorted(nodes or (), key=print_ast))
