"""What a mail says, and how it goes on."""

from __future__ import annotations

import contextlib
from email.message import EmailMessage
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.effects.mail import UnreadableMail, read_mail, without_ours


def written() -> bytes:
    message = EmailMessage()
    message["Subject"] = "Your order \u2116 7"
    message["From"] = "shop@example.com"
    message["To"] = "zoe@example.com"
    message["X-Shadow-Run"] = "run_cm1"
    message.set_content("Thanks, Zo\u00eb!\n")
    message.add_alternative("<p>Thanks, Zo\u00eb!</p>\n", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    return bytes(message)


def test_a_mail_is_told_by_its_parts() -> None:
    mail = read_mail(written(), "shop@example.com", ["zoe@example.com", "bcc@example.com", "zoe@example.com"])
    assert mail.headers == {"x-shadow-run": "run_cm1"}
    assert mail.document == {
        "from": "shop@example.com",
        "to": ["bcc@example.com", "zoe@example.com"],
        "subject": "Your order \u2116 7",
        "text": "Thanks, Zo\u00eb!",
        "html": "<p>Thanks, Zo\u00eb!</p>",
        "attachments": [
            {"name": "invoice.pdf", "type": "application/pdf", "bytes": 4, "sha256": sha256(b"%PDF").hexdigest()}
        ],
    }


def test_boundaries_and_encodings_are_no_difference() -> None:
    one, other = EmailMessage(), EmailMessage()
    one.set_content("Zo\u00eb", cte="base64")
    other.set_content("Zo\u00eb", cte="quoted-printable")
    assert read_mail(bytes(one), "a@b", ["c@d"]) == read_mail(bytes(other), "a@b", ["c@d"])


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([b"X-Shadow-Run: 1", b"Subject: a"], [b"Subject: a"]),
        ([b"Subject: a", b"x-SHADOW-run: 1"], [b"Subject: a"]),
        (
            [b"Subject: a", b"X-Shadow-Task: long", b"\tand folded", b"To: b", b" folded"],
            [b"Subject: a", b"To: b", b" folded"],
        ),
        ([b"Subject: X-Shadow-Run: 1"], [b"Subject: X-Shadow-Run: 1"]),
    ],
)
def test_only_our_headers_are_taken_out(end: bytes, lines: list[bytes], left: list[bytes]) -> None:
    body = end + end + b"X-Shadow-Run: in the body" + end
    assert without_ours(end.join(lines) + body) == end.join(left) + body


@given(st.binary(max_size=200))
def test_a_mail_without_our_headers_goes_on_as_it_is(content: bytes) -> None:
    if b"x-shadow-" not in content.lower():
        assert without_ours(b"Subject: a\r\n\r\n" + content) == b"Subject: a\r\n\r\n" + content


@given(st.binary(max_size=300))
def test_what_can_be_read_of_anything_is_json(content: bytes) -> None:
    with contextlib.suppress(UnreadableMail):
        mail = read_mail(b"Content-Type: " + content, "a@b", [])
        assert set(mail.document) == {"from", "to", "subject", "text", "html", "attachments"}
