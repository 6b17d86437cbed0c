"""URLs of platforms, targets and links: what could not be reached as it is written is refused with its line."""

from __future__ import annotations

import pytest

from shadow.catalogue import CatalogueError, parse
from tests.unit.shadow.catalogue.generated import ENVIRON, small

NONE = (
    "api.example.com",
    "ftp://api.example.com",
    "https://",
    "https://[::1",
    "http://[x]/",
    "https://api.example.com:port",
    "https://api.example.com:70000",
    "https://api.example.com:0",
    "https://api.exa mple.com",
    "https://api.example.com\\@inside",
)
WITH_MORE = ("https://user:hid@api.example.com", "https://hid@api.example.com", "https://api.example.com#part")


def problems(url: str, key: str) -> list[str]:
    quoted = "'" + url + "'"
    if key == "targets.shop.url":
        text = small() + f"targets:\n  shop: {{url: {quoted}}}\n"
    elif key == "notifications.links":
        text = small() + f"notifications: {{links: {quoted}}}\n"
    else:
        side, kind = key.split(".")[1], key.rpartition(".")[2]
        named = {"trigger": "kind: trigger.dev\n", "inngest": "kind: inngest\n"}[side]
        text = small().replace(named, f"{named}    {kind}: {quoted}\n", 1)
        text = text.replace(f"\n    {kind}: http", f"\n    # {kind}: http")
    try:
        parse(text, "c.yaml", ENVIRON)
    except CatalogueError as error:
        return [str(problem) for problem in error.problems]
    return []


KEYS = (
    "targets.shop.url",
    "notifications.links",
    "platforms.trigger.url",
    "platforms.inngest.event_url",
    "platforms.inngest.api_url",
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("url", [*NONE, *WITH_MORE])
def test_what_is_no_base_url_is_refused_by_its_line_and_shows_no_password(key: str, url: str) -> None:
    said = problems(url, key)
    assert len(said) == 1
    assert said[0].startswith("c.yaml:")
    assert f": {key}: found " in said[0]
    assert "hid" not in said[0]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/base/",
        "http://127.0.0.1:9000",
        "http://[::1]:1",
        "http://[FD00::A]/",
        "https://bücher.example",
        "https://api.BÜCHER.example",
        "https://xn--bcher-kva.example",
        "http://shadow_proxy:8080",
    ],
)
def test_a_base_url_is_taken(key: str, url: str) -> None:
    assert problems(url, key) == []


def test_an_endpoint_that_stands_alone_may_have_a_query() -> None:
    web = "platforms:\n  web: {kind: http, side: legacy, url: 'https://app.example/hook?key=1'}\n"
    assert parse(small().replace("platforms:\n", web, 1), "c.yaml", ENVIRON).platforms["web"].side == "legacy"
    with pytest.raises(CatalogueError):
        parse(small().replace("platforms:\n", web.replace("?", "#"), 1), "c.yaml", ENVIRON)
