"""What each rule did, by task and day: changed with the verdicts by delta, so that judging again corrects it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from uuid import UUID

import orjson

from comparators import RuleUse
from shadow.judge.rulebook import Rulebook
from shadow.judge.tallying import Locked
from shadow.store.database import Connection

_TALLIES = """
INSERT INTO rule_tallies AS known (task, day, rule, selected, hid)
SELECT * FROM unnest(%s::text[], %s::date[], %s::text[], %s::bigint[], %s::bigint[]) AS delta (task, day, rule)
ORDER BY task, day, rule
ON CONFLICT (task, day, rule) DO UPDATE SET
    selected = known.selected + excluded.selected, hid = known.hid + excluded.hid
"""
_GONE = """
DELETE FROM task_rules WHERE NOT EXISTS (
    SELECT FROM unnest(%s::text[], %s::text[]) AS here (task, rule)
    WHERE here.task = task_rules.task AND here.rule = task_rules.rule
)
"""
_HERE = """
INSERT INTO task_rules (task, rule) SELECT * FROM unnest(%s::text[], %s::text[]) AS here (task, rule)
ORDER BY task, rule ON CONFLICT (task, rule) DO NOTHING
"""


async def count_uses(
    connection: Connection,
    locked: Iterable[Locked],
    before: Mapping[UUID, Mapping[str, Sequence[int]]],
    uses: Mapping[UUID, Sequence[RuleUse]],
) -> None:
    """Move each pair from what rules did in it before to what they do now. The caller keeps `rule_uses`.

    Args:
        before: as it was kept of the pairs that had a verdict.
    """
    selected: Counter[tuple[str, date, str]] = Counter()
    hid: Counter[tuple[str, date, str]] = Counter()
    for pair in locked:
        if pair.replayed:
            continue
        task, day = pair.task, pair.day
        for rule, (selected_then, hid_then) in before.get(pair.id, {}).items():
            selected[task, day, rule] -= selected_then
            hid[task, day, rule] -= hid_then
        for use in uses[pair.id]:
            selected[task, day, use.rule] += use.selected
            hid[task, day, use.rule] += use.hid
    rows = [
        (*key, selected[key], hid[key]) for key in sorted(selected.keys() | hid.keys()) if selected[key] or hid[key]
    ]
    if rows:
        await connection.execute(_TALLIES, [list(column) for column in zip(*rows, strict=True)])


def stored(uses: Iterable[RuleUse]) -> str | None:
    """What rules did in a pair, as `pairs.rule_uses` has it."""
    said = {use.rule: [use.selected, use.hid] for use in uses}
    return orjson.dumps(said).decode() if said else None


async def note_rules(connection: Connection, rulebook: Rulebook) -> None:
    """Keep since when each rule is in force: what is new from now on, what is gone no longer."""
    here = sorted((task, rule) for task, rules in rulebook.ids().items() for rule in rules)
    columns = [[task for task, _ in here], [rule for _, rule in here]]
    await connection.execute(_GONE, columns)
    await connection.execute(_HERE, columns)
