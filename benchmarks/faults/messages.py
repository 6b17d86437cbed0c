"""The mails of the scripts: what `sandbox/commerce/messages.py` says, in HTML that sides may spell differently."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.script import Call
from benchmarks.faults.shop import Person, Shop
from benchmarks.faults.symbols import GAP_SYMBOL, NEWLINE_SYMBOL, born, markup
from sandbox.commerce.messages import APPLICATION_RECEIVED, PAYOUT_CONFIRMATION, REVIEW_REQUEST
from sandbox.commerce.money import units


def review_request(shop: Shop, order_id: str, sequence: int, percent: int) -> Call:
    customer, tenant = shop.person(), shop.tenant
    opening = "How do you like it?" if sequence == 1 else "We would still love to hear from you."
    goods = GAP_SYMBOL.join(f"<li>{item.quantity} x {markup(item.title)}</li>" for item in shop.items())
    parts = [
        f"<p>Hello {markup(customer.name)},</p>",
        f"<p>{opening}</p>",
        f"<ul>{goods}</ul>",
        f"<p>Review it and get {percent}% off at {markup(tenant.name)}.</p>",
    ]
    if shop.rng.random() < 0.5:
        parts.append(f'<p><a href="https://{tenant.domain}/orders/{order_id}/review?n={sequence}">Review</a></p>')
    mail = _mail(
        shop,
        REVIEW_REQUEST,
        [customer],
        tenant.mail_from,
        f"{tenant.name}: your order #{shop.rng.randrange(500, 99_999)}",
        parts,
        f"{order_id}/{sequence}",
    )
    if shop.rng.random() < 0.15:
        mail.body["personalizations"][0]["bcc"] = [{"email": f"archive@{tenant.domain}"}]
    return mail


def payout_confirmation(
    shop: Shop, request_id: str, amount: int, currency: str, transfer: str, receipt: str | None
) -> Call:
    creator, money = shop.person(), f"{units(amount)} {currency}"
    parts = [
        f"<p>Hello {markup(creator.name)},</p>",
        f"<p>{money} is on its way to you. Transfer: {transfer}</p>",
    ]
    if receipt is not None:
        parts.append(f'<p><a href="https://pay.example/receipts/{receipt}?of={request_id}">Receipt</a></p>')
    mail = _mail(
        shop, PAYOUT_CONFIRMATION, [creator], "payouts@platform.example", f"Your payout of {money}", parts, request_id
    )
    mail.stage = 3
    return mail


def application_received(shop: Shop, applicant: Person, creator_id: str) -> Call:
    tenant = shop.tenant
    parts = [f"<p>Hello {markup(applicant.name)},</p>", "<p>thank you, we will be in touch.</p>"]
    people = [applicant]
    if shop.rng.random() < 0.1:
        people.append(shop.person())  # a manager's
    return _mail(
        shop, APPLICATION_RECEIVED, people, tenant.mail_from, f"Your application at {tenant.name}", parts, creator_id
    )


def manager_told(shop: Shop, mail: Call) -> Call:
    """The same mail, of the same template and reference, to somebody else."""
    again = mail.again()
    assert isinstance(again, Call)
    again.body["personalizations"] = [{"to": [{"email": shop.person().email}]}]
    again.told = {"x-message-id": born("other-message", "message")}
    return again


def _mail(
    shop: Shop, template: str, to: list[Person], sender: str, subject: str, parts: list[str], reference: str
) -> Call:
    arguments: dict[str, Any] = {"reference": reference}
    rng = shop.rng
    if rng.random() < 0.3:
        opened = born("open", rng.choice(("uuid", "ulid", "hex32")))
        parts = [*parts, f'<img src="https://track.example/o/{opened}.gif" width="1" height="1">']
        arguments["open_id"] = opened
    if rng.random() < 0.2:
        token = born("unsubscribe", "cuid")
        parts = [*parts, f'<p><a href="https://mail.example/u?to={reference}&amp;t={token}">Unsubscribe</a></p>']
    content = [{"type": "text/html", "value": GAP_SYMBOL.join(parts)}]
    if rng.random() < 0.25:
        lines = ["Hello,", "", f"this is about {reference}.", "Yours, — the team \U0001f49b"]
        content.insert(0, {"type": "text/plain", "value": NEWLINE_SYMBOL.join(lines)})
    envelopes = [{"to": [{"email": person.email} for person in to]}]
    if len(to) > 1 and rng.random() < 0.5:
        envelopes = [{"to": [{"email": person.email}]} for person in to]
    return Call(
        "mail",
        "POST",
        "/v3/mail/send",
        {
            "personalizations": envelopes,
            "from": {"email": sender},
            "subject": subject,
            "content": content,
            "categories": [template],
            "custom_args": arguments,
        },
        status=202,
        told={"x-message-id": born("mail-message", "message")},
    )
