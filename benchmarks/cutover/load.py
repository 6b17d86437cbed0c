"""Constant load: one payout or one application after the other, whatever becomes of the ones before."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from dataclasses import dataclass, field

from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Action, SendEvents, Trigger
from sandbox.commerce.producers import Producers, Sent, insist

TASKS = ("process-payout", "process-creator-application")
"""One fed by the Inngest door, which has no tenant, and one by the Trigger.dev door, which has."""
PATIENCE_SECONDS = 60.0


def actions(dataset: Dataset) -> list[Action]:
    """A payout and an application in turn, each of its own."""
    payouts = [row["id"] for row in dataset.rows["withdrawals"] if row["id"] not in dataset.earlier_payouts]
    found: list[Action] = []
    for payout, application in zip(payouts, dataset.rows["applications"], strict=False):
        event = {"name": "payout/approved", "id": f"payout-{payout}", "data": {"requestId": payout}}
        found.append(SendEvents((event,)))
        payload = {"creatorId": application["creator_id"], "tenantId": application["tenant_id"]}
        found.append(_trigger(payload, keyed=len(found) % 4 == 1))
    return found


def _trigger(payload: dict[str, str], *, keyed: bool) -> Trigger:
    name = f"application-{payload['creatorId']}"
    request = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    if not keyed:
        return Trigger(TASKS[1], payload, request, tags=(payload["tenantId"],))
    key = hashlib.sha256(name.encode()).hexdigest()
    return Trigger(TASKS[1], payload, request, key, {"key": name, "scope": "run"}, (payload["tenantId"],))


@dataclass
class Load:
    """What is sent, and what the doors said of it."""

    front_url: str
    keys: Keys
    rate: float
    """Actions a second."""
    sent: list[Sent] = field(default_factory=list)
    ran_out: bool = False
    """Whether all was sent before the end: then the last legs were without load."""

    async def run(self, plan: list[Action], stop: asyncio.Event) -> None:
        """Send until told to stop, or there is nothing more to send; then wait for the answers."""
        producers = Producers(self.front_url, self.keys)
        under_way: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def one(action: Action) -> None:
            self.sent.append(await insist(producers, action, PATIENCE_SECONDS))

        try:
            for number, action in enumerate(plan):
                await asyncio.sleep(max(began + number / self.rate - loop.time(), 0))
                if stop.is_set():
                    break
                task = asyncio.create_task(one(action))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            else:
                self.ran_out = True
            await asyncio.gather(*under_way)
        finally:
            await producers.close()
