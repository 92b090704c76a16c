"""Standard Webhooks signatures (standardwebhooks.com, symmetric v1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    """The raw key of a new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(key: bytes) -> str:
    """`whsec_…`: the key as subscribers are given it."""
    return PREFIX + base64.b64encode(key).decode()


def headers(message_id: str, timestamp: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """The headers of one attempt, with a signature by each of the keys."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{each}" for each in digests),
    }
