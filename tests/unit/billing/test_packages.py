"""Credit packages and standing orders: what is offered to whom, who changes it, and that nobody overwrites another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from noren import limits
from noren.billing.auto_purchase import AutoPurchases
from noren.billing.models import AutoPurchase
from noren.billing.packages import Packages
from noren.billing.seed import PACKAGES
from noren.billing.store import BillingStore
from noren.clock import iso
from noren.errors import Conflict, NotFound, RateLimited, Unprocessable
from noren.ids import TenantId, is_id
from noren.plans.seed import PLANS
from noren.plans.service import Plans
from noren.plans.store import PlanStore
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from noren.settings import Settings
from noren.tenants.models import Tenant
from tests.faults import Faulty, emulator_client, make_table
from tests.unit.platform_api.kit import Time

GIVEN: dict[str, Any] = {
    "plans": ["VIP", "pro"],
    "credits_amount": 100,
    "prices": {"JPY": 300, "KRW": 2_800, "USD": 200},
    "display_name": {"ja": "百", "ko": "백", "en": "A hundred"},
}


@pytest.fixture
def client(aws: str) -> Iterator[Faulty]:
    faulty = Faulty(emulator_client())
    for name in ("credits", "tenants", "runtime"):
        make_table(faulty, name)
    yield faulty
    faulty.close()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(client: Faulty) -> BillingStore:
    return BillingStore(cast(Any, client), "credits")


@pytest.fixture
def packages(client: Faulty, store: BillingStore, clock: Time) -> Packages:
    plans = Plans(PlanStore(cast(Any, emulator_client()), "tenants"), Settings(), clock)
    plans.seed()
    return Packages(store, plans, Settings(), clock)


def tenant(plan: str) -> Tenant:
    return Tenant(TenantId("ten_" + "1" * 32), "n", plan, 0)


def offered(packages: Packages, plan: str) -> list[int]:
    return [each.credits_amount for each in packages.offered(tenant(plan))]


def test_the_seed_is_written_once_and_brings_nothing_back(packages: Packages) -> None:
    assert packages.seed() == len(PACKAGES) == 3
    assert packages.seed() == 0
    packages.delete(PACKAGES[0].package_id, "user:boss")
    packages.change(PACKAGES[1].package_id, {"active": False}, "user:boss")
    assert packages.seed() == 0
    assert [offered(packages, plan) for plan in ("free", "starter", "pro", "enterprise", "VIP")] == [
        [],
        [],
        *([[10_000]] * 3),
    ]


def test_the_seeds_prices_hold_the_discount_they_name() -> None:
    known = {plan.plan for plan in PLANS}
    base = PACKAGES[0]
    for each in PACKAGES:
        assert is_id(each.package_id, "pkg")
        assert each.plans <= known
        assert set(each.display_name) == set(each.description) == {"ja", "ko", "en"}
        for currency, price in each.prices.items():
            full = Decimal(base.prices[currency]) / base.credits_amount * each.credits_amount
            assert price == full * (1 - each.discount_rate), (each.package_id, currency)


def test_an_offer_is_for_its_plans_while_it_runs(packages: Packages, clock: Time) -> None:
    now = clock()
    made = packages.create(GIVEN | {"valid_from": iso(now + 100), "valid_until": iso(now + 200)}, "user:boss")
    assert made.plans == {"enterprise", "pro"}
    assert (made.created_by, made.updated_by, made.valid_days) == ("user:boss", "user:boss", None)
    assert packages.valid_days(made) == 180
    assert packages.valid_days(replace(made, valid_days=0)) == 0
    for ahead, shown in ((0, []), (90, []), (101, [100]), (199, [100]), (201, [])):
        clock.ahead = now - Time()() + ahead
        assert (offered(packages, "pro"), offered(packages, "starter")) == (shown, []), ahead


def test_a_deleted_package_is_not_sold_and_comes_back_for_thirty_days(packages: Packages, clock: Time) -> None:
    made = packages.create(GIVEN, "user:boss")
    assert offered(packages, "pro") == [100]
    packages.delete(made.package_id, "user:boss")
    assert offered(packages, "pro") == []
    with pytest.raises(NotFound):
        packages.get(made.package_id)
    with pytest.raises(NotFound):
        packages.delete(made.package_id, "user:boss")
    (shown,) = packages.listed()
    assert shown.deleted_by == "user:boss"
    clock.ahead = 29 * 86400
    assert packages.restore(made.package_id, "user:boss").deleted_at is None
    assert offered(packages, "pro") == [100]
    packages.delete(made.package_id, "user:boss")
    clock.ahead += 31 * 86400
    assert packages.listed() == []
    with pytest.raises(NotFound):
        packages.restore(made.package_id, "user:boss")


def test_what_makes_no_sense_is_refused(packages: Packages) -> None:
    period = {"valid_from": "2026-12-02T00:00:00Z", "valid_until": "2026-12-01T00:00:00Z"}
    with pytest.raises(Unprocessable):
        packages.create(GIVEN | period, "user:boss")
    with pytest.raises(NotFound):
        packages.create(GIVEN | {"plans": ["no-such-plan"]}, "user:boss")
    made = packages.create(GIVEN | {"valid_from": period["valid_from"]}, "user:boss")
    with pytest.raises(Unprocessable):
        packages.change(made.package_id, {"valid_until": period["valid_until"]}, "user:boss")
    for missing in ("pkg_" + "f" * 32, "x"):
        with pytest.raises(NotFound):
            packages.get(missing)


def test_nobody_overwrites_what_they_have_not_seen(packages: Packages, client: Faulty, store: BillingStore) -> None:
    made = packages.create(GIVEN, "user:boss")

    def meanwhile(call: str, _: Any) -> None:
        if call == "put_item":
            client.before = None
            assert store.put_package(replace(made, credits_amount=200, version=made.version + 1))

    client.before = meanwhile
    with pytest.raises(Conflict):
        packages.change(made.package_id, {"active": False}, "user:boss")
    kept = packages.get(made.package_id)
    assert (kept.credits_amount, kept.active) == (200, True)


def test_a_write_that_arrives_twice_is_one(packages: Packages, client: Faulty) -> None:
    made = packages.create(GIVEN | {"discount_rate": Decimal("0.15")}, "user:boss")
    client.plan = {len(client.calls) + 1: "twice"}  # after the read
    assert packages.change(made.package_id, {"active": False}, "user:boss").version == 2


def test_a_standing_order_is_off_until_its_owner_turns_it_on(store: BillingStore, client: Faulty, clock: Time) -> None:
    orders, tenant_id, other = AutoPurchases(store, clock), TenantId("ten_" + "1" * 32), TenantId("ten_" + "2" * 32)
    assert orders.get(tenant_id) == AutoPurchase(enabled=False, threshold=50, amount=500, monthly_cap=2_000)
    assert orders.put(tenant_id, {"enabled": True}, "user:a").enabled
    changed = orders.put(tenant_id, {"amount": 1_000, "monthly_cap": 1_000}, "user:a")
    assert orders.get(tenant_id) == changed == AutoPurchase(True, 50, 1_000, 1_000, version=2)
    assert orders.get(other) == AutoPurchase()
    with pytest.raises(Unprocessable):
        orders.put(tenant_id, {"amount": 1_001}, "user:a")

    def meanwhile(call: str, _: Any) -> None:
        if call == "put_item":
            client.before = None
            orders.put(tenant_id, {"enabled": False}, "user:b")

    client.before = meanwhile
    with pytest.raises(Conflict):
        orders.put(tenant_id, {"threshold": 10}, "user:a")
    assert orders.get(tenant_id).enabled is False


def test_the_rates_are_chapter_3s(client: Faulty, clock: Time) -> None:
    chapter_3 = {
        "ai_chatbot": (100, 3600),
        "ai_recommendation": (50, 3600),
        "ai_prediction": (20, 3600),
        "ai_analysis": (10, 3600),
        "ai_custom": (10, 3600),
        "spend": (100, 60),
        "purchase": (10, 60),
        "analytics": (50, 60),
    }
    assert {name: tuple(limits.RATES[name]) for name in chapter_3} == chapter_3  # type: ignore[index]
    limiter = Limiter(RuntimeStore(cast(Any, client), "runtime"), clock)
    clock.to_next_minute()
    for _ in range(10):
        limits.check(limiter, "purchase", "ten_a")
    with pytest.raises(RateLimited):
        limits.check(limiter, "purchase", "ten_a")
    limits.check(limiter, "purchase", "ten_b")
    limits.check(limiter, "analytics", "ten_a")
