"""Pydantic's errors as findings: keys without its union tags, what was found without secrets, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shadow.catalogue.casts import kind_of
from shadow.catalogue.model import Catalogue
from shadow.catalogue.problems import Finding, Path, one_of

SECRET_KEYS = frozenset(
    {"secret_key", "event_key", "signing_key", "secrets", "keys", "headers", "report_keys", "secret", "dsn"},
)
"""Keys whose values are never shown."""

_KINDS = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "time_delta_type": "a duration such as 500ms, 30s, 10m, 2h or 7d",
}
_BOUNDS = {
    "greater_than": ("gt", "a value above {}"),
    "greater_than_equal": ("ge", "a value of at least {}"),
    "less_than": ("lt", "a value below {}"),
    "less_than_equal": ("le", "a value of at most {}"),
}

_TAGS = {
    "kind": "trigger.dev, inngest, http, webhook",
    "type": "exact, number, money, timestamp, id, text, url, set, list, json, presence, pattern",
}
"""What may stand in a key that tells models apart, where pydantic says it not."""

_CONTAINERS = ("a mapping", "a list")

Raw = Callable[[Path], str | None]
"""The text of a scalar as it stands in the file, so that no variable's value is shown."""


def findings(error: ValidationError, document: Any, raw: Raw) -> list[Finding]:
    """One finding for each error of validating `document` as a `Catalogue`."""
    return [
        _finding(detail, document, raw)
        for detail in error.errors(include_url=False)
        # A list whose only item is wrong counts as empty too.
        if not (detail["type"] == "too_short" and detail["input"])
    ]


def _finding(detail: ErrorDetails, document: Any, raw: Raw) -> Finding:
    path = _untagged(detail["loc"])
    kind = detail["type"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    match kind:
        case "missing":
            return Finding(path, "nothing", "this key")
        case "extra_forbidden":
            key = str(path[-1])
            return Finding(path, f"the unknown key {key!r}", one_of(fields_at(path[:-1], document), key), at_key=True)
        case "union_tag_not_found":
            return Finding((*path, _tagged_by(context)), "nothing", f"one of {_tags(context)}")
        case "union_tag_invalid":
            tag = str(context.get("tag"))
            return Finding((*path, _tagged_by(context)), repr(tag), one_of(_tags(context).split(", "), tag))
        case _:
            if _KINDS.get(kind) in _CONTAINERS and value is not None:
                # What stands in the place of a whole platform might be its key.
                return Finding(path, kind_of(value), _KINDS[kind])
            return Finding(path, _found(path, value, raw), _expected(kind, context, detail["msg"], value))


def fields_at(path: Path, document: Any) -> tuple[str, ...]:
    """The keys that the mapping at `path` may have: its model's fields; none for free mappings."""
    annotation: Any = Catalogue
    for part in path:
        document = _inner(document, part)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field is not None else None
        else:
            # dict[str, X] and tuple[X, ...]: what they hold.
            held = get_args(annotation)
            annotation = None if not held else held[1] if get_origin(annotation) is dict else held[0]
        annotation = _chosen(annotation, document)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return tuple(annotation.model_fields)
    return ()


def _chosen(annotation: Any, value: Any) -> Any:
    """The model among alternatives: by `kind`, or the one that is not None."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    models = [option for option in get_args(annotation) if hasattr(option, "model_fields")]
    for model in models:
        for tag in ("kind", "type"):
            field = model.model_fields.get(tag)
            if field is not None and isinstance(value, dict) and value.get(tag) in get_args(field.annotation):
                return model
    return models[0] if len(models) == 1 else annotation


def _inner(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) else None


def _untagged(loc: tuple[int | str, ...]) -> Path:
    """Where pydantic puts the kind of a platform or source, or the type of a rule, the file has nothing."""
    if len(loc) > 2 and loc[0] in ("platforms", "sources"):
        loc = (*loc[:2], *loc[3:])
    if "rules" in loc:
        rule = loc.index("rules")
        if loc[rule + 1 : rule + 2] == ("values",) and len(loc) > rule + 3:
            loc = (*loc[: rule + 3], *loc[rule + 4 :])
    return loc


def _tagged_by(context: Mapping[str, Any]) -> str:
    return str(context.get("discriminator", "'kind'")).strip("'")


def _tags(context: Mapping[str, Any]) -> str:
    listed = context.get("expected_tags") or _TAGS[_tagged_by(context)]
    return str(listed).replace("'", "")


def _found(path: Path, value: Any, raw: Callable[[Path], str | None]) -> str:
    secret = any(part in SECRET_KEYS for part in path) or (path[:1] == ("notifications",) and path[-1:] == ("url",))
    written = raw(path)
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "an empty list" if value in ([], ()) else kind_of(value)
    if secret:
        return "an empty text" if value == "" else f"{kind_of(value)} (not shown)"
    if isinstance(value, str):
        return repr(value if written is None else written)[:100]
    return str(value)


def _expected(kind: str, context: Mapping[str, Any], message: str, value: Any) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return text.format(context[name])
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return one_of(allowed, value if isinstance(value, str) else "")
    if kind in ("too_short", "string_too_short"):
        return "some text" if isinstance(value, str) else "at least one"
    return message[0].lower() + message[1:]
