"""Clean scripts of the seven tasks, in many shapes, with what the sandbox's two implementations call and write."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from benchmarks.faults import messages
from benchmarks.faults.ids import MADE_BY_WORKERS
from benchmarks.faults.script import Call, Emission, Row, Script
from benchmarks.faults.shop import CAMPAIGNS, CHANNELS, TENANTS, Shop
from benchmarks.faults.symbols import born, clock, embedded, fresh, instant
from sandbox.commerce.attribution import MODELS
from sandbox.commerce.messages import APPLICATIONS_CHANNEL, incentive_percent
from sandbox.commerce.money import share, units
from sandbox.targets.analytics import META_API_VERSION
from sandbox.targets.shopify import API_VERSION

REMINDER_SECONDS = 7 * 86400.0


def hashed(address: str) -> str:
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


# -- sync-shopify-order -----------------------------------------------------------------------------


def sync_shopify_order(shop: Shop) -> Script:
    rng, tenant = shop.rng, shop.tenant
    order_id = shop.order_id()
    script = Script(
        "sync-shopify-order", "shopify/order.created", {"orderId": order_id, "tenantId": tenant.id}, tenant.id
    )
    fetch = Call("shopify", "GET", f"/admin/api/{API_VERSION}/orders/{order_id}.json")
    script.deeds.append(fetch)
    if rng.random() < 0.03:
        fetch.status, fetch.answer = 404, {"errors": "Not Found"}
        return _failed(script, 'shopify answered 404: {"errors":"Not Found"}')
    items, customer = shop.items(), shop.person()
    total = sum(item.quantity * item.price_cents for item in items)
    created = fresh(before=rng.uniform(0.1, 1.5)) if rng.random() < 0.4 else instant(shop.moment())
    fulfilment, big = str(uuid.UUID(int=rng.getrandbits(128), version=4)), rng.randrange(2**54, 2**63) | 1
    row = {
        "id": order_id,
        "tenant_id": tenant.id,
        "number": rng.randrange(1001, 99_999),
        "customer_email": customer.email,
        "customer_name": customer.name,
        "total_cents": total,
        "currency": tenant.currency,
        "status": rng.choice(("paid", "paid", "pending", "partially_refunded")),
        "created_at": created,
        "updated_at": clock(),
    }
    if rng.random() < 0.3:
        row |= {"fulfillment_id": fulfilment, "checkout_id": big}
    if rng.random() < 0.3:
        row |= {"note": rng.choice((None, "", "Please ring twice")), "test": rng.random() < 0.5}
    if rng.random() < 0.2:
        row["attributes"] = embedded({"gift": True, "wrap": "été", "size": [1, 2], "by": customer.first})
    if rng.random() < 0.2:
        row["sync_id"] = born("sync", rng.choice(MADE_BY_WORKERS))
    script.deeds.append(Row("orders", row, stage=1))
    visitor = shop.visitor_id()
    fetch.answer = {
        "order": {
            "id": int(order_id) if order_id.isdigit() else order_id,
            "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
            "email": customer.email,
            "total_price": units(total),
            "created_at": created,
            "checkout_id": big,
            "line_items": [{"id": 13_000_000_000 + n, "title": item.title} for n, item in enumerate(items)],
            "note_attributes": [{"name": "visitor_id", "value": visitor}],
            "fulfillments": [{"id": fulfilment, "status": "success"}],
        }
    }
    for place, item in enumerate(items):
        values = {
            "id": f"{order_id}/{place}",
            "order_id": order_id,
            "title": item.title,
            "quantity": item.quantity,
            "price_cents": item.price_cents,
        }
        if "sync_id" in row:
            values["sync_id"] = row["sync_id"]
        script.deeds.append(Row("order_items", values, stage=1))
    if rng.random() < 0.7:
        attribution = {
            "id": order_id,
            "order_id": order_id,
            "tenant_id": tenant.id,
            "visitor_id": visitor,
            "channel": rng.choice(CHANNELS),
            "campaign": rng.choice(CAMPAIGNS),
            "updated_at": clock(),
        }
        script.deeds.append(Row("order_attributions", attribution, stage=1))
    for number in range(rng.choices((0, 1, 2, 3), (55, 30, 10, 5))[0]):
        code = f"CREATOR{rng.randrange(1000):03d}-{number}"
        commission = {
            "id": f"{order_id}/{code}",
            "order_id": order_id,
            "creator_id": f"creator-{rng.randrange(1000):03d}",
            "code": code,
            "amount_cents": share(total, rng.choice((5, 8, 12))),
            "currency": tenant.currency,
            "updated_at": clock(),
        }
        if rng.random() < 0.3:
            steps = [born(f"audit-{number}-{step}", "ulid") for step in range(rng.choice((1, 1, 3)))]
            commission["audit_json"] = {**dict.fromkeys(steps, "credited"), "by": "sync"}
            if rng.random() < 0.5:
                commission["last_step"] = steps[-1]
        script.deeds.append(Row("commissions", commission, stage=1))
    if rng.random() < 0.65:
        due = instant(shop.moment() + timedelta(days=rng.randint(110, 140)))
        data = {"orderId": order_id, "sequence": 1, "tenantId": tenant.id}
        script.deeds.append(Emission("review/email.scheduled", data, due, stage=2))
        if rng.random() < 0.1:
            again = {**data, "sequence": 2}
            later = instant(shop.moment() + timedelta(days=rng.randint(150, 160)))
            script.deeds.append(Emission("review/email.scheduled", again, later, stage=2))
    script.output = {"success": True, "orderId": order_id}
    if "sync_id" in row:
        script.output["syncId"] = row["sync_id"]
    return script


# -- send-review-email ------------------------------------------------------------------------------


def send_review_email(shop: Shop) -> Script:
    rng, tenant = shop.rng, shop.tenant
    order_id, sequence = shop.order_id(), rng.choices((1, 2, 3), (6, 3, 1))[0]
    data = {"orderId": order_id, "sequence": sequence, "tenantId": tenant.id}
    script = Script("send-review-email", "review/email.scheduled", data, tenant.id)
    if rng.random() < 0.15:
        script.output = {"skipped": True, "reason": "already_reviewed"}
        return script
    script.deeds.append(messages.review_request(shop, order_id, sequence, incentive_percent(sequence)))
    if sequence == 1:
        reminder = {"orderId": order_id, "sequence": 2, "tenantId": tenant.id}
        script.deeds.append(
            Emission("review/email.scheduled", reminder, clock("moment", plus=REMINDER_SECONDS), stage=1)
        )
    if rng.random() < 0.3:
        sent = {
            "id": born("log", rng.choice(("uuid", "uuid7", "ulid", "serial"))),
            "order_id": order_id,
            "sequence": sequence,
            "message_id": born("mail-message", "message"),
            "sent_at": clock(),
        }
        script.deeds.append(Row("email_log", sent, "insert", stage=1))
    script.output = {"success": True, "sequence": sequence}
    if rng.random() < 0.1:
        return _rejected_mail(script)
    return script


def _rejected_mail(script: Script) -> Script:
    """The mail provider takes no more, and both sides give up: neither schedules anything."""
    mail = script.mails()[0]
    mail.status, mail.told = 400, {}
    script.deeds = [mail]
    return _failed(script, 'mail answered 400: {"errors":[{"message":"sender is suspended"}]}')


# -- process-payout ---------------------------------------------------------------------------------


def process_payout(shop: Shop) -> Script:
    rng = shop.rng
    request_id, creator_id = f"request-{rng.randrange(10**6):06d}", f"creator-{rng.randrange(1000):03d}"
    script = Script("process-payout", "payout/approved", {"requestId": request_id}, None)
    amount, currency = rng.choice((rng.randint(1_050, 250_000), 10_000, 12_345)), shop.tenant.currency
    wire = rng.random() < 0.4
    body: dict[str, Any] = {"currency": currency, "reference": request_id}
    if wire:
        body |= {"value": units(amount), "iban": f"DE{rng.randrange(10**20):020d}"}
        pay = Call("bankwire", "POST", "/payouts", body, key=f"payout-{request_id}", status=200)
    else:
        body |= {"amount": amount, "destination": f"acct-{rng.randrange(10**4):04d}"}
        pay = Call("swiftpay", "POST", "/v1/transfers", body, key=f"payout-{request_id}", status=201)
    if rng.random() < 0.25:
        body["metadata"] = {"runId": born("run", rng.choice(("uuid", "ulid", "hex32"))), "attempted_at": clock()}
    script.deeds.append(pay)
    ending = rng.random()
    if ending < 0.12:
        pay.status = 422 if wire else 402
        reason = "the receiving account is closed" if wire else "destination account is closed"
        error = f"{pay.target}: {reason}"
        pay.answer = {"problem": reason} if wire else {"error": {"type": "declined", "message": reason}}
        if rng.random() < 0.3:
            error = f"{error} (request {born('request', 'uuid')} at {clock()})"
        script.deeds.append(_withdrawal(request_id, status="failed", error=error, stage=1))
        return _failed(script, error)
    transfer = born("transfer", "uuid" if wire else rng.choice(("transfer", "transfer", "base62", "object")))
    pay.answer = {"payout": {"id": transfer, "state": "accepted"}} if wire else {"id": transfer, "status": "pending"}
    script.deeds.append(_withdrawal(request_id, status="completed", transfer_id=transfer, stage=1))
    lines = [("payout", -amount)]
    if rng.random() < 0.35:
        lines.append(("fee", -share(amount, 2)))
    form = rng.choices(("uuid", "uuid7", "ulid", "hex32", "serial", "cuid"), (50, 15, 10, 10, 10, 5))[0]
    for kind, cents in lines:
        values = {
            "id": born(f"line-{kind}", form),
            "request_id": request_id,
            "creator_id": creator_id,
            "kind": kind,
            "amount_cents": cents,
            "currency": currency,
            "transfer_id": transfer,
            "created_at": clock(),
        }
        script.deeds.append(Row("ledger_transactions", values, "insert", stage=2))
    receipt = born("line-payout", form) if rng.random() < 0.3 and form != "serial" else None
    script.deeds.append(messages.payout_confirmation(shop, request_id, amount, currency, transfer, receipt))
    script.output = {"success": True, "transferId": transfer}
    if rng.random() < 0.2:
        script.output["ledgerIds"] = [born(f"line-{kind}", form) for kind, _cents in lines]
    return script


def _withdrawal(request_id: str, *, stage: int, **values: Any) -> Row:
    return Row("withdrawals", {"id": request_id, **values, "updated_at": clock()}, stage=stage)


# -- process-creator-application --------------------------------------------------------------------


def process_creator_application(shop: Shop) -> Script:
    rng, tenant = shop.rng, shop.tenant
    creator_id = f"applicant-{rng.randrange(10**5):05d}" if rng.random() < 0.8 else f"c{rng.getrandbits(60):015x}"
    script = Script(
        "process-creator-application", "creator/applied", {"creatorId": creator_id, "tenantId": tenant.id}, tenant.id
    )
    applicant = shop.person()
    script.deeds.append(messages.application_received(shop, applicant, creator_id))
    if rng.random() < 0.15:
        script.deeds.append(messages.manager_told(shop, script.mails()[0]))
    followers, handle = rng.randint(500, 200_000), f"@{applicant.first.lower()}{rng.randrange(1000)}"
    note = f"{applicant.name} ({handle}, {followers:,} followers) applied at {tenant.name}"
    if rng.random() < 0.3:
        note += f" <https://app.example/runs/{born('run', rng.choice(('uuid', 'ulid', 'hex32')))}|details>"
    posts = [note]
    if rng.random() < 0.15:
        posts.append(note)  # both say it twice, word for word
    if rng.random() < 0.1:
        posts.append("-")
    for text in posts:
        body: dict[str, Any] = {"channel": APPLICATIONS_CHANNEL, "text": text}
        if rng.random() < 0.2:
            body["blocks"] = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
        form = rng.random() < 0.2
        posted = {
            "ok": True,
            "channel": APPLICATIONS_CHANNEL,
            "ts": f"{rng.randrange(10**9)}.{rng.randrange(10**6):06d}",
        }
        script.deeds.append(Call("slack", "POST", "/api/chat.postMessage", body, stage=1, form=form, answer=posted))
    lead = {
        "event_name": "Lead",
        "event_time": clock("seconds"),
        "event_id": f"lead-{creator_id}",
        "action_source": "website",
        "user_data": {"em": [hashed(applicant.email)]},
    }
    if rng.random() < 0.2:
        lead["custom_data"] = {"content_ids": [handle, creator_id], "trace": born("run-trace", "uuid")}
    path = f"/{META_API_VERSION}/{tenant.pixel_id}/events"
    received = {"events_received": 1, "fbtrace_id": born("fb-trace", "cuid")}
    script.deeds.append(Call("meta", "POST", path, {"data": [lead]}, stage=1, answer=received))
    if rng.random() < 0.2:
        # Kept word by word, and by nothing but a key that the database or the worker makes up.
        looks = rng.choice(("uuid", "ulid", "cuid", "serial"))
        for number in range(rng.randint(1, 3)):
            entry = {"id": born(f"activity-{number}", looks), "kind": "applied", "about": creator_id, "at": clock()}
            script.deeds.append(Row("activities", entry, "insert", stage=2))
    if rng.random() < 0.2:
        told = {"creatorId": creator_id, "applicationEventId": born("told", "uuid"), "tenantId": tenant.id}
        script.deeds.append(Emission("creator/welcome.requested", told, stage=2))
    script.output = {"success": True}
    return script


# -- process-attribution ----------------------------------------------------------------------------


def process_attribution(shop: Shop) -> Script:
    rng, tenant = shop.rng, shop.tenant
    order_id = shop.order_id()
    script = Script(
        "process-attribution", "attribution/conversion", {"orderId": order_id, "tenantId": tenant.id}, tenant.id
    )
    if rng.random() < 0.03:
        return _failed(script, f"no row '{order_id}' in conversions")
    visitor, email, total = shop.visitor_id(), shop.person().email, rng.randint(990, 40_000)
    occurred = shop.moment()
    channels = rng.sample(CHANNELS, rng.randint(1, 5))
    for model in MODELS:
        weights = [rng.random() + 0.01 for _ in channels]
        credits = {c: total / 100 * w / sum(weights) for c, w in zip(channels, weights, strict=True)}
        result = {
            "id": f"{order_id}/{model}",
            "order_id": order_id,
            "tenant_id": tenant.id,
            "model": model,
            "credits_json": credits,
            "currency": tenant.currency,
            "day": occurred.date().isoformat(),
            "attributed_cents": total,
            "created_at": clock(),
        }
        script.deeds.append(Row("attribution_results", result))
    value = total / 100
    params = {"transaction_id": order_id, "value": value, "currency": tenant.currency}
    if rng.random() < 0.3:
        params["items"] = [
            {"item_name": item.title, "quantity": item.quantity, "price": item.price_cents / 100}
            for item in shop.items(rng.randint(1, 4))
        ]
    body = {"client_id": visitor, "events": [{"name": "purchase", "params": params}]}
    query = {"measurement_id": tenant.measurement_id}
    if rng.random() < 0.3:
        query |= {"debug": "0", "lang": "de-DE"}
    script.deeds.append(Call("ga4", "POST", "/mp/collect", body, query, status=204, stage=1))
    purchase = {
        "event_name": "Purchase",
        "event_time": int(occurred.timestamp()),
        "event_id": f"purchase-{order_id}",
        "action_source": "website",
        "user_data": {"em": [hashed(email)]},
        "custom_data": {"value": value, "currency": tenant.currency, "order_id": order_id},
    }
    path = f"/{META_API_VERSION}/{tenant.pixel_id}/events"
    received = {"events_received": 1, "fbtrace_id": born("fb-trace", "cuid")}
    script.deeds.append(Call("meta", "POST", path, {"data": [purchase]}, stage=1, answer=received))
    script.output = {"success": True, "models": list(MODELS)}
    return script


# -- aggregate-daily-metrics ------------------------------------------------------------------------


def aggregate_daily_metrics(shop: Shop) -> Script:
    rng = shop.rng
    day = shop.moment().date().isoformat()
    alone = rng.random() < 0.6
    data = {"day": day, "tenantId": shop.tenant.id} if alone else {"day": day}
    script = Script("aggregate-daily-metrics", "cron/daily-metrics", data, shop.tenant.id if alone else None)
    tenants = [shop.tenant] if alone else rng.sample(TENANTS, rng.randint(2, len(TENANTS)))
    for tenant in tenants:
        revenue = rng.choice((0, rng.randint(0, 900_000)))
        snapshot = {
            "id": f"{tenant.id}/{day}",
            "tenant_id": tenant.id,
            "day": day,
            "orders": rng.randint(0, 40) if revenue else 0,
            "revenue_cents": revenue,
            "currency": tenant.currency,
            "attributed_cents": revenue // 3,
            "new_customers": rng.randint(0, 12),
            "created_at": clock(),
        }
        if rng.random() < 0.2:
            snapshot["conversion_rate"] = rng.random()
        script.deeds.append(Row("daily_snapshots", snapshot))
    script.output = {"success": True, "tenants": len(tenants)}
    return script


# -- process-webhook-queue --------------------------------------------------------------------------


def process_webhook_queue(shop: Shop) -> Script:
    rng, tenant = shop.rng, shop.tenant
    script = Script("process-webhook-queue", "cron/webhook-queue", {"tenantId": tenant.id}, tenant.id)
    size = rng.choices((0, rng.randint(1, 9), rng.randint(10, 20), 100), (6, 80, 12, 0.6))[0]
    processed = failed = 0
    known: list[str] = []
    # One after the other, in the order of their arrival: two may be about one customer.
    for place in range(size):
        webhook = f"queued-{tenant.domain[5:7]}-{rng.randrange(10**5):05d}-{place:03d}"
        problem = rng.choices((None, "no handler for app/uninstalled", "customer has no email"), (86, 7, 7))[0]
        if problem is None:
            again = known and rng.random() < 0.15
            customer = rng.choice(known) if again else f"customer-q-{rng.randrange(10**6):06d}"
            person = shop.person()
            known.append(customer)
            row = {
                "id": customer,
                "tenant_id": tenant.id,
                "email": person.email,
                "name": person.name,
                "updated_at": clock(),
            }
            script.deeds.append(Row("customers", row, stage=2 * place))
            change: dict[str, Any] = {"status": "processed", "processed_at": clock()}
            processed += 1
        else:
            change = {"retries": rng.randint(1, 4), "error": problem}
            failed += 1
        script.deeds.append(Row("webhook_queue", {"id": webhook, **change}, stage=2 * place + 1))
    script.output = {"processed": processed, "failed": failed}
    return script


def _failed(script: Script, error: str) -> Script:
    script.status, script.error, script.output = "failed", error, None
    return script


TASKS: MappingProxyType[str, Callable[[Shop], Script]] = MappingProxyType(
    {
        "sync-shopify-order": sync_shopify_order,
        "send-review-email": send_review_email,
        "process-payout": process_payout,
        "process-creator-application": process_creator_application,
        "process-attribution": process_attribution,
        "aggregate-daily-metrics": aggregate_daily_metrics,
        "process-webhook-queue": process_webhook_queue,
    }
)
"""What makes a script of each task."""


def any_script(rng: random.Random, task: str | None = None) -> Script:
    """A clean script, of that task or any."""
    return TASKS[task or rng.choice(tuple(TASKS))](Shop(rng))
