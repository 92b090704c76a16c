"""How events are signed."""

from __future__ import annotations

import hashlib
import hmac
import json

from local.stripe.world import Obj


def body(event: Obj) -> str:
    """An event as it is posted."""
    return json.dumps(event, ensure_ascii=False)


def signature(payload: str, secret: str, timestamp: int) -> str:
    """The `Stripe-Signature` header for a payload."""
    digest = hmac.new(secret.encode(), f"{timestamp}.{payload}".encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
