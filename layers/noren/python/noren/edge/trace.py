"""The trace id: made at the edge or taken from a valid `traceparent` (W3C Trace Context)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")


def trace_id_of(headers: Mapping[str, str]) -> str:
    """32 hex digits: those of a valid `traceparent`, else fresh ones."""
    found = _TRACEPARENT.match(headers.get("traceparent", ""))
    if found and found["trace"] != "0" * 32 and found["span"] != "0" * 16:
        return found["trace"]
    return os.urandom(16).hex()
