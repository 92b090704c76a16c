"""URLs, read strictly: what two readers could understand differently is refused before a name is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, urljoin

from noren.fetching.errors import FetchFailed

MAX_URL = 2048
PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNRESERVED = "!#$%&'()*+,-./:;=?@[]_~"


@dataclass(frozen=True, slots=True)
class Url:
    """An http(s) URL. `host` is a lower-case ASCII name, an IPv4 address in its usual form, or an IPv6 one."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that stands for the host; None for a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL and a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Url:
    """The URL. Raises FetchFailed: `blocked_scheme`, or `invalid_url` for user info, odd hosts and all else."""
    found = _URL.fullmatch(text) if len(text) <= MAX_URL and not _FORBIDDEN.search(text) else None
    if not found:
        raise FetchFailed("invalid_url")
    scheme, authority, target = found[1].lower(), found[2], found[3]
    if scheme not in PORTS:
        raise FetchFailed("blocked_scheme")
    host, port = _host_and_port(authority)
    if not target.startswith("/"):
        target = f"/{target}"
    return Url(scheme, host, port or PORTS[scheme], quote(target, safe=_UNRESERVED))


def follow(base: Url, location: str) -> Url:
    """Where a redirect leads. `location` is as http.client reads it: bytes as Latin-1. Raises FetchFailed."""
    if _FORBIDDEN.search(location):  # urljoin would drop some of them
        raise FetchFailed("invalid_url")
    try:
        return parse(urljoin(str(base), quote(location.encode("latin-1"), safe=_UNRESERVED)))
    except ValueError:
        raise FetchFailed("invalid_url") from None


def _host_and_port(authority: str) -> tuple[str, int]:
    """Host, and port or 0. A `@` or `%` is in no host."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?", authority, re.IGNORECASE)
    if not found or (found[2] and not 0 < int(found[2]) < 65536):
        raise FetchFailed("invalid_url")
    port = int(found[2] or 0)
    if found[1].startswith("["):
        return _six(found[1][1:-1]), port
    return _name(found[1]), port


def _six(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise FetchFailed("invalid_url") from None


def _name(text: str) -> str:
    """A name in ASCII, or an IPv4 address: four decimal numbers without leading zeros, no other spelling."""
    name = text.lower() if text.isascii() else _ascii(text)
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise FetchFailed("invalid_url")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):  # whoever resolves it may take it for an address
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise FetchFailed("invalid_url") from None
    return name


def _ascii(text: str) -> str:
    """`日本語.jp` as `xn--…`; what only looks like other characters (full-width digits, odd dots) is refused."""
    import idna

    try:
        return idna.encode(text.lower(), strict=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise FetchFailed("invalid_url") from None
