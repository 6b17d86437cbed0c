"""A target's name leads to no address that it may not have, and only checked addresses are connected to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from shadow.platforms.resolving import Forbidden, Resolver, check

PRIVATE = [
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "100.64.0.1",
    "fec0::1",
    "64:ff9b:1::101:101",
]
NEVER = [
    "169.254.169.254",  # the metadata service of clouds
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "168.63.129.16",  # clouds tell their machines of themselves at these too
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:168.63.129.16",
    "64:ff9b::a9fe:a9fe",  # the same through NAT64
    "2002:a9fe:a9fe::1",  # and through 6to4
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"]


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_have_to_be_declared(text: str) -> None:
    check(ip_address(text), private=True)
    with pytest.raises(Forbidden, match="private: true"):
        check(ip_address(text), private=False)


@pytest.mark.parametrize("text", ["64:ff9b::a00:1", "2002:a00:1::1"])
def test_a_private_address_behind_a_translation_is_private(text: str) -> None:
    with pytest.raises(Forbidden):
        check(ip_address(text), private=False)


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize("private", [True, False])
def test_some_addresses_no_target_may_have(text: str, private: bool) -> None:
    with pytest.raises(Forbidden):
        check(ip_address(text), private=private)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_right(text: str) -> None:
    check(ip_address(text), private=False)


class Names:
    """A name server."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "::1", "localhost"])
async def test_an_address_is_what_the_resolver_makes_of_it_however_it_is_written(host: str) -> None:
    with pytest.raises(Forbidden):
        await Resolver(host, 80, private=False).addresses()


async def test_one_forbidden_address_forbids_all() -> None:
    resolver = Resolver("pay.example", 443, private=False, lookup=Names(["1.1.1.1", "10.0.0.1"]))
    with pytest.raises(Forbidden):
        await resolver.addresses()


async def test_a_name_that_changes_its_mind_is_not_asked_between_check_and_use() -> None:
    names = Names(["1.1.1.1", "1.0.0.1"], ["127.0.0.1"])
    resolver = Resolver("pay.example", 443, private=False, lookup=names)
    assert await resolver.addresses() == ("1.1.1.1", "1.0.0.1")
    resolver.prefer("1.0.0.1")
    assert await resolver.addresses() == ("1.0.0.1", "1.1.1.1")
    assert names.asked == 1


async def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await Resolver("pay.example", 443, private=False, lookup=Names([])).addresses()
