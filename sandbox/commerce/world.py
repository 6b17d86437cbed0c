"""A world: the targets and the tenants' database that one side's tasks work on, and nobody else's."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sandbox.commerce.database import TenantDatabase
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.messages import APPLICATION_RECEIVED, REVIEW_REQUEST
from sandbox.targets import Books, Conduct, Targets

SideName: TypeAlias = Literal["legacy", "candidate"]
STUMBLES = 0.08
"""Share of business keys whose first call fails transiently."""


class World:
    """One side's world. Both sides' worlds start with equal rows and differ in which calls fail at first."""

    def __init__(self, side: SideName, dataset: Dataset, *, stumbles: float = STUMBLES) -> None:
        self.side = side
        self.database = TenantDatabase(dataset.rows)
        self.targets = Targets(
            orders=dataset.shop_orders,
            customers=dataset.shop_customers,
            # Only what a task does first may fail: a repeated attempt then repeats nothing.
            stumbling_mail=frozenset({REVIEW_REQUEST, APPLICATION_RECEIVED}),
            conduct=Conduct(stumbles=stumbles, salt=side),
        )

    @property
    def books(self) -> Books:
        """What the targets received."""
        return self.targets.books

    def close(self) -> None:
        """Forget the database."""
        self.database.close()
