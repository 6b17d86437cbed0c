"""The catalogue of the loop: one task, fed by two doors, with or without targets behind the gateway."""

from __future__ import annotations

from benchmarks.processes import HOST

EVENT_KEY = "bench-event-key"
SIGNING_KEY = "signkey-test-12345678"
SECRET = "bench-webhook-secret"
REPORT_KEYS = {"legacy": "bench-report-legacy", "candidate": "bench-report-candidate"}
TASK = "process-payout"
FUNCTION = "bench-process-payout"
EVENT = "payout/approved"

_CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://{host}:{port}", secret_key: tr_dev_bench}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "http://{host}:{port}"
    api_url: "http://{host}:{port}"
    event_key: k
    signing_key: {signing_key}
    app: bench
sources:
  app: {{kind: inngest, keys: [{event_key}]}}
  shopify:
    kind: webhook
    signature: {{scheme: shopify, secrets: [{secret}]}}
    events:
      - when: {{"header:x-shopify-topic": payouts/approved}}
        name: {event}
        data: {{requestId: $.requestId, tenantId: $.tenantId, amount: $.amount, note: $.note}}
        tenant: $.tenantId
report_keys: {{legacy: [{legacy}], candidate: [{candidate}]}}
tasks:
  {task}:
    event: {event}
    sources: [app, shopify]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""
_TARGETS = """
targets:
  pay:
    url: "http://{host}:{port}/pay"
    private: true
    credential: {{header: authorization, secret: "Bearer real"}}
    operations:
      - match: POST /v1/transfers
        identity: [$.body.requestId]
      - match: POST /v1/notes/{{id}}
        identity: [$.body.requestId, $.body.part]
"""


def catalogue(port: int, *, gateway: bool) -> str:
    """The YAML.

    Args:
        port: where the stand-ins of both platforms, and of the target, listen.
        gateway: whether runs call a target through the egress gateway.
    """
    text = _CATALOGUE + (_TARGETS if gateway else "")
    return text.format(
        host=HOST,
        port=port,
        event_key=EVENT_KEY,
        secret=SECRET,
        signing_key=SIGNING_KEY,
        event=EVENT,
        task=TASK,
        legacy=REPORT_KEYS["legacy"],
        candidate=REPORT_KEYS["candidate"],
    )
