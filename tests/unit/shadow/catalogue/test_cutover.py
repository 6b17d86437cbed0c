"""How a route moves over: what its tasks must agree on."""

from __future__ import annotations

import pytest

from shadow.catalogue import CatalogueError, parse
from tests.unit.shadow.catalogues import TEXT

_SYNC, _CREDIT = "  sync-order:\n", "  credit-creator:\n"


def with_cutover(sync: str | None, credit: str | None) -> str:
    text = TEXT
    for task, settings in ((_SYNC, sync), (_CREDIT, credit)):
        if settings is not None:
            text = text.replace(task, f"{task}    cutover: {settings}\n")
    return text


@pytest.mark.parametrize("settings", ["{reverse: true}", "{entity: $.orderId}", "{entity: $.orderId, reverse: true}"])
def test_a_route_moves_over_as_its_tasks_say(settings: str) -> None:
    catalogue = parse(with_cutover(settings, settings), "c.yaml", {})
    route = catalogue.routes[catalogue.tasks["sync-order"].route]
    assert (route.entity is not None, route.reverse) == ("entity" in settings, "reverse" in settings)


@pytest.mark.parametrize(
    ("sync", "credit", "key"),
    [
        ("{entity: $.orderId}", None, "entity"),
        ("{entity: $.orderId}", "{entity: $.shop}", "entity"),
        ("{reverse: true}", None, "reverse"),
        (None, "{reverse: true}", "reverse"),
    ],
)
def test_tasks_that_share_an_event_agree(sync: str | None, credit: str | None, key: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        parse(with_cutover(sync, credit), "c.yaml", {})
    (problem,) = refused.value.problems
    assert f"shared with another task whose cutover.{key} is another" in str(problem)
    assert "expected the same for both, as they move together" in str(problem)


def test_what_moves_a_task_back_may_differ_within_a_route() -> None:
    parse(with_cutover("{back_on: [leak]}", "{dead_letters: 5}"), "c.yaml", {})
