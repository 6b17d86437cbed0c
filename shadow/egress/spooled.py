"""Calls and their answers on their way through the spool."""

from __future__ import annotations

from shadow.egress.calls import Answered, Call, Item
from shadow.spool.encoding import encode
from shadow.spool.spool import Kind, Spool


async def spool_item(spool: Spool, item: Item) -> None:
    """Return once the item is on disk.

    Raises:
        NotSpooled: it is not.
    """
    await spool.append(Kind.CALL if isinstance(item, Call) else Kind.ANSWERED, encode(item))


KINDS: dict[Kind, type[Call] | type[Answered]] = {Kind.CALL: Call, Kind.ANSWERED: Answered}
