"""No pattern of ours takes more than about as long as the text is: whoever writes the text would stop a process by it.

Each is tried on texts that are made to be hard: one thing repeated without the end that would make it match.
"""

from __future__ import annotations

import pkgutil
import re
import time
from collections.abc import Iterator
from importlib import import_module

import orjson
import pytest

import api
import comparators
import shadow
from comparators.kinds.address import recipients
from comparators.signature import generalised
from shadow.effects.redaction import Redactor

LENGTH = 4_000
"""At which the square of it shows: a pattern that takes it needs some 0.1 s, and one that does not some 0.0001."""
LONGEST = 0.05
UNITS = (
    " ",
    "a",
    "0",
    "<",
    '"',
    "\\",
    "-",
    ".",
    "[",
    "&",
    "=",
    "@",
    "a.",
    "a ",
    "0-",
    "<a",
    "a@",
    "a=",
    "\n ",
    "'",
    ":",
)
HEADS = ("", "<", '"', "@", "a@", "http://", "+")
ANCHORED = {
    "comparators.kinds.form._FIELD": "asked by fullmatch alone, which begins at one place",
    "shadow.platforms.transport._HEAD": "asked by match alone, which begins at one place",
}


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """Every pattern that a module of ours keeps."""
    seen = set()
    for package in (comparators, shadow, api):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if any(part in module.name for part in ("migrations", "__main__", ".demo", ".cli")):
                continue
            for name, value in vars(import_module(module.name)).items():
                if isinstance(value, re.Pattern) and value not in seen:
                    seen.add(value)
                    yield f"{module.name}.{name}", value


def took(pattern: re.Pattern[str] | re.Pattern[bytes], text: str, ask: str) -> float:
    """CPU seconds of one look; the best of three, as others work beside."""
    subject = text if isinstance(pattern.pattern, str) else text.encode()
    found = []
    for _ in range(3):
        begun = time.thread_time()
        getattr(pattern, ask)(subject)
        found.append(time.thread_time() - begun)
        if found[-1] < LONGEST:
            break
    return min(found)


@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*one, id=one[0]) for one in patterns()])
def test_a_pattern_takes_no_longer_than_the_text_is(name: str, pattern: re.Pattern[str] | re.Pattern[bytes]) -> None:
    asks = ("fullmatch",) if name in ANCHORED else ("search",)
    for unit in UNITS:
        for head in HEADS:
            text = head + unit * (LENGTH // len(unit)) + "\0"
            for ask in asks:
                assert took(pattern, text, ask) < LONGEST, (head, unit)


def test_a_field_that_holds_no_mailbox_is_redacted_in_no_time() -> None:
    """As a pattern it took the cube of it: a thousand spaces took five seconds."""
    redactor = Redactor(b"k" * 32)
    document = orjson.dumps({"to": "<" + " " * 100_000, "from": "Zoe Fox " + " " * 50_000 + "<zoe@x.test>"})
    begun = time.thread_time()
    told = orjson.loads(redactor.document(document))
    assert time.thread_time() - begun < 1
    assert told["to"] == "<" + " " * 100_000
    assert "Zoe" not in told["from"]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Zoe <z@x.test>, Bob  <b@x.test>", r"~name:\w+ <~email:.+>, ~name:\w+  <~email:.+>"),
        ("<z@x.test>", r"<~email:.+>"),
        ("a; Zoe Fox\n <z@x.test> b", r"a; ~name:\w+\n <~email:.+> b"),
    ],
)
def test_the_names_of_mailboxes_are_redacted_where_they_stand(text: str, redacted: str) -> None:
    told = orjson.loads(Redactor(b"k" * 32).document(orjson.dumps({"to": text})))["to"]
    assert re.fullmatch(redacted, told), told


def test_an_address_that_never_ends_is_read_in_no_time() -> None:
    begun = time.thread_time()
    recipients("a" + " " * 200_000 + "a>")
    assert time.thread_time() - begun < 1


def test_a_long_key_gets_its_signature_in_no_time() -> None:
    begun = time.thread_time()
    generalised(("a" * 100_000, "b@" + "a" * 100_000))
    assert time.thread_time() - begun < 1
