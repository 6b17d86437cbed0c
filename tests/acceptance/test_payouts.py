"""The payout task in `shadow`: money moves once, whatever the candidate does, and the candidate never notices.

The witness is the payout providers' own books.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from shadow.demo.findings import Findings
from shadow.demo.run import Cast, Options, cast
from shadow.store.database import Database, Work

TASK = "process-payout"
PROVIDERS = ("swiftpay", "bankwire")


class Silent:
    """A progress that nobody watches."""

    def stage(self, text: str) -> None: ...

    def sent(self, done: int, total: int) -> None: ...

    def judged(self, done: int, total: int) -> None: ...


class Played:
    """What is known after the load."""

    def __init__(self, players: Cast, findings: Findings, books: dict[str, Any]) -> None:
        self.findings = findings
        self.books = books
        self.expected = players.plan.expected()[TASK]

    @property
    def payouts(self) -> Counter[str]:
        """Payout request -> how often the providers' own books show that money moved for it."""
        return Counter(
            call["body"]["reference"]
            for call in self.books["targets"]
            if call["target"] in PROVIDERS and call["authorized"] and call["status"] < 400 and not call["replayed"]
        )

    def transfers(self, side: str) -> dict[str, str | None]:
        """Payout request -> the transfer that the run of that side returned; None for one that failed."""
        if side == "legacy":
            runs = [run for run in self.books["runs"]["legacy"] if run["task"] == TASK]
            return {run["payload"]["requestId"]: (run["output"] or {}).get("transferId") for run in runs}
        runs = [run for run in self.books["runs"]["candidate"] if run["function"] == f"commerce-{TASK}"]
        return {
            run["data"]["requestId"]: run["output"]["transferId"] if run["status"] == "Completed" else None
            for run in runs
        }


async def played(faults: tuple[str, ...]) -> tuple[Played, list[dict[str, Any]]]:
    """The demo's load, and the rows of the candidate's ledger of payouts."""
    async with cast(Options(faults=faults, seed=5, scale=12, prove=False), Silent()) as players:
        await players.produce(players.plan, Silent())
        findings = await players.findings(players.plan, Silent())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            books: dict[str, Any] = (await client.get(f"{players.stage.urls.app}/books")).json()
        database = Database(players.database_url)
        try:
            mails = await candidate_mails(database)
        finally:
            await database.close()
        return Played(players, findings, books), mails


async def candidate_mails(database: Database) -> list[dict[str, Any]]:
    """What became of the candidate's payout confirmations at the gateway."""
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT effect.identity, effect.disposition, effect.status FROM effects AS effect"
            " JOIN runs AS run ON run.id = effect.run_id"
            " WHERE run.task = %s AND run.side = 'candidate' AND effect.target = 'mail'",
            (TASK,),
        )
        return [
            {"identity": identity, "disposition": disposition, "status": status}
            for identity, disposition, status in await cursor.fetchall()
        ]


async def test_each_payout_is_made_once_and_the_candidates_later_steps_have_the_true_transfer() -> None:
    play, mails = await played(())
    legacy, candidate = play.transfers("legacy"), play.transfers("candidate")
    assert play.findings.ok, play.findings.as_json()
    assert len(legacy) == len(candidate) == play.expected
    completed = {request for request, transfer in legacy.items() if transfer is not None}
    assert completed
    assert play.payouts == Counter(dict.fromkeys(completed, 1))
    # The candidate completed what legacy did, and returned the very transfers that the providers made.
    assert candidate == legacy
    # Its later steps had them too: the mail to the creator names the transfer, and is the one that legacy sent.
    assert {(mail["disposition"], mail["status"]) for mail in mails} == {("replay", 202)}
    assert {mail["identity"] for mail in mails} == {f"payout-confirmation / {request}" for request in completed}
    assert play.findings.leaks == 0


@pytest.mark.parametrize("fault", ["payout-twice"])
async def test_a_candidate_that_pays_twice_is_a_mismatch_and_nobody_is_paid_twice(fault: str) -> None:
    play, _mails = await played((fault,))
    finding = play.findings.tasks[TASK]
    assert finding.mismatch == finding.pairs == play.expected
    assert finding.not_comparable == finding.missing == finding.pending == 0
    kinds = {signature.kind for signature in play.findings.signatures if signature.task == TASK}
    assert "effect.duplicate" in kinds
    assert {signature.task for signature in play.findings.signatures} == {TASK}
    assert set(play.payouts.values()) == {1}
    assert play.payouts.keys() == {request for request, made in play.transfers("legacy").items() if made is not None}
    assert play.findings.leaks == 0
    assert play.findings.ok
