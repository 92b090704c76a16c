"""API keys: shown once, kept as hashes, bounded in scope and time."""

from __future__ import annotations

import hashlib
import re
import secrets

from noren.cache import TtlCache
from noren.clock import Clock
from noren.errors import Conflict, NotFound
from noren.ids import TenantId, new_id
from noren.tables import Position
from noren.tenants.models import ApiKey, Scope
from noren.tenants.store import TenantStore

CACHE_SECONDS = 30
USED_SECONDS = 60
"""`last_used_at` moves at most this often."""
MAX_KEYS = 100
VISIBLE = 12

_SECRET = re.compile(r"nrn_[A-Za-z0-9_-]{43}\Z")


class Keys:
    """A tenant's keys."""

    def __init__(self, store: TenantStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._found: TtlCache[str, ApiKey] = TtlCache(CACHE_SECONDS, clock)
        self._used: TtlCache[str, bool] = TtlCache(USED_SECONDS, clock)

    def find(self, secret: str) -> ApiKey | None:
        """The key with that secret if it is in force; what is remembered is at most 30 s old."""
        if not _SECRET.match(secret):
            return None
        key_hash = _hash(secret)
        try:
            key = self._found.get(key_hash, lambda: self._load(key_hash))
        except KeyError:
            return None
        now = self._clock()
        if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
            return None
        self._used.get(key.key_id, lambda: self._mark_used(key, now))
        return key

    def create(
        self, tenant_id: TenantId, name: str, scopes: frozenset[Scope], expires_at: float | None, actor: str
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which nobody can ever read again. Raises Conflict when there are too many."""
        held, _ = self._store.list_keys(tenant_id, "", MAX_KEYS * 10, None)
        if sum(key.revoked_at is None for key in held) >= MAX_KEYS:
            raise Conflict(f"A tenant may have {MAX_KEYS} keys at most: revoke one first.", code="too_many_keys")
        secret = f"nrn_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            key_id=new_id("key", self._clock()),
            tenant_id=tenant_id,
            name=name,
            prefix=secret[:VISIBLE],
            key_hash=_hash(secret),
            scopes=scopes,
            created_at=self._clock(),
            created_by=actor,
            expires_at=int(expires_at) if expires_at is not None else None,
        )
        self._store.put_key(key)
        return key, secret

    def get(self, tenant_id: TenantId, key_id: str) -> ApiKey:
        """One key, revoked or not. Raises NotFound."""
        key = self._store.key(tenant_id, key_id)
        if key is None:
            raise NotFound()
        return key

    def list(
        self, tenant_id: TenantId, prefix: str, limit: int, position: Position | None
    ) -> tuple[list[ApiKey], Position | None]:
        """Newest first, revoked ones too; `prefix` searches by the visible beginning."""
        return self._store.list_keys(tenant_id, prefix, limit, position)

    def change(
        self,
        tenant_id: TenantId,
        key_id: str,
        actor: str,
        *,
        name: str | None = None,
        scopes: frozenset[Scope] | None = None,
        expires_at: float | None = None,
    ) -> ApiKey:
        """Rename a key, change what it may do or when it ends. Effective within 30 s. Raises NotFound, Conflict."""
        key = self.get(tenant_id, key_id)
        given = {
            "name": name,
            "scopes": sorted(scopes) if scopes is not None else None,
            "expires_at": int(expires_at) if expires_at is not None else None,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        audit = {"updated_at": int(self._clock()), "updated_by": actor}
        if not self._store.change_key(tenant_id, key_id, changes | audit):
            raise Conflict("The key is revoked; make a new one.", code="key_revoked")
        self._found.drop(key.key_hash)
        return self.get(tenant_id, key_id)

    def revoke(self, tenant_id: TenantId, key_id: str, actor: str) -> None:
        """Effective within 30 s everywhere, at once in this container. Raises NotFound."""
        key = self.get(tenant_id, key_id)
        self._store.mark_key(tenant_id, key_id, "revoked_at", self._clock(), older_than=0, by=actor)
        self._found.drop(key.key_hash)

    def _load(self, key_hash: str) -> ApiKey:
        key = self._store.key_by_hash(key_hash)
        if key is None:
            raise KeyError(key_hash)
        return key

    def _mark_used(self, key: ApiKey, now: float) -> bool:
        return self._store.mark_key(
            key.tenant_id, key.key_id, "last_used_at", now, older_than=now - USED_SECONDS, by=key.key_id
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
