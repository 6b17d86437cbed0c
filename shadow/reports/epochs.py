"""Epochs as people read them."""

from __future__ import annotations

import math
from dataclasses import asdict

from shadow.gate import deployments, epochs
from shadow.gate.deployments import Deployment
from shadow.gate.epochs import Epoch
from shadow.gate.process import upper_bound
from shadow.reports.epoch_shapes import CountedView, Deployments, DeploymentTold, DeploymentView, Epochs, EpochView
from shadow.store.database import Database, Work

LARGEST_E = 1e300
"""More is not told: JSON has no infinity."""


async def of_task(database: Database, task: str, *, limit: int) -> Epochs:
    """The epochs of a task, newest first."""
    async with database.connection(Work.CONTROL) as connection:
        return Epochs(items=[view_of(epoch) for epoch in await epochs.of_task(connection, task, limit)])


async def told(database: Database, *, limit: int) -> Deployments:
    """The deployments that were told, newest first."""
    async with database.connection(Work.CONTROL) as connection:
        found = await deployments.newest(connection, limit)
    return Deployments(items=[DeploymentView(**_of_deployment(one)) for one in found])


def telling(deployment: Deployment) -> DeploymentTold:
    """A deployment that was told just now."""
    return DeploymentTold(**_of_deployment(deployment), begun=list(deployment.begun))


def view_of(epoch: Epoch) -> EpochView:
    test = epoch.test
    return EpochView(
        id=epoch.id,
        task=epoch.task,
        number=epoch.number,
        legacy_version=epoch.legacy_version,
        candidate_version=epoch.candidate_version,
        rules=epoch.rules,
        because=epoch.because,
        started_at=epoch.started_at,
        ended_at=epoch.ended_at,
        live=CountedView(**asdict(epoch.live)),
        replayed=CountedView(**asdict(epoch.replayed)),
        left_out=dict(epoch.left_out or {}),
        pairs=epoch.pairs,
        mismatches=epoch.mismatches,
        budget=test and test.budget,
        alpha=test and test.alpha,
        e_value=None if test is None else math.exp(min(epoch.standing.log_e(test), math.log(LARGEST_E))),
        upper_bound=None if test is None else upper_bound(epoch.pairs, epoch.mismatches, test.alpha),
        opened_at=epoch.opened_at,
        opened_after=epoch.opened_after,
        regressed_at=epoch.regressed_at,
        counted_until=epoch.counted_until,
    )


def _of_deployment(deployment: Deployment) -> dict[str, object]:
    return {
        "id": deployment.id,
        "side": deployment.side,
        "app": deployment.app,
        "version": deployment.version,
        "tasks": list(deployment.tasks),
        "actor": deployment.actor,
        "note": deployment.note,
        "made_at": deployment.made_at,
    }
