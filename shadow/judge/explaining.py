"""A pair judged again on the fly, with what each stage did: for people who look. Nothing of it is stored."""

from __future__ import annotations

from uuid import UUID

from comparators import Judgement
from shadow.judge.facts import ClaimedPair, load_facts
from shadow.judge.judging import judgement_of
from shadow.judge.ledger import load_evidence
from shadow.judge.rulebook import Rulebook
from shadow.store.database import Connection

_PAIR = """
SELECT id, event_id, task, tenant, legacy_run, candidate_run, deadline_at, incomparable, probed_at, probe_failures
FROM pairs WHERE id = %s
"""


async def explained(connection: Connection, pair: UUID, rulebook: Rulebook) -> Judgement | None:
    """What the judge says of a pair now, by today's rules and evidence; None when there is none of that id."""
    row = await (await connection.execute(_PAIR, (pair,))).fetchone()
    if row is None:
        return None
    await rulebook.look(connection)
    (fact,) = await load_facts(connection, [ClaimedPair(*row)])
    return judgement_of(fact, await load_evidence(connection, [fact]), rulebook, explain=True)
