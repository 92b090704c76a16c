"""Which addresses may be called: each blocked network at both its ends, its neighbours, and a second opinion."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noren.fetching.addresses import is_public

BLOCKED = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 100.100.100.200/32
::/128 ::1/128 ::ffff:0:0/96 ::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:2::/48 2001:10::/28 2001:20::/28
2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fd00:ec2::254/128 fe80::/10 fec0::/10 ff00::/8
""".split()
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.88.98.255 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
203.0.112.255 203.0.114.0 223.255.255.255 168.63.129.15 168.63.129.17
2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2400:4050::1 2606:4700:4700::1111 3fff:1000::1
""".split()
INSIDE = "10.0.0.1 127.0.0.1 169.254.169.254 8.8.8.8".split()
CARRIERS = "::ffff:{} ::{} 64:ff9b::{} 64:ff9b:1::{} 2002:{}:: 2001:0:{}::".split()


@pytest.mark.parametrize("network", BLOCKED)
def test_blocked_networks_are_blocked_from_end_to_end(network: str) -> None:
    whole = ip_network(network)
    for address in (whole[0], whole[1 if whole.num_addresses > 1 else 0], whole[-1]):
        assert not is_public(address), address


@pytest.mark.parametrize("address", PUBLIC)
def test_their_neighbours_are_not(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("inside", INSIDE)
def test_no_address_comes_inside_another(carrier: str, inside: str) -> None:
    number = int(IPv4Address(inside))
    hexed = f"{number >> 16:x}:{number & 0xFFFF:x}"
    assert not is_public(IPv6Address(carrier.format(hexed if "2001:0" in carrier or "2002" in carrier else inside)))


def test_an_address_of_one_link_is_not_public() -> None:
    assert not is_public(ip_address("2606:4700:4700::1111%eth0"))


@given(st.ip_addresses() | st.ip_addresses(v=6, network="2000::/3"))
@example(ip_address("192.88.99.1"))
def test_what_is_public_is_so_by_the_standard_library_too(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        kinds = (
            "is_multicast",
            "is_reserved",
            "is_private",
            "is_link_local",
            "is_site_local",
            "ipv4_mapped",
            "sixtofour",
        )
        assert not [kind for kind in kinds if getattr(address, kind, None)]


def test_the_standard_library_alone_would_not_do() -> None:
    """Why the list is our own: if this fails some day, that is no reason to drop it."""
    missed = [each for each in BLOCKED if ip_network(each)[1 if ip_network(each).num_addresses > 1 else 0].is_global]
    assert missed
