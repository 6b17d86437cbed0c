"""What tasks inherit, how they are found, and which of them move together."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadow.catalogue import Document, Route, parse
from tests.unit.shadow.catalogue.generated import ENVIRON, generated, resolved, small


def test_a_task_without_settings_has_the_built_in_ones() -> None:
    task = resolved().tasks["pay"]
    assert (task.deadline, task.settle, task.tenant_rate) == (timedelta(minutes=15), timedelta(seconds=5), None)
    assert (task.rules.identities, task.rules.ignore, task.rules.output) == ((), (), True)


@pytest.mark.parametrize(
    ("levels", "deadline"),
    [
        ((None, None, None), timedelta(minutes=15)),
        (("1m", None, None), timedelta(minutes=1)),
        (("1m", "2m", None), timedelta(minutes=2)),
        (("1m", "2m", "3m"), timedelta(minutes=3)),
        (("1m", None, "3m"), timedelta(minutes=3)),
    ],
)
def test_the_nearest_setting_wins(levels: tuple[str | None, ...], deadline: timedelta) -> None:
    defaults, category, task = (f"deadline: {level}" if level is not None else "" for level in levels)
    catalogue = resolved(
        ("    event: payout/approved\n", f"    event: payout/approved\n    category: money\n    {task}\n"),
        more=f"defaults: {{{defaults}}}\ncategories: {{money: {{{category}}}}}\n",
    )
    assert catalogue.tasks["pay"].deadline == deadline


def test_each_key_of_the_rules_is_inherited_by_itself() -> None:
    catalogue = resolved(
        ("event: payout/approved", "event: payout/approved\n    rules: {output: false}"),
        more="defaults: {rules: {output: true, identities: [{paths: [$.id]}]}}\n",
    )
    rules = catalogue.tasks["pay"].rules
    assert rules.output is False
    assert rules.identities[0].paths == ("$.id",)
    assert catalogue.tasks["sync-order"].rules.output is True


def test_ids_on_the_platforms_are_the_catalogues_own_unless_said() -> None:
    legacy = "sources: [app]\n    legacy: {platform: trigger"
    catalogue = resolved((legacy, f"{legacy}, task: Old.pay"))
    pay, sync = catalogue.tasks["pay"], catalogue.tasks["sync-order"]
    assert (pay.legacy.task, pay.candidate.function) == ("Old.pay", "commerce-pay")
    assert catalogue.task_of_legacy("trigger", "Old.pay") is pay
    assert catalogue.task_of_legacy("trigger", "pay") is None
    assert catalogue.task_of_legacy("inngest", "Old.pay") is None
    assert catalogue.task_of_function("commerce-sync-order") is sync
    assert catalogue.task_of_function("sync-order") is None


def test_payload_and_data_are_what_came_in_unless_said() -> None:
    pay = resolved().tasks["pay"]
    assert pay.legacy.payload.evaluate(Document({"a": 1})) == {"a": 1}
    assert pay.candidate.data.evaluate(Document({"a": 1})) == {"a": 1}


def test_tasks_that_share_an_event_are_one_route() -> None:
    catalogue = resolved(("event: payout/approved", "event: shopify/order.created"))
    assert catalogue.routes == {
        "pay+sync-order": Route("pay+sync-order", ("pay", "sync-order"), ("shopify/order.created",))
    }
    assert {task.route for task in catalogue.tasks.values()} == {"pay+sync-order"}
    assert [task.id for task in catalogue.tasks_of_event("shopify/order.created")] == ["sync-order", "pay"]
    assert catalogue.tasks_of_event("absent") == ()


def test_a_task_alone_is_a_route_of_its_name() -> None:
    assert set(resolved().routes) == {"sync-order", "pay"}


@given(st.integers(1, 45))
@settings(max_examples=20)
def test_routes_part_the_tasks(number: int) -> None:
    catalogue = parse(generated(number), "c.yaml", ENVIRON)
    together = [task for route in catalogue.routes.values() for task in route.tasks]
    assert sorted(together) == sorted(catalogue.tasks)
    for task in catalogue.tasks.values():
        route = catalogue.routes[task.route]
        assert task.id in route.tasks
        assert set(route.tasks) == {other.id for event in route.events for other in catalogue.tasks_of_event(event)}


@pytest.mark.parametrize(
    ("source", "data", "tenant"),
    [
        ("app", {"tenantId": "t1"}, "t1"),
        ("app", {"tenantId": 7}, "7"),
        ("calls", {"tenantId": "t1"}, "t1"),
        ("app", {}, None),
        ("app", {"tenantId": None}, None),
        ("app", {"tenantId": ""}, None),
        ("app", {"tenantId": {"a": 1}}, None),
        ("app", [], None),
    ],
)
def test_the_tenant_of_an_event_is_found_in_its_data(source: str, data: object, tenant: str | None) -> None:
    assert resolved().tenant_of(source, data) == tenant


def test_a_source_may_say_where_its_tenant_stands() -> None:
    catalogue = resolved(("keys: [app-key]", "keys: [app-key]\n    tenant: $.shop.id"))
    assert catalogue.tenant_of("app", {"shop": {"id": "s"}}) == "s"
    assert catalogue.tenant_of("app", {"tenantId": "t"}) is None


def test_asking_for_a_webhook_that_is_none_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        resolved().webhook("app")


def test_the_files_sections_are_at_hand() -> None:
    catalogue = parse(small(more="limits: {body_bytes: 5}\nreport_keys: {legacy: [a]}\n"), "c.yaml", ENVIRON)
    assert catalogue.limits.body_bytes == 5
    assert [key.get_secret_value() for key in catalogue.report_keys.legacy] == ["a"]
    assert set(catalogue.platforms) == {"trigger", "inngest"}
    assert set(catalogue.sources) == {"shopify", "app", "calls"}
