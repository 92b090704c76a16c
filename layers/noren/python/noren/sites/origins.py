"""Which pages may use a site: entries as owners write them, and origins as browsers send them."""

from __future__ import annotations

import ipaddress
import re

from noren.sites.models import Site

MAX_ENTRY = 300
DEFAULT_PORTS = {"http": 80, "https": 443}

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_ORIGIN = re.compile(r"(https?)://([^:/]{1,253})(?::([1-9][0-9]{0,4}))?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
"""A last label that makes browsers read the whole host as an IPv4 address."""


def parse_entry(text: str) -> str:
    """An entry of a site's `allowed_domains` in its one spelling: what a browser sends as `Origin`, or with `*.` ahead
    of the host for all of its sub-domains, but not itself.

    `shop.example` means https; a default port is left out; letters beyond ASCII become punycode as in browsers.
    Raises ValueError, worded for the owner, for what names no origin.
    """
    if not text or len(text) > MAX_ENTRY:
        raise ValueError(f"Write a domain of at most {MAX_ENTRY} characters, like shop.example.")
    if any(each.isspace() or not each.isprintable() for each in text):
        raise ValueError("Leave out spaces.")
    scheme, found, rest = text.rpartition("://")
    scheme = scheme.lower() if found else "https"
    if scheme not in DEFAULT_PORTS:
        raise ValueError("Begin with https:// or http://, or with the domain itself.")
    rest = rest.removesuffix("/")  # as an address bar shows it
    if any(each in rest for each in "/\\?#"):
        raise ValueError("Leave out the path: an origin is only scheme, domain and port.")
    if "@" in rest:
        raise ValueError("Leave out user names and passwords.")
    host, colon, port = rest.partition(":")
    wildcard, host = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    host = _ascii_host(host, is_wildcard=bool(wildcard))
    if colon:
        port = _port(port)
    return f"{scheme}://{wildcard}{host}" + (f":{port}" if colon and int(port) != DEFAULT_PORTS[scheme] else "")


def is_origin(text: str) -> bool:
    """Whether this is an origin exactly as a browser serialises one: nothing else is compared with any entry."""
    found = _ORIGIN.fullmatch(text)
    if not found:
        return False
    scheme, host, port = found.groups()
    if port and (int(port) > 65535 or int(port) == DEFAULT_PORTS[scheme]):
        return False
    return _is_host(host)


def allows(site: Site, origin: str) -> bool:
    """Whether a request with this `Origin` ("" for none) may use the site: exact scheme, host and port.

    Without an origin no page asks but a server (or anybody else outside a browser): that is for the owner to allow.
    """
    if not origin:
        return site.allow_server_calls
    return is_origin(origin) and any(_covers(entry, origin) for entry in site.allowed_domains)


def _covers(entry: str, origin: str) -> bool:
    """Whether the origin, a sound one, is the entry's or below it."""
    scheme, star, suffix = entry.partition("*")
    if not star:
        return entry == origin
    return origin.startswith(scheme) and origin.endswith(suffix)  # a sound one has no empty label


def _ascii_host(host: str, *, is_wildcard: bool) -> str:
    """The host as browsers send it. Raises ValueError."""
    if "*" in host:
        raise ValueError("A * can only stand for all sub-domains, as in *.shop.example.")
    if "[" in host:
        raise ValueError("Write a domain instead of an IPv6 address.")
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError("This is no domain name.") from None
    host = host.lower()
    if host.endswith("."):
        raise ValueError("Leave out the dot at the end.")
    if not _is_host(host):
        raise ValueError("This is no domain name.")
    if is_wildcard and _is_address(host):
        raise ValueError("An IP address has no sub-domains.")
    if "." not in host and (is_wildcard or host != "localhost"):
        raise ValueError("Write the whole domain, like shop.example or *.shop.example.")
    return host


def _port(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise ValueError("A port is a number from 1 to 65535.")
    return text


def _is_host(host: str) -> bool:
    if len(host) > 253 or not _HOST.fullmatch(host):
        return False
    return not _NUMBER.fullmatch(host.rpartition(".")[2]) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False
