"""Which names a request may call us by."""

from __future__ import annotations

import pytest

from shadow.access.hosts import is_ours


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost",
        "LocalHost:8485",
        "localhost.",
        "shadow.localhost:8485",
        "127.0.0.1",
        "127.0.0.1:8485",
        "10.0.3.7:8485",
        "[::1]:8485",
        "[fd00::7]",
    ],
)
def test_addresses_and_names_of_this_machine_are_ours(host: str | None) -> None:
    assert is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8485",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example.",
        "2130706433",
        "0x7f.1",
        "[evil]",
        "",
        ":8485",
        "localhost@evil.example",
        "evillocalhost",
    ],
)
def test_a_name_of_somebody_elses_is_not(host: str) -> None:
    assert not is_ours(host, ["shadow.corp.test"])


def test_names_that_were_configured_are() -> None:
    assert is_ours("Shadow.corp.test:443", ["shadow.corp.test"])
    assert is_ours("shadow.corp.test", ["SHADOW.corp.test."])
    assert not is_ours("a.shadow.corp.test", ["shadow.corp.test"])
