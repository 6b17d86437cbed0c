"""Documents that are nested as deeply as somebody likes, in texts too, are hashed where they are not gone through:
nothing of them stays readable, and nothing fails."""

from __future__ import annotations

import json

import pytest

from comparators.nesting import DEEPEST
from shadow.effects.redaction import Redactor

BY = Redactor(b"acme" * 8)
SECRET = '{"password": "hunter2-hunter2", "email": "anna@shop.test"}'


def deep(levels: int, leaf: str) -> str:
    return '{"a":' * levels + leaf + "}" * levels


@pytest.mark.parametrize("levels", [1, DEEPEST - 2, DEEPEST, DEEPEST + 1, 250, 800, 1023, 5000])
def test_a_secret_stays_hidden_at_any_depth(levels: int) -> None:
    shown = BY.document(deep(levels, SECRET).encode())
    assert b"hunter2" not in shown
    assert b"anna@" not in shown


@pytest.mark.parametrize("times", [2, 4, 6])
def test_a_secret_stays_hidden_in_documents_in_texts(times: int) -> None:
    text = SECRET
    for _ in range(times):
        text = deep(120, json.dumps(text))
    shown = BY.document(text.encode())
    assert b"hunter2" not in shown
    assert b"anna@" not in shown
    assert shown == BY.document(text.encode())


def test_a_number_past_all_floats_hides_no_secret() -> None:
    shown = BY.document(b'{"password": 1e400, "token": "hunter2-hunter2", "n": 1e400}')
    assert b"hunter2" not in shown
    assert shown.endswith(b'"n":"1e400"}')
    assert shown == BY.document(b'{"password": 1e400, "token": "hunter2-hunter2", "n": 1e400}')
