"""A small catalogue that tests of several parts share."""

from __future__ import annotations

from shadow.catalogue import ResolvedCatalogue, parse

TEXT = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: tr_dev_legacy}
  inngest:
    {kind: inngest, side: candidate, event_url: "http://127.0.0.1:9", api_url: "http://127.0.0.1:9",
     event_key: k, app: shop}
  app: {kind: http, side: legacy, url: "http://127.0.0.1:9/webhooks"}
sources:
  shopify:
    kind: webhook
    signature: {scheme: shopify, secrets: [hush]}
    events:
      - {when: {"header:x-shopify-topic": orders/create}, name: shopify/order.created, data: {orderId: $.id}}
      - {when: {"header:x-shopify-topic": orders/updated}, name: shopify/order.updated, data: {orderId: $.id}}
  forwarding:
    kind: webhook
    signature: {scheme: github, secrets: [hush]}
    forward: app
    answer: passthrough
    events:
      - {name: github/push, data: {ref: $.ref}}
  app-events: {kind: inngest, keys: [producer-key]}
  legacy-workers: {kind: inngest, keys: [legacy-key], origin: legacy}
  candidate-workers: {kind: inngest, keys: [candidate-key], origin: candidate}
  app-calls: {kind: trigger.dev, keys: [tr_dev_producer]}
report_keys: {legacy: [report-legacy], candidate: [report-candidate]}
defaults: {deadline: 30s, settle: 1s}
tasks:
  sync-order:
    event: shopify/order.created
    sources: [shopify]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
  credit-creator:
    event: shopify/order.created
    sources: [shopify]
    legacy: {platform: trigger, task: credit}
    candidate: {platform: inngest}
  deploy:
    event: github/push
    sources: [forwarding]
    legacy: {platform: app}
    candidate: {platform: inngest}
  pay:
    event: payout/approved
    sources: [app-events, legacy-workers, candidate-workers]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
  welcome:
    event: creator/applied
    sources: [app-calls]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
"""


def small() -> ResolvedCatalogue:
    """Two tasks on one webhook event, one forwarded webhook, one per SDK door."""
    return parse(TEXT, "small.yaml", {})
