"""Which addresses may be called: those of the public internet, by a list of our own.

`ipaddress.is_global` of Python 3.11 takes several of these for public. What carries another address inside (mapped,
translated, tunnelled) is refused whole: where it leads is decided by somebody else's gateway.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_BLOCKED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata is in it
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's platform
            "169.254.0.0/16",  # link-local, metadata of AWS and others
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata is in it
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
"""All that is handed out on the internet. So ::, ::1, mapped ::ffff:0:0/96, compatible ::/96, NAT64 64:ff9b::/96 and
64:ff9b:1::/48, discard 100::/64, SRv6 5f00::/16, unique-local fc00::/7 (fd00:ec2::254 is AWS's metadata), link-local
fe80::/10, site-local fec0::/10 and multicast ff00::/8 are out."""
_BLOCKED_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _BLOCKED_4)
    if address.scope_id is not None or address not in _UNICAST_6:
        return False
    return not any(address in network for network in _BLOCKED_6)
