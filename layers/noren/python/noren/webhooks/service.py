"""Webhooks as their owner manages them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from noren.clock import Clock
from noren.errors import Conflict, NotFound
from noren.fetching.client import Fetcher
from noren.ids import TenantId, new_id
from noren.insight.models import Event
from noren.tables import Position
from noren.vault import Vault
from noren.webhooks import signing
from noren.webhooks.delivery_store import DeliveryStore
from noren.webhooks.fanout import Fanout
from noren.webhooks.models import TEST, Delivery, Endpoint
from noren.webhooks.store import EndpointStore

MOST = 10
"""Endpoints of a tenant."""
OVERLAP_SECONDS = 86400
"""How long the secret before a new one still signs."""

_MISSING = "There is no such webhook"


class Webhooks:
    """A tenant's endpoints and their deliveries."""

    def __init__(
        self,
        endpoints: EndpointStore,
        deliveries: DeliveryStore,
        fanout: Fanout,
        fetcher: Fetcher,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._endpoints, self._deliveries, self._fanout = endpoints, deliveries, fanout
        self._fetcher, self._vault, self._clock = fetcher, vault, clock

    def every(self, tenant_id: TenantId) -> list[Endpoint]:
        """The tenant's endpoints, newest first."""
        return self._endpoints.every(tenant_id)[::-1]

    def get(self, tenant_id: TenantId, webhook_id: str) -> Endpoint:
        """The endpoint. Raises NotFound for a missing or foreign one."""
        endpoint = self._endpoints.get(tenant_id, webhook_id)
        if endpoint is None:
            raise NotFound(_MISSING)
        return endpoint

    def create(self, tenant_id: TenantId, given: Mapping[str, Any], actor: str) -> tuple[Endpoint, str]:
        """A new endpoint and its secret, which is shown this once.

        Raises FetchFailed for an address that is not called, Conflict when there are `MOST`.
        """
        self._fetcher.check_https(given["callback_url"])
        now = self._clock()
        webhook_id = new_id("whk", now)
        sealed, secret = self._new_secret(tenant_id, webhook_id)
        made = Endpoint(
            webhook_id=webhook_id,
            tenant_id=tenant_id,
            sealed_secret=sealed,
            created_at=now,
            created_by=actor,
            updated_at=now,
            updated_by=actor,
            **given,
        )
        if not self._endpoints.add(made, MOST):
            raise Conflict(f"There are {MOST} webhooks, which is the most. Delete one first.", code="too_many_webhooks")
        return made, secret

    def change(self, tenant_id: TenantId, webhook_id: str, given: Mapping[str, Any], actor: str) -> Endpoint:
        """Change an endpoint; enabling one gives it a fresh start. Raises NotFound, FetchFailed, Conflict."""
        endpoint = self.get(tenant_id, webhook_id)
        if "callback_url" in given:
            self._fetcher.check_https(given["callback_url"])
        changed = replace(endpoint, **given)
        if changed.enabled and not endpoint.enabled:
            changed = replace(changed, disabled_reason="", failures=0, failing_since=None)
        return self._saved(changed, actor)

    def delete(self, tenant_id: TenantId, webhook_id: str) -> None:
        """Take an endpoint away with what waits for it. Raises NotFound."""
        if not self._endpoints.remove(self.get(tenant_id, webhook_id)):
            raise NotFound(_MISSING)

    def renew_secret(self, tenant_id: TenantId, webhook_id: str, actor: str) -> tuple[Endpoint, str]:
        """A new secret, shown this once; the one before signs as well for a day. Raises NotFound, Conflict."""
        endpoint = self.get(tenant_id, webhook_id)
        sealed, secret = self._new_secret(tenant_id, webhook_id)
        until = self._clock() + OVERLAP_SECONDS
        changed = replace(endpoint, sealed_secret=sealed, previous_secret=endpoint.sealed_secret, previous_until=until)
        return self._saved(changed, actor), secret

    def send_test(self, tenant_id: TenantId, webhook_id: str) -> Delivery:
        """Have a `test` event sent, by the way that all go. Raises NotFound, Conflict where it is disabled."""
        endpoint = self._enabled(tenant_id, webhook_id)
        now = self._clock()
        event = Event(new_id("evt", now), tenant_id, TEST, TEST, {"webhook_id": webhook_id}, now)
        return self._fanout.send_test(endpoint, event, now)

    def deliveries(
        self, tenant_id: TenantId, webhook_id: str, limit: int, position: Position | None
    ) -> tuple[list[Delivery], Position | None]:
        """An endpoint's deliveries of the last 30 days, newest first. Raises NotFound."""
        self.get(tenant_id, webhook_id)
        return self._deliveries.page(tenant_id, webhook_id, limit, position)

    def delivery(self, tenant_id: TenantId, webhook_id: str, delivery_id: str) -> Delivery:
        """One delivery. Raises NotFound."""
        self.get(tenant_id, webhook_id)
        found = self._deliveries.get(tenant_id, webhook_id, delivery_id)
        if found is None:
            raise NotFound("There is no such delivery")
        return found

    def replay(self, tenant_id: TenantId, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again, under its old id, with all attempts anew.

        Raises NotFound; Conflict where it is pending or the endpoint is disabled.
        """
        self._enabled(tenant_id, webhook_id)
        found = self.delivery(tenant_id, webhook_id, delivery_id)
        now = self._clock()
        anew = replace(found, status="pending", since=now, next_at=now, attempts=0, finished_at=None)
        if not self._deliveries.again(anew):
            raise Conflict("This delivery is being tried already.", code="already_pending")
        self._fanout.hint([(tenant_id, webhook_id)])
        return anew

    def _enabled(self, tenant_id: TenantId, webhook_id: str) -> Endpoint:
        endpoint = self.get(tenant_id, webhook_id)
        if not endpoint.enabled:
            raise Conflict("This webhook is disabled. Enable it first.", code="webhook_disabled")
        return endpoint

    def _new_secret(self, tenant_id: TenantId, webhook_id: str) -> tuple[bytes, str]:
        key = signing.new_secret()
        return self._vault.seal(key, tenant_id=tenant_id, webhook_id=webhook_id), signing.shown(key)

    def _saved(self, endpoint: Endpoint, actor: str) -> Endpoint:
        saved = replace(endpoint, version=endpoint.version + 1, updated_at=self._clock(), updated_by=actor)
        if not self._endpoints.save(saved):
            raise Conflict("Somebody else changed this webhook. Load it again, then repeat your change.")
        return saved
