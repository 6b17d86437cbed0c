"""The reference pages keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.api.control.test_openapi import PROMISED

REFERENCE = Path(__file__).parents[4] / "docs" / "reference"


def test_the_api_page_lists_every_operation_and_no_other() -> None:
    text = (REFERENCE / "api.md").read_text()
    listed = {(method.lower(), path) for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", text)}
    assert listed == PROMISED


def test_the_glossary_explains_the_words_of_the_architecture() -> None:
    words = set(re.findall(r"^\| \*\*([\w ]+)\*\*", (REFERENCE / "glossary.md").read_text(), re.M))
    emphasised = set(re.findall(r"(?<!\*)\*(\w+)\*(?!\*)", (REFERENCE.parents[1] / "ARCHITECTURE.md").read_text()))
    singular = {
        {"differences": "difference", "effects": "effect", "tallies": "tally"}.get(word, word) for word in emphasised
    }
    assert singular - words == set()
