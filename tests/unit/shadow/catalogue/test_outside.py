"""What a target is, by its URL."""

from __future__ import annotations

import pytest

from shadow.catalogue.outside import Target


@pytest.mark.parametrize(
    ("url", "is_mail"),
    [
        ("https://api.stripe.com", False),
        ("HTTPS://api.stripe.com", False),
        ("http://127.0.0.1:1/base", False),
        ("smtp://mail.example.com:587", True),
        ("SMTPS://mail.example.com", True),
    ],
)
def test_whether_it_takes_mail_does_not_depend_on_how_its_scheme_is_spelled(url: str, is_mail: bool) -> None:
    assert Target(url=url).is_mail == is_mail
