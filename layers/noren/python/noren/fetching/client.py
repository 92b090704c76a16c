"""The guarded client: plain HTTP/1.1 to vetted addresses, within limits of time and size.

Synchronous, one connection a request, no proxies, no cookies. Each hop's name is resolved once, every address of the
answer is vetted, and the connection goes to the vetted address itself, so that a second answer can't lead elsewhere;
TLS is checked for the name.
"""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from socket import socket
from typing import cast

from noren.fetching.addresses import is_public
from noren.fetching.errors import FetchFailed
from noren.fetching.packing import ACCEPTED, STEP, unpacker
from noren.fetching.urls import Url, follow, parse
from noren.fetching.wire import Deadline, Network, Wire

PORTS = frozenset({80, 443, 8080, 8443})
"""A shop's staging page is often on the latter two."""
PRIVATE_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".onion")
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {"user-agent": "Noren/1.0", "accept": "*/*", "accept-encoding": ACCEPTED, "connection": "close"}
CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 3
"""How many of a host's addresses are tried."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer is taken."""

    seconds: float = 10.0
    """For everything together: names, connections, redirects, the last byte."""
    header_bytes: int = 32_768
    raw_bytes: int = 2_000_000
    """Of the body as it is sent."""
    bytes: int = 4_000_000
    """Of the body unpacked."""
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. Header names are lower case; the same header sent twice is joined with a comma."""

    url: str
    """Where it came from after redirects."""
    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Fetches what others name. `allow` are `(host, port)` of this machine that may be called all the same."""

    def __init__(
        self,
        *,
        allow: frozenset[tuple[str, int]] = frozenset(),
        network: Network | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allow, self._network, self._clock = allow, network or Network(), clock

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        follows: Callable[[str], bool] = lambda url: True,
    ) -> Fetched:
        """Fetch `url`, following redirects; one that `follows` refuses is itself the answer, without its body.

        `headers` never go to another origin than the URL's. Raises FetchFailed.
        """
        limits = limits or Limits()
        deadline = Deadline(limits.seconds, self._clock)
        here, sent = parse(url), dict(headers or {})
        for _ in range(limits.redirects + 1):
            with self._exchange("GET", here, HEADERS | sent, None, limits, deadline) as (answer, wire):
                location = answer.getheader("location") if answer.status in REDIRECTS else None
                if location is None:
                    body = _body(answer, wire, limits)
                    return Fetched(str(here), answer.status, _joined(answer), body)
            following = follow(here, location)
            if (here.scheme, following.scheme) == ("https", "http"):
                raise FetchFailed("blocked_redirect")
            if not follows(str(following)):
                return Fetched(str(here), answer.status, _joined(answer) | {"location": str(following)}, b"")
            if following.origin != here.origin:
                sent = {}
            here = following
        raise FetchFailed("too_many_redirects")

    def post(self, url: str, body: bytes, *, headers: Mapping[str, str], limits: Limits | None = None) -> int:
        """Send `body` to an https URL; the status. Follows no redirect, reads no answer's body. Raises FetchFailed."""
        limits = limits or Limits()
        deadline = Deadline(limits.seconds, self._clock)
        sent = {**HEADERS, "content-length": str(len(body)), **headers}
        with self._exchange("POST", self._https(url), sent, body, limits, deadline) as (answer, _):
            return int(answer.status)

    def check_https(self, url: str, *, seconds: float = 5.0) -> None:
        """Whether `post` would go there now: the URL's form and every address of its host. Raises FetchFailed."""
        self._vetted(self._https(url), Deadline(seconds, self._clock))

    def _https(self, url: str) -> Url:
        parsed = parse(url)
        if parsed.scheme != "https" and not self._is_ours(parsed):
            raise FetchFailed("blocked_scheme")
        return parsed

    def _is_ours(self, url: Url) -> bool:
        return (url.host, url.port) in self._allow

    def _vetted(self, url: Url, deadline: Deadline) -> list[str]:
        """The addresses to connect to; one that may not be called spoils the whole answer."""
        ours = self._is_ours(url)
        if not ours and url.port not in PORTS:
            raise FetchFailed("blocked_port")
        if not ours and url.address is None and ("." not in url.host or url.host.endswith(PRIVATE_NAMES)):
            raise FetchFailed("blocked_address")
        found = [str(url.address)] if url.address else self._resolved(url, deadline)
        if not found:
            raise FetchFailed("unreachable")
        for each in found:
            address = ip_address(each)
            if not (address.is_loopback if ours else is_public(address)):
                raise FetchFailed("blocked_address")
        return found[:MOST_ADDRESSES]

    def _resolved(self, url: Url, deadline: Deadline) -> list[str]:
        """Ask for the name in a thread: the system's resolver takes as long as it likes."""
        answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._network.resolve(url.host, url.port))
            except OSError:
                answers.put([])

        threading.Thread(target=ask, daemon=True).start()
        try:
            return answers.get(timeout=deadline.left())
        except queue.Empty:
            raise FetchFailed("timed_out") from None

    def _connected(self, url: Url, deadline: Deadline) -> Wire:
        addresses = self._vetted(url, deadline)
        for number, address in enumerate(addresses, 1):
            try:
                sock = self._network.connect(address, url.port, min(CONNECT_SECONDS, deadline.left()))
                break
            except OSError as error:
                if number == len(addresses):
                    raise FetchFailed("timed_out" if isinstance(error, TimeoutError) else "unreachable") from None
        if url.scheme == "http":
            return Wire(sock, deadline)
        try:
            sock.settimeout(deadline.left())
            return Wire(self._tls.wrap_socket(sock, server_hostname=url.host), deadline)
        except TimeoutError:
            raise FetchFailed("timed_out") from None
        except ssl.SSLError:
            raise FetchFailed("tls_failed") from None
        except OSError:
            raise FetchFailed("unreachable") from None
        finally:
            sock.close()  # wrapped, it is without its descriptor

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._network.tls()

    @contextmanager
    def _exchange(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: Limits,
        deadline: Deadline,
    ) -> Iterator[tuple[http.client.HTTPResponse, Wire]]:
        """One request and its answer's head."""
        wire = self._connected(url, deadline)
        try:
            connection = http.client.HTTPConnection(url.host, url.port)
            connection.sock = cast(socket, wire)
            connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"host": url.authority, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            wire.budget = limits.header_bytes
            # The connection's own getresponse() would close the wire before the body is read.
            with http.client.HTTPResponse(cast(socket, wire), method=method) as answer:
                answer.begin()
                yield answer, wire
        except http.client.HTTPException:
            raise FetchFailed("bad_response") from None
        finally:
            wire.shut()


def _body(answer: http.client.HTTPResponse, wire: Wire, limits: Limits) -> bytes:
    """The whole body, unpacked step by step so that no more than the limit is ever in memory."""
    packed = unpacker(answer.getheader("content-encoding") or "identity")
    if (answer.length or 0) > limits.raw_bytes:
        raise FetchFailed("too_large")
    wire.budget = limits.raw_bytes
    raw, body = 0, bytearray()
    while piece := answer.read1(STEP):
        raw += len(piece)
        if raw > limits.raw_bytes:
            raise FetchFailed("too_large")
        for step in packed.unpacked(piece):
            body += step
            if len(body) > limits.bytes:
                raise FetchFailed("too_large")
    if answer.length or not packed.is_whole():  # it broke off
        raise FetchFailed("bad_response")
    return bytes(body)


def _joined(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
