"""A plan that is not paid goes on for its grace, then with the free plan's limits, and comes back at once when paid."""

from __future__ import annotations

import pytest

from noren.ids import TenantId
from tests.unit.platform_api.kit import Platform

WEEK = 7 * 86_400


@pytest.fixture
def tenant_id(platform: Platform) -> TenantId:
    platform.sign_up("u1")
    tenant_id = TenantId(platform.tenant_of("u1"))
    platform.services.tenants.set_billing(tenant_id, "pro", "active", 0)
    return tenant_id


def concurrency(platform: Platform, tenant_id: TenantId) -> tuple[int, str]:
    """What admission allows, and the tier that chats take."""
    tenant = platform.services.tenants.fresh(tenant_id)
    tier = platform.services.plans.entitlement(tenant).plan.tier
    return platform.services.ledger.standing(tenant_id).concurrency, tier


def test_grace_then_free_limits_then_back(platform: Platform, tenant_id: TenantId) -> None:
    tenants = platform.services.tenants
    assert concurrency(platform, tenant_id) == (40, "paid")
    tenants.set_billing(tenant_id, "pro", "past_due", int(platform.time()) + WEEK)
    assert concurrency(platform, tenant_id) == (40, "paid")
    platform.time.ahead += WEEK - 60
    assert concurrency(platform, tenant_id) == (40, "paid")
    platform.time.ahead += 61
    assert concurrency(platform, tenant_id) == (2, "free")
    assert tenants.fresh(tenant_id).plan == "pro"
    tenants.set_billing(tenant_id, "pro", "active", 0)
    assert concurrency(platform, tenant_id) == (40, "paid")


def test_what_came_with_the_plan_is_granted_once_however_often_it_lapses(
    platform: Platform, tenant_id: TenantId
) -> None:
    credits = platform.services.credits
    before = credits.balance(tenant_id).current
    for _ in range(3):
        platform.services.tenants.set_billing(tenant_id, "pro", "past_due", 1)
        concurrency(platform, tenant_id)
        platform.services.tenants.set_billing(tenant_id, "pro", "active", 0)
        concurrency(platform, tenant_id)
    assert credits.balance(tenant_id).current == before


def test_a_plan_that_ended_is_the_free_one(platform: Platform, tenant_id: TenantId) -> None:
    platform.services.tenants.set_billing(tenant_id, "free", "canceled", 0)
    assert concurrency(platform, tenant_id) == (2, "free")
