"""HTTP calls: where they went, what they asked for and what they brought, without what libraries add."""

from __future__ import annotations

from urllib.parse import parse_qsl

from comparators.canonical import JSON
from comparators.kinds.body import body
from comparators.kinds.graphql_query import request
from comparators.kinds.headers import content_type, meant
from comparators.kinds.url import collected, escapes, url

_OF_CALLS = frozenset({"method", "path", "url", "headers", "body", "query"})


def is_call(data: JSON) -> bool:
    """Whether an effect of whatever kind was recorded as a call."""
    return isinstance(data, dict) and "body" in data and "method" in data


def call(data: JSON) -> JSON:
    """A call in its normal notation. What tells nothing of a call is the body of one."""
    if not isinstance(data, dict) or not _OF_CALLS & data.keys() or _asks(data):
        return body(data)
    told = dict(data)
    if "headers" in data:
        told["headers"] = meant(data["headers"])
    if isinstance(method := data.get("method"), str):
        told["method"] = method.upper()
    if isinstance(path := data.get("path"), str):
        told["path"] = escapes(path)
    if isinstance(address := data.get("url"), str):
        told["url"] = url(address)
    if isinstance(said := data.get("content_type"), str):
        told["content_type"] = content_type(said)
    if "query" in data:
        told["query"] = _query(data["query"])
    if "body" in data:
        told["body"] = body(data["body"], _content_type(data, told["headers"] if "headers" in data else None))
    return told


def _asks(data: dict[str, JSON]) -> bool:
    """Whether this is a GraphQL request itself: its query is no query string."""
    return "body" not in data and "method" not in data and request(data) is not data


def _query(value: JSON) -> JSON:
    if isinstance(value, str):
        value = {**collected(parse_qsl(value.removeprefix("?"), keep_blank_values=True))}
    elif isinstance(value, list) and all(_is_pair(item) for item in value):
        value = {**collected((str(item[0]), str(item[1])) for item in value if isinstance(item, list))}
    return request(value)


def _is_pair(item: JSON) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _content_type(data: dict[str, JSON], headers: JSON) -> str:
    """As the call said it, boundary and all."""
    for said in (data, data.get("headers"), headers):
        if isinstance(said, dict):
            for name, value in said.items():
                if name.lower() in ("content_type", "content-type") and isinstance(value, str):
                    return value
    return ""
