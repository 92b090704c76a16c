"""A tenant of ours, Stripe in memory, and processes of ours between them: what flows of billing are played on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from bench.containers import no_time
from bench.memory import Memory
from local.stripe import API_KEY, cards, paying, payments
from local.stripe.api import Request
from local.stripe.inprocess import InProcess, WorldClient, in_process
from local.stripe.world import Obj
from noren.billing.events import Events
from noren.billing.inbox import HANDLED, _refs
from noren.billing.models import Package
from noren.billing.order_store import OrderStore
from noren.billing.orders import Order, Subscribed
from noren.billing.packages import Packages
from noren.billing.seed import PACKAGES
from noren.billing.service import Billing
from noren.billing.settlement import Settlement
from noren.billing.stripe import Stripe
from noren.errors import NotFound
from noren.ids import TenantId
from noren.ledger.account import opened
from noren.ledger.book_store import BookStore
from noren.ledger.credits import Credits
from noren.ledger.store import LedgerStore
from noren.plans.models import Limits, Plan
from noren.plans.seed import PLANS
from noren.plans.service import Plans
from noren.settings import Settings
from noren.tables import from_item, tenant_key, to_item
from noren.tenants.models import Stop, Tenant

NOW = 1_796_050_000
"""Monday, 30 November 2026, 23:46 in Tokyo."""
DAY = 86_400
TENANT = Tenant(TenantId("ten_" + "7" * 32), "Ichiban", "free", NOW, billing_email="keiri@example.jp")
LIMITS = Limits(100, 0, 30, 2, 60, 512, 1, 2)
PERSON = paying.Person(email="aya@example.jp", name="Aya")
FACTS = ("plan", "status", "amount", "currency", "period_end", "cancel_at_period_end", "next_plan", "grace_until")
ORDER_FACTS = ("order_id", "method", "status", "error", "credits", "amount", "payment_intent", "session", "invoice")


@dataclass(frozen=True, slots=True)
class Event:
    """What of an event reaches the worker."""

    type: str
    refs: dict[str, str]


@dataclass
class Line(WorldClient):
    """The way from our SDK to Stripe; everything that goes over it is noted."""

    stripe: InProcess
    requests: list[tuple[Request, int, str]] = field(default_factory=list)
    """With the status and the body of each answer."""

    def __post_init__(self) -> None:
        super().__init__(self.stripe.api, self.stripe.faults)

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **more: Any) -> Any:
        """Pass it on."""
        answer = super().request(method, url, headers, post_data, **more)
        target = "/" + url.split("/", 3)[3]
        self.requests.append(
            (Request(method.upper(), target, dict(headers or {}), post_data or ""), answer[1], answer[0])
        )
        return answer


class Registry:
    """Tenants, as far as settling needs them. Kept as the rest is, so that faults meet them too."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def fresh(self, tenant_id: TenantId) -> Tenant:
        """As it is now."""
        found = self._client.get_item(TableName="tenants", Key=to_item(self._key(tenant_id)), ConsistentRead=True)
        item = from_item(found["Item"])
        return Tenant(
            **{name: item[name] for name in item if name not in ("pk", "sk", "stops")}, stops=frozenset(item["stops"])
        )

    def put(self, tenant: Tenant) -> Tenant:
        """Write one."""
        item = asdict(tenant) | {"stops": sorted(tenant.stops)} | self._key(tenant.tenant_id)
        self._client.put_item(TableName="tenants", Item=to_item(item))
        return tenant

    def set_billing(self, tenant_id: TenantId, plan: str, plan_status: str, grace_until: int) -> Tenant:
        """Plan and payment status."""
        return self._change(tenant_id, plan=plan, plan_status=plan_status, grace_until=grace_until)

    def stop(self, tenant_id: TenantId, cause: Stop, reason: str, actor: str) -> Tenant:
        """One stop more."""
        return self._change(tenant_id, stops=self.fresh(tenant_id).stops | {cause})

    def lift(self, tenant_id: TenantId, cause: Stop, actor: str) -> Tenant:
        """One stop less."""
        return self._change(tenant_id, stops=self.fresh(tenant_id).stops - {cause})

    def _change(self, tenant_id: TenantId, **changes: Any) -> Tenant:
        return self.put(replace(self.fresh(tenant_id), **changes))

    @staticmethod
    def _key(tenant_id: TenantId) -> dict[str, str]:
        return {"pk": tenant_key(tenant_id, "TEN"), "sk": "0"}


class Shelf:
    """All packages of the seed, for whoever asks."""

    def offered(self, tenant: Tenant) -> list[Package]:
        """The smallest first."""
        return list(PACKAGES)

    def valid_days(self, package: Package) -> int:
        """As the platform has it."""
        return 180


class Catalogue:
    """The plans of the seed."""

    def plan(self, name: str) -> Plan:
        """Raises NotFound."""
        for plan in PLANS:
            if plan.plan == name:
                return plan
        raise NotFound()


class Deaf(Settlement):
    """Settles nothing: its process dies each time before it comes to that."""

    def payment(self, payment_intent: str) -> Order | None:
        return None

    def invoice(self, invoice_id: str) -> Order | None:
        return None

    def order(self, order: Order) -> Order:
        return order

    def customer(self, customer: str, *_: str) -> Subscribed | None:
        return self._store.subscribed(TENANT.tenant_id)


class Remembering(Stripe):
    """Asks for nothing twice, as long as nothing is written: for a world that stands still."""

    def __init__(self, line: Line) -> None:
        super().__init__(lambda: API_KEY, http_client=line)
        self._answers: dict[str, Any] = {}
        self.wrote = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in _READS:
            return found

        def remembered(*given: Any) -> Any:
            key = f"{name} {given}"
            if key not in self._answers:
                self._answers[key] = found(*given)
            return self._answers[key]

        return remembered

    def forget(self) -> None:
        """Ask anew."""
        self._answers.clear()

    def _write(self, *given: Any) -> Any:
        self.forget()
        self.wrote = True
        return super()._write(*given)


_READS = frozenset(
    "customer cards checkout subscription subscriptions schedule payment refunds disputes charge dispute invoice"
    " invoice_of payment_of".split()
)


class Process:
    """What one process of ours is made of."""

    def __init__(self, rig: Rig, client: Any, stripe: Stripe, *, deaf: bool = False) -> None:
        self.registry = rig.registry(client)
        self.store = OrderStore(client, "billing")
        self.credits = Credits(
            LedgerStore(client, "quotas"), BookStore(client, "quotas", "credits"), rig.stripe.world.now, no_time
        )
        kind = Deaf if deaf else Settlement
        self.settlement = kind(stripe, self.store, self.credits, self.registry, rig.stripe.world.now)
        self.events = Events(self.settlement, stripe)
        self.billing = Billing(
            stripe,
            self.store,
            cast(Packages, Shelf()),
            cast(Plans, Catalogue()),
            self.settlement,
            rig.settings,
            rig.stripe.world.now,
        )


class Rig:
    """One tenant and its Stripe. `client` and `registry` are others where it is played on the embedded cloud."""

    def __init__(
        self,
        client: Any = None,
        registry: Callable[[Any], Any] = Registry,
        tenant: Tenant = TENANT,
        settings: Settings | None = None,
    ) -> None:
        self.client: Any = client or Memory()
        self.registry, self.tenant_id = registry, tenant.tenant_id
        self.settings = settings or Settings(console_url="https://console.example")
        self.stripe = in_process(seed=7, now=NOW)
        self.line = Line(self.stripe)
        self.seen: list[Event] = []
        """Events that have come so far."""
        self.process = self.new_process()
        if isinstance(self.process.registry, Registry):
            self.process.registry.put(tenant)
            self.process.credits.open(opened(tenant.tenant_id, tenant.timezone, LIMITS, NOW))

    def new_process(self, client: Any = None, stripe: Stripe | None = None, *, deaf: bool = False) -> Process:
        """Another one."""
        stripe = stripe or Stripe(lambda: API_KEY, http_client=self.line)
        return Process(self, client or self.client, stripe, deaf=deaf)

    @property
    def billing(self) -> Billing:
        """That of the process at work."""
        return self.process.billing

    @property
    def tenant(self) -> Tenant:
        """As it is now."""
        found: Tenant = self.process.registry.fresh(self.tenant_id)
        return found

    # -- what others do

    @property
    def api(self) -> Any:
        """Stripe's API as others use it: browsers, the operator at the dashboard."""
        return self.stripe.client.v1

    def last(self, kind: str) -> Obj:
        """The newest object of a kind."""
        return self.stripe.world.all(kind)[-1]

    def pay_page(self, number: str = "4242424242424242") -> None:
        """Pay on the page that was opened last."""
        world = self.stripe.world
        paying.submit(world, self.last("checkout.session"), cards.from_number(world, number), PERSON)

    def answer_bank(self, *, passed: bool) -> None:
        """On the page of 3-D Secure that was opened last."""
        payments.authenticate(self.stripe.world, self.last("_challenge")["id"], passed=passed)

    def spend(self, credits: int) -> None:
        """Chats of so many credits, settled."""
        self.client.update_item(
            TableName="quotas",
            Key=to_item({"pk": tenant_key(self.tenant_id, "ACC"), "sk": "0"}),
            UpdateExpression="SET av = av - :n, u = u + :n",
            ConditionExpression="av >= :n",
            ExpressionAttributeValues=to_item({":n": credits}),
        )

    # -- events

    def new_events(self) -> list[Event]:
        """Those since the last call that mean something to us, as they leave the webhook."""
        found = []
        for body, _ in self.stripe.deliver():
            event = json.loads(body)
            if event["type"] in HANDLED:
                found.append(Event(event["type"], _refs(event["data"]["object"])))
        self.seen += found
        return found

    def apply(self, event: Event, process: Process | None = None) -> None:
        """Let the worker work it off."""
        (process or self.process).events.apply(event.type, event.refs)

    # -- what it has come to

    def state(self) -> dict[str, Any]:
        """Everything of ours that events bring about. Ids of Stripe's are replaced by kind and number."""
        tenant, store, credits = self.tenant, self.process.store, self.process.credits
        row = store.subscribed(self.tenant_id)
        balance = credits.balance(self.tenant_id)
        default = [each["invoice_settings"]["default_payment_method"] for each in self.stripe.world.all("customer")]
        found = {
            "tenant": (tenant.plan, tenant.plan_status, tenant.grace_until, sorted(tenant.stops)),
            "subscribed": row and {name: getattr(row, name) for name in ("customer", "subscription", *FACTS)},
            "orders": [
                {name: getattr(order, name) for name in ORDER_FACTS}
                for order in store.orders(self.tenant_id, 100, None)[0]
            ],
            "entries": list(self._entries()),
            "balance": (balance.current, balance.purchased, balance.debt),
            "contests": [(each.dispute_id, each.order_id, each.status) for each in store.contests(self.tenant_id)],
            "default card": default,
        }
        named: dict[str, Any] = json.loads(self._named(json.dumps(found)))
        return named | {"entries": sorted(named["entries"])}

    def _entries(self) -> Iterator[tuple[str, str, int, int]]:
        page, _ = self.process.credits.entries(self.tenant_id, 1000, None)
        for each in page:
            if each.type not in ("MONTHLY_RESET", "USAGE"):
                yield each.entry_id, each.type, each.credits, each.paid

    def _named(self, text: str) -> str:
        names = {
            identifier: f"<{kind} {number}>"
            for kind, found in self.stripe.world.kinds.items()
            for number, identifier in enumerate(found)
            if kind not in ("event", "_deleted_customer")
        }
        return re.sub(r"\w+_\w+", lambda found: names.get(found[0], found[0]), text)


def customer_of(rig: Rig) -> str:
    """The tenant's customer at Stripe."""
    row = rig.process.store.subscribed(rig.tenant_id)
    assert row is not None
    return row.customer
