"""The messages that people get: emails to customers, creators and applicants, and the Slack note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sandbox.commerce.database import Row
from sandbox.commerce.money import units

REVIEW_REQUEST = "review-request"
PAYOUT_CONFIRMATION = "payout-confirmation"
APPLICATION_RECEIVED = "application-received"
APPLICATIONS_CHANNEL = "#creator-applications"


@dataclass(frozen=True)
class Message:
    """One email. `reference` is the business key that it is about."""

    template: str
    to: str
    sender: str
    subject: str
    html: str
    reference: str


def incentive_percent(sequence: int) -> int:
    """The discount that the n-th request for a review offers."""
    return {1: 5, 2: 10}.get(sequence, 15)


def review_request(tenant: Row, order: Row, items: Sequence[Row], sequence: int, percent: int) -> Message:
    """The email that asks for a review of an order's products."""
    products = "".join(f"<li>{item['quantity']} x {escape(item['title'])}</li>" for item in items)
    opening = "How do you like it?" if sequence == 1 else "We would still love to hear from you."
    return Message(
        template=REVIEW_REQUEST,
        to=order["customer_email"],
        sender=tenant["mail_from"],
        subject=f"{tenant['name']}: your order #{order['number']}",
        html=(
            f"<p>Hello {escape(order['customer_name'])},</p><p>{opening}</p><ul>{products}</ul>"
            f"<p>Review it and get {percent}% off at {escape(tenant['name'])}.</p>"
        ),
        reference=f"{order['id']}/{sequence}",
    )


def payout_confirmation(creator: Row, request: Row, transfer_id: str) -> Message:
    """The email that tells a creator of money on its way."""
    amount = f"{units(request['amount_cents'])} {request['currency']}"
    return Message(
        template=PAYOUT_CONFIRMATION,
        to=creator["email"],
        sender="payouts@platform.example",
        subject=f"Your payout of {amount}",
        html=(
            f"<p>Hello {escape(creator['name'])},</p>"
            f"<p>{amount} is on its way to you. Transfer: {escape(transfer_id)}</p>"
        ),
        reference=request["id"],
    )


def application_received(application: Row, tenant: Row) -> Message:
    """The email that confirms an application."""
    return Message(
        template=APPLICATION_RECEIVED,
        to=application["email"],
        sender=tenant["mail_from"],
        subject=f"Your application at {tenant['name']}",
        html=f"<p>Hello {escape(application['name'])},</p><p>thank you, we will be in touch.</p>",
        reference=application["creator_id"],
    )


def application_note(application: Row, tenant: Row) -> str:
    """What is posted to the team."""
    followers = f"{application['followers']:,}"
    return f"{application['name']} ({application['handle']}, {followers} followers) applied at {tenant['name']}"
