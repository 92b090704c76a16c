"""Secrets: read from Secrets Manager, kept in memory for minutes; and what is signed with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from noren.cache import TtlCache
from noren.clock import Clock
from noren.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

PaymentKey = Literal["stripe_secret_key", "stripe_webhook_secret"]
ProviderKey = Literal["openai_api_key", "anthropic_api_key", "runpod_api_key", "local_llm_api_key"]
REFRESH_SECONDS = 300
SHORTEST_SECRET = 16


class Secrets:
    """Values from Secrets Manager, at most five minutes old (a failed refresh keeps the last known value)."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._cache: TtlCache[str, str] = TtlCache(REFRESH_SECONDS, clock)
        self._client: SecretsManagerClient | None = None

    def provider_key(self, name: ProviderKey) -> str:
        """The key of a model service; "" where the operator has set none."""
        return self._member(self._settings.provider_secret_arn, name)

    def payment_key(self, name: PaymentKey) -> str:
        """A key or secret of the payment service; "" where the operator has set none."""
        return self._member(self._settings.payment_secret_arn, name)

    def signing_secret(self) -> str:
        """What cursors and tokens are signed with; "" where none is set (the Signer then refuses to start)."""
        arn = self._settings.signing_secret_arn
        return self._value(arn) if arn else ""

    def _member(self, arn: str, name: str) -> str:
        """One value of a secret that holds a JSON object."""
        held = json.loads(self._value(arn) or "{}") if arn else {}
        return str(held.get(name) or "") if isinstance(held, dict) else ""

    def _value(self, arn: str) -> str:
        try:
            return self._cache.get(arn, lambda: self._read(arn))
        except Exception:
            held = self._cache.stale(arn)
            if held is None:
                raise
            return held

    def _read(self, arn: str) -> str:
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
            self._client = boto3.client("secretsmanager", config=config)
        return self._client.get_secret_value(SecretId=arn).get("SecretString", "").strip()


class Signer:
    """HMAC-SHA256 tokens with a purpose: `base64url(payload).base64url(mac)`. Signed, not hidden."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock
        self._key()  # one that is missing shows at the start

    def sign(self, purpose: str, payload: Mapping[str, Any], ttl: float | None = None) -> str:
        """A token of `payload` that only `verify` with the same purpose accepts, for `ttl` seconds (None: for ever)."""
        body: dict[str, Any] = {"p": dict(payload)}
        if ttl is not None:
            body["e"] = int(self._clock() + ttl)
        raw = json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        return f"{_encode(raw)}.{_encode(self._mac(purpose, raw))}"

    def verify(self, purpose: str, token: str, grace: float = 0.0) -> dict[str, Any] | None:
        """The payload, or None if the token is forged, of another purpose, or expired (over `grace` seconds ago)."""
        head, dot, tail = token.partition(".")
        try:
            raw, mac = _decode(head), _decode(tail)
        except ValueError:
            return None
        if not dot or not hmac.compare_digest(mac, self._mac(purpose, raw)):
            return None
        body = json.loads(raw)
        if "e" in body and body["e"] + grace <= self._clock():
            return None
        payload: dict[str, Any] = body["p"]
        return payload

    def _key(self) -> bytes:
        """The secret as it is now: a new one counts within minutes, without a restart."""
        secret = self._secrets.signing_secret()
        if len(secret) < SHORTEST_SECRET:
            raise RuntimeError("The signing secret is empty or too short: set it before starting.")
        return secret.encode()

    def _mac(self, purpose: str, raw: bytes) -> bytes:
        return hmac.digest(self._key(), purpose.encode() + b"\0" + raw, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Strictly: no padding, no foreign character, no second spelling of the same bytes. Raises ValueError."""
    raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(raw) != text:
        raise ValueError("not canonical")
    return raw
