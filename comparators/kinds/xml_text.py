"""XML: elements, attributes and text as JSON, so that a difference has a path. Prefixes and indents are notation."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, XMLParser

from comparators.canonical import JSON
from comparators.kinds.text import line_ends

_DEEPEST = 200


def read(text: str) -> JSON:
    """An XML document as `{tag: content}`; None for what is none.

    The content of an element is its text, or `{"@name": attribute, "#": [text and elements, in their order]}`. A
    name in a namespace is written `{namespace}name`.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None  # entities can mean anything, and grow
    try:
        parser = XMLParser()  # noqa: S314  # without a document type there are no entities
        parser.feed(text)
        root = parser.close()
        return {root.tag: _content(root, 0)}
    except (ParseError, ValueError, RecursionError):
        return None


def _content(element: Element, depth: int) -> JSON:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    children: list[JSON] = []
    _add(children, element.text, among_elements=len(element) > 0)
    for child in element:
        if isinstance(child.tag, str):  # no comment
            children.append({child.tag: _content(child, depth + 1)})
        _add(children, child.tail, among_elements=True)
    attributes: dict[str, JSON] = {f"@{name}": value for name, value in element.attrib.items()}
    if not attributes:
        if not children:
            return ""
        if len(children) == 1 and isinstance(children[0], str):
            return children[0]
    return {**attributes, "#": children} if children else attributes


def _add(children: list[JSON], text: str | None, *, among_elements: bool) -> None:
    if text and (not among_elements or text.strip()):
        children.append(line_ends(text))
