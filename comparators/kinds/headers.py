"""Headers of HTTP: what a library, a proxy or a tracer adds says nothing of what was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from comparators.canonical import JSON
from comparators.protected import word_set, words

_NOISE = word_set(
    "accept accept-charset accept-encoding accept-language age baggage cache-control connection content-digest"
    " content-encoding content-length content-md5 date digest elastic-apm-traceparent expect forwarded host keep-alive"
    " newrelic pragma priority referer request-id sentry-trace te trace traceparent tracestate trailer"
    " transfer-encoding upgrade-insecure-requests user-agent via x-amzn-trace-id x-cloud-trace-context"
    " x-correlation-id x-real-ip x-request-id x-requested-with x-stripe-client-telemetry x-stripe-client-user-agent"
)
"""The body is compared itself, so what is said of its bytes is noise too."""
_NOISY_PREFIXES = (
    "x-shadow-",
    "x-forwarded-",
    "x-b3-",
    "x-datadog-",
    "x-vercel-",
    "x-stainless-",
    "sec-",
    "cf-",
)
_BEHALF = word_set(
    "account tenant organization organisation project workspace shop store site merchant location channel customer user"
    " market region impersonate behalf"
)
"""The words of `Stripe-Account`, `OpenAI-Organization`, `X-Tenant-Id`."""
_VERSIONED = word_set("app application build client integration library node package plugin python runtime sdk x")
"""What has a version that says nothing of the call: `Stripe-Version` does."""
_SECRETS = word_set("authorization auth cookie key password secret signature token")
_CONDITIONS = frozenset({("if", "match"), ("if", "none", "match"), ("prefer",), ("range",), ("content", "language")})
_CONTENT_TYPE = "content-type"


def meant(value: JSON) -> JSON:
    """Headers by lower-case name, without the noise; what is no notation of headers stays."""
    if isinstance(value, list):
        pairs = list(_pairs(value))
        if len(pairs) != len(value):
            return value
    elif isinstance(value, dict):
        pairs = [(name, held) for name, held in value.items()]
    else:
        return value
    found: dict[str, JSON] = {}
    for name, held in pairs:
        lower = name.lower()
        if lower in _NOISE or lower.startswith(_NOISY_PREFIXES):
            continue
        if isinstance(held, list) and len(held) == 1:
            held = held[0]
        if isinstance(held, str):
            held = content_type(held) if lower == _CONTENT_TYPE else held.strip()
        before = found.get(lower)
        found[lower] = f"{before}, {held}" if isinstance(before, str) and isinstance(held, str) else held
    return found


def telling(headers: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """Of the headers of a call, by lower-case name, those that say on whose behalf, under which condition or in which
    version of an API it is made. What else there may be is up to libraries, and is not kept.

    Args:
        without: names of headers that carry a credential.
    """
    return {
        name: value
        for name, value in headers.items()
        if name not in without and name not in _NOISE and not name.startswith(_NOISY_PREFIXES) and _tells(words(name))
    }


def _tells(found: tuple[str, ...]) -> bool:
    if not found or _SECRETS & set(found):
        return False
    if found[-1] == "version":
        return "api" in found or (len(found) == 2 and found[0] not in _VERSIONED)
    return bool(_BEHALF & set(found)) or found in _CONDITIONS


@lru_cache(maxsize=1024)
def content_type(text: str) -> str:
    """A content type in its normal notation. That the text is UTF-8 goes without saying; a boundary is noise."""
    media, *rest = text.split(";")
    parameters = []
    for parameter in rest:
        name, _, value = parameter.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if not name or name == "boundary" or (name == "charset" and value.lower() in ("utf-8", "utf8")):
            continue
        parameters.append(f"{name}={value.lower() if name == 'charset' else value}")
    return "; ".join([media.strip().lower(), *sorted(parameters)])


def media_type(text: str) -> str:
    """The type of a content type, without its parameters."""
    return text.partition(";")[0].strip().lower()


def _pairs(items: list[JSON]) -> Iterator[tuple[str, JSON]]:
    for item in items:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], item[1]
        elif isinstance(item, dict) and isinstance(name := item.get("name"), str) and "value" in item:
            yield name, item["value"]
