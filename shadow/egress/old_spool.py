"""Files in which earlier versions spooled calls: what is left of them moves into the spool."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from pathlib import Path
from typing import Any

import orjson
import structlog

from shadow.egress.calls import Answered, Call, Item
from shadow.egress.spooled import spool_item
from shadow.sealing.master import WrongSealingKey
from shadow.sealing.vault import Vault
from shadow.spool.encoding import decode_plain
from shadow.spool.spool import Spool

log = structlog.get_logger(__name__)

_SUFFIX = ".jsonl"
_OPEN = ".open"
"""What ends the name of a file that a process was writing."""
_BAD = ".unreadable"
_KINDS: dict[str, type[Call] | type[Answered]] = {"call": Call, "answered": Answered}


async def take_over(folder: Path, vault: Vault, spool: Spool) -> int:
    """Spool anew what lies in files of earlier versions, whose processes are no more; how many lines.

    Raises:
        NotSpooled: the disk does not take it; the files stay.
    """
    done = 0
    for path in await asyncio.to_thread(_left, folder):
        items, bad = await asyncio.to_thread(_read, path, vault)
        for item in items:
            await spool_item(spool, item)
        done += len(items)
        if bad:
            log.error("egress.spool_unreadable", file=str(path), lines=bad)
            await asyncio.to_thread(path.rename, path.with_suffix(_BAD))
        else:
            await asyncio.to_thread(path.unlink, missing_ok=True)
    return done


def _left(folder: Path) -> list[Path]:
    """The files to which nothing is added any more."""
    for path in folder.glob(f"egress-*{_SUFFIX}{_OPEN}"):
        # Its process may still be there, of the version before, and then holds it.
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(path.with_suffix(""))
    return sorted(folder.glob(f"egress-*{_SUFFIX}"))


def _read(path: Path, vault: Vault) -> tuple[list[Item], int]:
    """The items of a file, and how many lines are none: the last one may have been cut off by a crash."""
    items: list[Item] = []
    bad = 0
    for line in path.read_bytes().splitlines():
        if not line.strip():
            continue
        try:
            fields: dict[str, Any] = orjson.loads(vault.unlock_line(line))
            items.append(decode_plain(_KINDS[fields.pop("line")], fields))
        except (ValueError, TypeError, KeyError, WrongSealingKey):
            bad += 1
    return items, bad
