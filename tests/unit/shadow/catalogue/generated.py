"""Catalogues for tests: a small one to break on purpose, and one of any number of tasks."""

from __future__ import annotations

from shadow.catalogue import ResolvedCatalogue, parse

ENVIRON = {"TRIGGER_KEY": "tr_secret_value", "EVENT_KEY": "event_secret_value", "SHOP_SECRET": "shop_secret_value"}

SMALL = """\
platforms:
  trigger:
    kind: trigger.dev
    side: legacy
    secret_key: ${TRIGGER_KEY}
  inngest:
    kind: inngest
    side: candidate
    event_key: ${EVENT_KEY}
    signing_key: abcdef
    app: commerce
sources:
  shopify:
    kind: webhook
    signature: {scheme: shopify, secrets: ["${SHOP_SECRET}"]}
    tables:
      tenants: {a.shop: tenant_a}
    events:
      - when: {"header:x-topic": orders/create}
        name: shopify/order.created
        tenant: {lookup: tenants, key: "header:x-shop"}
        data: {orderId: {path: $.id, as: string}}
  app:
    kind: inngest
    keys: [app-key]
  calls:
    kind: trigger.dev
    keys: [calls-key]
tasks:
  sync-order:
    event: shopify/order.created
    sources: [shopify]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
  pay:
    event: payout/approved
    sources: [app]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
"""
"""Its lines are counted on by the tests of problems: add below, not between."""


def small(*changes: tuple[str, str], more: str = "") -> str:
    """`SMALL` with each text replaced by another, and lines added at its end."""
    text = SMALL
    for old, new in changes:
        assert old in text, f"{old!r} is not in the small catalogue"
        text = text.replace(old, new, 1)
    return text + more


def resolved(*changes: tuple[str, str], more: str = "") -> ResolvedCatalogue:
    return parse(small(*changes, more=more), "catalogue.yaml", ENVIRON)


def generated(tasks: int, categories: int = 12) -> str:
    """A catalogue with that many tasks, each with a payload of its own; every tenth shares its event."""
    lines = [SMALL[: SMALL.index("tasks:")], "categories:"]
    lines += [f"  category-{number}: {{deadline: {number + 1}m}}" for number in range(categories)]
    lines.append("tasks:")
    for number in range(tasks):
        event = number - 1 if number % 10 == 9 else number
        lines += [
            f"  task-{number}:",
            f"    category: category-{number % categories}",
            f"    event: event/{event}",
            "    sources: [app]",
            "    legacy:",
            "      platform: trigger",
            "      payload:",
            f"        id: $.ids[{number}]",
            f"        note: {{path: $.note{number}, optional: true}}",
            "      options: {queue: {name: shared}, tags: [migrated]}",
            "    candidate: {platform: inngest}",
            "    rules:",
            f"      identities: [{{kind: http, paths: ['$.id{number}']}}]",
        ]
    return "\n".join(lines) + "\n"
