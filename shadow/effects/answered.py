"""What targets answered, as evidence: the ids and the moments in it, and nothing else.

Whether an id was born in a run or known to it, and whether a moment was read, is told by the answers of its calls
(`comparators/births.py`). Answers are kept sealed, for replay, and go with their retention; what the judge needs of one
is a small part, which is redacted like all evidence and stays with the effect. It is made when a pair is judged for the
first time: whose it is is known by then. Of what the gateway itself answered a contained call, the twin's answer or a
stub, nothing else is kept, so that is written down with the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from uuid import UUID

import orjson
import structlog

from comparators import JSON
from comparators.births import MOMENTS, ids_only, moments_in
from shadow.effects import evidence
from shadow.effects.call import SeenBody, Unparsable, parsed_body
from shadow.model.json_text import write_json
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

PART = "evidence"
_MOST_BYTES = 4 * 1024 * 1024
"""Of an answer that is read for its ids, decompressed."""
_MOST_IDS_BYTES = 256 * 1024
"""Of what is kept of one."""
_MOST_MOMENTS = 2_000
"""Of one answer."""
_ANSWERS = b"""
SELECT id, part, content FROM bodies WHERE id = ANY(%s::uuid[]) AND part IN ('answer', 'answer_headers')
"""


async def make_of_effects(conn: Connection, tenants: Mapping[UUID, str | None]) -> dict[UUID, bytes]:
    """Make and store the evidence of what these effects were answered, of the sealed answers.

    Left out are those of which no answer was recorded or can be read any more.
    """
    if not tenants:
        return {}
    cursor = await conn.execute(_ANSWERS, (list(tenants),))
    stored = await cursor.fetchall()
    if not stored:
        return {}
    opened: dict[tuple[UUID, str], bytes] = {
        (owner, part): content
        for (owner, part, _), content in zip(stored, await conn.vault.open(stored), strict=True)
        if not isinstance(content, Forgotten)
    }
    answers = {owner: content for (owner, part), content in opened.items() if part == "answer"}
    await evidence.ready(conn, [tenants[owner] for owner in answers])
    made: dict[UUID, bytes] = {}
    for owner, content in answers.items():
        if (kept := ids_of(content, _headers(opened.get((owner, "answer_headers"), b"[]")))) is not None:
            made[owner] = evidence.of_document(conn.vault, tenants[owner], kept)
    await evidence.keep(conn, [(owner, PART, body) for owner, body in made.items()])
    return made


def _headers(stored: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in orjson.loads(stored)]


def ids_of(content: bytes, headers: Iterable[tuple[str, str]]) -> bytes | None:
    """The ids of an answer as a JSON document; None where it can't be told which it has."""
    told = {name.lower(): value for name, value in headers}
    seen = SeenBody(len(content), "", content)
    # Who answers without a type mostly answers JSON.
    content_type = told.get("content-type", "application/json")
    try:
        body: JSON = parsed_body(seen, content_type, told.get("content-encoding", ""), most=_MOST_BYTES)
    except Unparsable as problem:
        log.info("evidence.answer_unreadable", problem=type(problem).__name__)
        return None
    if isinstance(body, dict) and body.keys() == {"bytes", "sha256"}:
        return None  # what is no text, or in an encoding that is not read here, may have any
    found: dict[str, JSON] = {"body": ids_only(body)}
    if named := ids_only(dict(told)):  # mailers tell a message's id in a header
        found["headers"] = named
    if moments := sorted(set(islice(moments_in(body), _MOST_MOMENTS))):
        found[MOMENTS] = [*moments]
    kept = write_json(found)
    return kept if len(kept) <= _MOST_IDS_BYTES else None
