"""The judge's world with tasks that declare business keys, and whoever sees effects beyond the gateway."""

from __future__ import annotations

from typing import Any

import orjson

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.effects.business_keys import KeyedRun, note_keys
from shadow.effects.correlation import Attribution, CallTraits, Correlator
from shadow.effects.record import SeenBy, SeenEffect, record_effects
from shadow.store.database import Database
from tests.integration.judge.world import CATALOGUE, Told, World


def catalogue(more: str = "", task: str = "", *, trigger: str = "https://api.trigger.dev") -> ResolvedCatalogue:
    """The judge's catalogue, whose `order-sync` has business keys.

    Args:
        more: further top-level keys.
        task: further keys of `order-sync`, indented by four.
        trigger: where Trigger.dev answers.
    """
    text = CATALOGUE.replace(
        "    event: order/created\n", "    event: order/created\n    business_keys: [$.order, $.customer]\n" + task
    )
    text = text.replace("secret_key: tr_dev_secret", f"secret_key: tr_dev_secret\n    url: {trigger}")
    return parse(more + text, "test.yaml", {})


class SeenWorld(World):
    """A world whose effects are seen."""

    def __init__(self, database: Database, known: ResolvedCatalogue | None = None) -> None:
        super().__init__(database)
        self.catalogue = known or catalogue()
        self.correlator = Correlator(self.catalogue)

    async def keyed(self, data: Any, task: str = "order-sync", **more: Any) -> Told:
        """An event whose runs are known by its business keys, as fan-out leaves them."""
        told = await self.event(task, data, **more)
        async with self.connection() as connection:
            await note_keys(
                connection,
                [
                    KeyedRun(told.run(side), side, self.catalogue.tasks[task].business_keys, orjson.dumps(data))
                    for side in Side
                ],
            )
        return told

    async def whose(self, side: Side, call: CallTraits, at: Any) -> Attribution:
        async with self.connection() as connection:
            return await self.correlator.whose(connection, side, call, at)

    async def seen(
        self, side: Side, call: CallTraits, at: Any, *, target: str = "stripe", data: Any = None
    ) -> Attribution:
        """The gateway saw a call."""
        async with self.connection() as connection:
            found = await self.correlator.whose(connection, side, call, at)
            await record_effects(
                connection,
                side,
                [
                    SeenEffect(
                        run=found.said,
                        run_id=found.run.id if found.run else None,
                        kind="http",
                        target=target,
                        operation="POST /v1/transfers",
                        data=orjson.dumps(data or {"amount": 5}),
                        occurred_at=at,
                        seen_by=SeenBy.GATEWAY,
                        attributed_by=found.by,
                        suspects=found.candidates,
                        traits=call.stored() if found.nobodys else None,
                    )
                ],
            )
        return found
