"""Refusals are counted per actor, reason and minute, and written once a minute: floods can't make us pay for writes."""

from __future__ import annotations

import ipaddress
import logging
import os
import threading
from collections import Counter

from noren.clock import Clock
from noren.edge.store import SecurityStore

MAX_ACTORS = 200
"""Kept apart within a minute; the rest are counted together."""

_log = logging.getLogger("noren.security")


class SecurityEvents:
    """Counts in memory; at most one write a minute per container.

    The first event after a quiet minute is written at once, what follows in that minute with the first call
    of the next one: a container that dies in between loses at most a minute's counts (the access log has them).
    """

    def __init__(self, store: SecurityStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._written_minute = -1
        self._lock = threading.Lock()

    def count(self, reason: str, actor: str) -> None:
        """One refusal, e.g. `count("forbidden", "user:…")`."""
        self.note(reason, actor)
        self.flush()

    def note(self, reason: str, actor: str) -> None:
        """Count without writing: what comes next and is counted, or flushes, writes it along."""
        name = f"{reason} {actor}"
        with self._lock:
            if name not in self._counts and len(self._counts) >= MAX_ACTORS:
                name = f"{reason} others"
            self._counts[name] += 1

    def flush(self) -> None:
        """Write what is counted, unless this minute's write has been made. Called after every request; cheap."""
        minute = int(self._clock() // 60)
        if not self._counts or minute == self._written_minute:
            return
        with self._lock:
            if minute == self._written_minute:
                return
            self._written_minute = minute
            counts, self._counts = self._counts, Counter()
        try:
            self._store.write(minute, os.urandom(6).hex(), counts)
        except Exception as error:  # counting must never fail the request
            _log.warning("security events not written: %s", type(error).__name__)


def address_prefix(address: str) -> str:
    """An address without its last part: /24 for IPv4, /48 for IPv6. "" for what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def countable(address: str) -> str:
    """What address limits count by: all of an IPv4 address, the /56 of an IPv6 one (a household has that many)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 56), strict=False))
