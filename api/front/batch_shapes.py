"""What Trigger.dev answers to batches of each SDK generation: read, made for what is issued, and both joined.

Pure. Reference 2.2 and 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.front.intent import Intent, Taken

Items = Sequence[Intent | None]
"""The items of a batch in their order, those that are issued; None for one that is not."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """The answers of one generation."""

    status: int
    read: Callable[[Any, int], list[Taken | None]]
    """Reads an accepting answer to that many items."""
    alone: Callable[[str, Items], dict[str, Any]]
    """The answer where all items are issued, of the batch of that name."""
    joined: Callable[[Any, Items], Any]
    """The platform's answer to the others, as an answer to all."""
    name: Callable[[Any], str | None]
    """The batch's name in the platform's answer."""


def _of_ours(items: Items) -> list[Intent]:
    return [item for item in items if item is not None]


def _spliced(runs: Any, items: Items, made: Callable[[Intent], Any]) -> list[Any] | None:
    """The platform's runs, with those of ours at their places; None where the platform's are not those of the rest."""
    if not isinstance(runs, list) or len(runs) != len(items) - len(_of_ours(items)):
        return None
    theirs = iter(runs)
    return [next(theirs) if item is None else made(item) for item in items]


def _named_run(item: Intent) -> dict[str, Any]:
    given = item.call.producer_key
    return {
        "id": item.run,
        "taskIdentifier": item.call.task,
        "isCached": item.is_cached,
        **({"idempotencyKey": given} if given is not None else {}),
    }


def _run_id(item: Intent) -> str:
    return item.run


def _with_runs(answer: Any, items: Items, made: Callable[[Intent], Any]) -> Any:
    if not isinstance(answer, dict):
        return answer
    listed = answer.get("runs")
    runs = _spliced(listed, items, made)
    if runs is None:  # of a batch that was made before one of its tasks moved: its own, and then ours
        runs = [*(listed if isinstance(listed, list) else ()), *map(made, _of_ours(items))]
    return {**answer, "runs": runs}


# `POST /api/v1/tasks/batch` (SDK 3.3): {id, isCached, runs: [{id, taskIdentifier, isCached, idempotencyKey?}]}


def _read_named(answer: Any, size: int) -> list[Taken | None]:
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list) or len(runs) != size:
        return [None] * size
    whole = answer.get("isCached") is True
    return [
        Taken(run["id"], whole or run.get("isCached") is True)
        if isinstance(run, dict) and isinstance(run.get("id"), str)
        else None
        for run in runs
    ]


def _named_alone(name: str, items: Items) -> dict[str, Any]:
    issued = _of_ours(items)
    cached = all(item.receipt.duplicate for item in issued)
    return {"id": name, "isCached": cached, "runs": [_named_run(item) for item in issued]}


# `POST /api/v1/tasks/{id}/batch` (SDK 3.0 to 3.2): {batchId, runs: [id]}


def _read_listed(answer: Any, size: int) -> list[Taken | None]:
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list) or len(runs) != size:
        return [None] * size
    return [Taken(run) if isinstance(run, str) else None for run in runs]


def _listed_alone(name: str, items: Items) -> dict[str, Any]:
    return {"batchId": name, "runs": [_run_id(item) for item in _of_ours(items)]}


# `POST /api/v2/tasks/batch` (SDK 4.0 to 4.3.0): {id, runCount}; and the items of a v3 batch (SDK 4.3.1 on):
# {id, itemsAccepted, itemsDeduplicated, sealed, runCount}. Neither names runs.


def _read_unnamed(answer: Any, size: int) -> list[Taken | None]:
    return [Taken(None)] * size


def _counted_alone(name: str, items: Items) -> dict[str, Any]:
    return {"id": name, "runCount": len(items)}


def _counted(answer: Any, items: Items) -> Any:
    return {**answer, "runCount": len(items)} if isinstance(answer, dict) else answer


def _streamed_alone(name: str, items: Items) -> dict[str, Any]:
    again = sum(item.receipt.duplicate for item in _of_ours(items))
    return {
        "id": name,
        "itemsAccepted": len(items) - again,
        "itemsDeduplicated": again,
        "sealed": True,
        "runCount": len(items),
    }


def streamed(name: str, answer: Any, items: Items) -> Any:
    """The platform's answer to the items of a v3 batch that are its own, as an answer to all of the batch of ours."""
    if not isinstance(answer, dict):
        return answer
    ours = _streamed_alone(name, _of_ours(items))
    counts = {
        count: answer.get(count, 0) + (ours[count] if count.startswith("items") else len(_of_ours(items)))
        for count in ("itemsAccepted", "itemsDeduplicated", "enqueuedCount", "expectedCount")
        if count in answer or count.startswith("items")
    }
    return {**answer, **counts, "id": name, "runCount": len(items)}


def _name(member: str) -> Callable[[Any], str | None]:
    def name(answer: Any) -> str | None:
        found = answer.get(member) if isinstance(answer, dict) else None
        return found if isinstance(found, str) else None

    return name


NAMED = BatchShape(
    202, _read_named, _named_alone, lambda answer, items: _with_runs(answer, items, _named_run), _name("id")
)
LISTED = BatchShape(
    200, _read_listed, _listed_alone, lambda answer, items: _with_runs(answer, items, _run_id), _name("batchId")
)
UNNAMED = BatchShape(202, _read_unnamed, _counted_alone, _counted, _name("id"))
STREAMED = BatchShape(200, _read_unnamed, _streamed_alone, lambda answer, items: answer, _name("id"))
