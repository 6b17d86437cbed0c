"""What the gateway recorded of calls, as text: for who has to tell whether something was made by one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from shadow.sealing.vault import Forgotten
from shadow.store import codec
from shadow.store.database import Database, Work

_BODIES = b"""
SELECT id, part, content FROM bodies WHERE id = ANY(%(effects)s::uuid[]) AND part IN ('data', 'answer')
UNION ALL
SELECT id, 'data', data FROM effects WHERE id = ANY(%(effects)s::uuid[]) AND data IS NOT NULL
ORDER BY id, part
"""


class RecordedBodies:
    """Reads the evidence of calls and the answers that they got; answers of forgotten tenants are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, effects: Collection[Any], /) -> Sequence[bytes]:
        async with self._database.connection(Work.EGRESS) as conn:
            rows = await (await conn.execute(_BODIES, {"effects": list(effects)})).fetchall()
            answers = [row for row in rows if row[1] == "answer"]
            opened = await conn.vault.open(answers)
        texts = [codec.decode(content) for _, part, content in rows if part == "data"]
        return [*texts, *(answer for answer in opened if not isinstance(answer, Forgotten))]
