"""A socket with one deadline for all that is done with it, and a budget of bytes to read."""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from noren.fetching.errors import FetchFailed


class Network:
    """The way out: the system's resolver, plain sockets, the system's certificate authorities."""

    def resolve(self, host: str, port: int) -> list[str]:
        """The host's addresses, best first. Raises OSError."""
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        """A connection to an address; nothing is resolved. Raises OSError, TimeoutError."""
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def tls(self) -> ssl.SSLContext:
        """How certificates are judged."""
        return ssl.create_default_context()


class Deadline:
    """A moment by which everything must be over."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock, self._end = clock, clock() + seconds

    def left(self) -> float:
        """Seconds until then. Raises FetchFailed (`timed_out`) when it is past."""
        left = self._end - self._clock()
        if left <= 0:
            raise FetchFailed("timed_out")
        return left


class Wire(io.RawIOBase):
    """What http.client takes for a socket. Each byte is waited for until the deadline, no byte beyond the budget."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._sock, self._deadline = sock, deadline
        self.budget = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes. Raises FetchFailed: `timed_out`, `too_large`, `unreachable`."""
        if self.budget < 0:
            raise FetchFailed("too_large")
        try:
            self._sock.settimeout(self._deadline.left())
            count = self._sock.recv_into(buffer)
        except TimeoutError:
            raise FetchFailed("timed_out") from None
        except OSError:
            raise FetchFailed("unreachable") from None
        self.budget -= count
        return count

    def sendall(self, data: bytes) -> None:
        """Send everything. Raises FetchFailed."""
        rest = memoryview(data)
        while rest:
            try:
                self._sock.settimeout(self._deadline.left())
                rest = rest[self._sock.send(rest) :]
            except TimeoutError:
                raise FetchFailed("timed_out") from None
            except OSError:
                raise FetchFailed("unreachable") from None

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client reads the answer from."""
        return io.BufferedReader(self, 8192)

    def shut(self) -> None:
        """End the connection."""
        self._sock.close()
