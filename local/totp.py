"""Time-based one-time passwords (RFC 6238, SHA-1, six digits, 30 s), as an authenticator app makes them."""

from __future__ import annotations

import base64
import hmac
import struct
import time


def code(secret: str, now: float | None = None) -> str:
    """The six digits for a base32 secret at `now` (epoch seconds, default: the present)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    counter = int((time.time() if now is None else now) // 30)
    digest = hmac.digest(key, struct.pack(">Q", counter), "sha1")
    offset = digest[-1] & 0x0F
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
