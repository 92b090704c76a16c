"""Verified claims of the user pool's access tokens."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

from noren.clock import Clock
from noren.errors import Busy, Unauthenticated
from noren.settings import Settings

REFETCH_SECONDS = 300
"""An unknown key id asks for the key set again at most this often: forged ids can't make us fetch."""
REQUIRED = ["exp", "iat", "iss", "sub", "token_use", "client_id"]

Fetch = Callable[[], dict[str, Any]]


def fetcher(url: str) -> Fetch:
    """Fetches the key set from `url` (ours by configuration, never a caller's)."""

    def fetch() -> dict[str, Any]:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310
            keys: dict[str, Any] = json.load(answer)
            return keys

    return fetch


class AccessTokens:
    """Checks signature (RS256 only), issuer, client, `token_use` and times of Cognito access tokens."""

    def __init__(self, settings: Settings, clock: Clock, fetch: Fetch | None = None) -> None:
        self._issuer = settings.issuer
        self._client_id = settings.client_id
        self._clock = clock
        self._fetch = fetch or fetcher(settings.jwks_url or f"{settings.issuer}/.well-known/jwks.json")
        self._keys: dict[str, Any] = {}
        self._fetched_at: float | None = None
        self._lock = threading.Lock()

    def claims(self, token: str) -> dict[str, Any]:
        """The verified claims. Raises Unauthenticated; Busy if the pool's keys can't be had."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != "RS256":
                raise Unauthenticated("The token is not signed as ours are.", code="invalid_token")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(str(header.get("kid", ""))),
                algorithms=["RS256"],
                issuer=self._issuer,
                options={"require": REQUIRED, "verify_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired. Sign in again.", code="token_expired") from None
        except (jwt.PyJWTError, ValueError):
            raise Unauthenticated("The token is not valid.", code="invalid_token") from None
        if claims["token_use"] != "access" or claims["client_id"] != self._client_id or not self._client_id:
            raise Unauthenticated("This is not an access token of this application.", code="invalid_token")
        return claims

    def _key(self, kid: str) -> Any:
        if key := self._keys.get(kid):
            return key
        with self._lock:
            now = self._clock()
            if kid not in self._keys and (self._fetched_at is None or now - self._fetched_at >= REFETCH_SECONDS):
                self._load(now)
        if kid not in self._keys:
            raise Unauthenticated("The token is not valid.", code="invalid_token")
        return self._keys[kid]

    def _load(self, now: float) -> None:
        import jwt

        try:
            found = self._fetch()["keys"]
        except (OSError, ValueError, KeyError):
            if self._keys:
                self._fetched_at = now
                return
            raise Busy("Sign-in can't be checked just now.", retry_after=2) from None
        self._fetched_at = now
        self._keys = {
            key["kid"]: jwt.algorithms.RSAAlgorithm.from_jwk(key)
            for key in found
            if key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and "d" not in key
        }
