"""Prefixed ids that sort by time: `ten_0192f3…` (UUIDv7 inside, RFC 9562, as 32 hex digits)."""

from __future__ import annotations

import os
import re
import time
from typing import NewType

TenantId = NewType("TenantId", str)
"""Minted only by stores and by `edge.authenticate`: holding one means that the tenant was resolved, not guessed."""

_ID = re.compile(r"[a-z]{2,8}_[0-9a-f]{32}\Z")


def uuid7_hex(now: float | None = None) -> str:
    """A UUIDv7 as 32 hex digits; random bits from the system (SnapStart restores share no generator state)."""
    millis = int((time.time() if now is None else now) * 1000)
    tail = int.from_bytes(os.urandom(10), "big")
    stamp = (millis & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76  # version 7
    rest = (tail >> 64 & 0xFFF) << 64 | 0b10 << 62 | (tail & (1 << 62) - 1)  # variant 10
    return f"{stamp | rest:032x}"


def new_id(prefix: str, now: float | None = None) -> str:
    """A fresh id with `prefix`; ids made later sort later."""
    return f"{prefix}_{uuid7_hex(now)}"


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` has the form of an id with `prefix` (says nothing about existence)."""
    return value.startswith(prefix + "_") and _ID.match(value) is not None


def created_at(value: str) -> float:
    """The time (epoch seconds) inside an id."""
    return int(value.rsplit("_", 1)[1][:12], 16) / 1000
