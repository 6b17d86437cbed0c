"""Bodies of HTTP calls: read by their content type, then by what they are shaped like."""

from __future__ import annotations

from collections.abc import Callable

from comparators import nesting
from comparators.canonical import JSON, plain
from comparators.kinds import analytics, form, graphql_query, meta, multipart, slack, xml_text
from comparators.kinds.headers import media_type
from comparators.kinds.mail import is_mail, mail
from comparators.kinds.text import line_ends

FORM = "application/x-www-form-urlencoded"
_XML = ("application/xml", "text/xml", "application/soap+xml")
_GRAPHQL = "application/graphql"


def body(value: JSON, content_type: str = "") -> JSON:
    """A body in its normal notation.

    Args:
        content_type: as the call said it; "" where it is not known.
    """
    media = media_type(content_type)
    if isinstance(value, str):
        value = _read(value, content_type, media)
    elif isinstance(value, dict) and (media == FORM or (not media and _is_flat_form(value))):
        value = form.nested(value)
    elif isinstance(value, list) and media.startswith("multipart/") and multipart.are_parts(value):
        value = multipart.by_name(value)
    return _shaped(value)


def _read(text: str, content_type: str, media: str) -> JSON:
    if media == FORM:
        return _or_text(lambda: form.fields(text), text)
    if media.startswith("multipart/"):
        return _or_text(lambda: multipart.parts(text.encode(errors="surrogateescape"), content_type), text)
    if media == _GRAPHQL and (query := graphql_query.normal_query(text)) is not None:
        return {"query": query}
    if media in _XML or media.endswith("+xml") or text.startswith("<?xml"):
        read = xml_text.read(text)
        return line_ends(text) if read is None else read
    if text.lstrip()[:1] in ("{", "["):
        return _or_text(lambda: plain(nesting.read(text, nesting.DEEPEST_EMBEDDED)), text)
    return line_ends(text)


def _or_text(read: Callable[[], JSON], text: str) -> JSON:
    try:
        return read()
    except (ValueError, LookupError, AttributeError, TypeError):
        # Text that merely begins like a document stays text.
        return line_ends(text)


def _is_flat_form(value: dict[str, JSON]) -> bool:
    """Whether these can only be the fields of a form: texts, and names that no JSON body has."""
    return any(name.endswith("]") for name in value) and all(
        isinstance(held, str) or (isinstance(held, list) and all(isinstance(item, str) for item in held))
        for held in value.values()
    )


def _shaped(value: JSON) -> JSON:
    if is_mail(value):
        return mail(value)
    for shape in (graphql_query.request, slack.message, meta.conversions, analytics.hits):
        value = shape(value)
    return value
