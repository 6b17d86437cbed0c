"""Channels that could not be told, or would tell the wrong ones, are refused; their addresses are never shown."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from shadow.catalogue import CatalogueError, ResolvedCatalogue, parse
from tests.unit.shadow.catalogues import TEXT

HOOK = "https://hooks.example.com/services/T0/B0/s3cr3t"
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def read(links: str | None = None, **channel: Any) -> ResolvedCatalogue:
    notifications = {"channels": {"ops": {"kind": "webhook", "url": HOOK, **channel}}, "links": links}
    return parse(TEXT + yaml.safe_dump({"notifications": notifications}), "c.yaml", {})


def test_a_channel_is_told_of_what_asks_for_somebody() -> None:
    channel = read(secret=SECRET).catalogue.notifications.channels["ops"]
    assert channel.on == ("gate_opened", "gate_regressed", "moved_back", "leak")
    assert not channel.private


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"url": "hooks.example.com/s3cr3t"}, "expected an absolute URL of http or https"),
        ({"url": "https://hooks.example.com:port/s3cr3t"}, "expected an absolute URL of http or https"),
        ({"url": "ftp://hooks.example.com/s3cr3t"}, "expected an absolute URL of http or https"),
        ({"url": "https://me:s3cr3t@hooks.example.com/"}, "expected one without a user, a password and a fragment"),
        ({"url": "http://hooks.example.com/s3cr3t"}, "expected https, unless it is `private`"),
        ({"url": ["s3cr3t"]}, "found a list, expected text"),
        ({"url": 5}, "expected text"),
        ({"kind": "slack", "secret": SECRET}, "found one of a channel of kind slack, expected none"),
        ({"secret": "s3cr3t"}, "expected `whsec_` and at least 24 bytes in base64"),
        ({"secret": "whsec_s3cr3t"}, "expected `whsec_` and at least 24 bytes in base64"),
        ({"tasks": ["sync-orders"]}, "did you mean 'sync-order'?"),
        ({"on": ["gate_open"]}, "did you mean 'gate_opened'?"),
        ({"links": "shadow.example.com"}, "expected where people reach the control port"),
    ],
)
def test_a_channel_that_can_not_work_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        read(**changed)
    assert says in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_a_channel_in_a_private_network_may_go_without_tls() -> None:
    assert read(url="http://10.0.0.7/hook", private=True, links="http://shadow:9000/").catalogue.notifications.links


def test_a_channel_has_a_name_that_can_be_told() -> None:
    with pytest.raises(CatalogueError, match=r"the name 'my ops'"):
        parse(
            TEXT + yaml.safe_dump({"notifications": {"channels": {"my ops": {"kind": "slack", "url": HOOK}}}}),
            "c.yaml",
            {},
        )
