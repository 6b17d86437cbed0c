"""What comes from elsewhere than doors and workers: paths, names of hosts, SQL, traces, catalogues, spooled items."""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson

from api.front.addressed import named
from comparators.kinds.address import recipients
from shadow.access.hosts import is_ours
from shadow.capture.statements import read
from shadow.catalogue import CatalogueError, parse
from shadow.effects.business_keys import named_in, texts_in
from shadow.effects.traceparent import Traceparent
from shadow.egress.address import BadAddress, address
from shadow.egress.calls import Answered, Call
from shadow.fanout.spooled_handoffs import Handed, Refused, Tagged
from shadow.model.json_text import parse as parse_json
from shadow.outcomes.spooled_reports import SpooledReport
from shadow.spool.encoding import decode
from tests.fuzz.doors import WORDS
from tests.fuzz.harness import Harness

_SPOOLED: tuple[type, ...] = (SpooledReport, Handed, Refused, Tagged, Call, Answered)
_CATALOGUE = (Path(__file__).parents[2] / "examples" / "catalogue.yaml").read_bytes()


def _paths(data: bytes) -> None:
    raw = b"/" + data
    found = named(raw)
    if found is not None:
        assert found.startswith(b"/")
        assert not {b".", b".."} & set(found.split(b"/")), "it climbs"
    with contextlib.suppress(BadAddress):
        segments = address(raw).segments
        assert not {".", ".."} & set(segments), "it climbs"
    is_ours(data.decode("latin-1"), ["shadow.test"])


def _traceparent(data: bytes) -> None:
    text = data.decode("latin-1")
    found = Traceparent.read(text)
    assert found is None or Traceparent.read(str(found)) == found


def _statements(data: bytes) -> None:
    read(data.decode("utf-8", errors="replace"))


def _catalogue(data: bytes) -> None:
    try:
        parse(data.decode("utf-8", errors="replace"), "fuzz.yaml", {})
    except CatalogueError as error:
        str(error)


def _spooled(data: bytes) -> None:
    for kind in _SPOOLED:
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            decode(kind, data)


def _keys(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    recipients(text)
    try:
        document = parse_json(data)
    except ValueError:
        document = text
    named_in(texts_in(document))


HARNESSES = [
    Harness(
        "paths", _paths, [b"api/v1/tasks/pay/%74rigger", b"v1/%2e%2e/x", b"a//b/../c"], [b"%2e", b"%2f", b"%5c", b".."]
    ),
    Harness("traceparent", _traceparent, [b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    Harness(
        "sql-statements",
        _statements,
        [
            b"INSERT INTO orders (id, total) VALUES (%s, %(total)s), ('a''b', 1.5) RETURNING id",
            b'UPDATE "Orders" AS o SET total = $1 WHERE id = $2 AND x IN (1, 2)',
            b"WITH gone AS (DELETE FROM a WHERE id = 1 RETURNING *) SELECT $tag$ text $tag$ -- end",
        ],
        [b"INSERT INTO ", b"UPDATE ", b"DELETE FROM ", b"VALUES", b"$$", b"/*", b"*/", b"E'", b"::", b"WHERE "],
    ),
    Harness(
        "catalogue",
        _catalogue,
        [_CATALOGUE, b"platforms: {a: {kind: inngest}}\n"],
        [b"platforms:", b"sources:", b"tasks:", b"targets:", b"${", b"}", b"&a", b"*a", b"<<:", b"!!", b"- ", b"$."],
    ),
    Harness(
        "spooled-items",
        _spooled,
        [orjson.dumps({"report": "0190d5f2-7c1a-7d3e-9b5f-000000000001", "side": "legacy", "effects": []})],
        WORDS,
    ),
    Harness("business-keys", _keys, [b'{"order":"A-1","mail":"Zoe <z@x.test>, b@x.test"}'], WORDS),
]
