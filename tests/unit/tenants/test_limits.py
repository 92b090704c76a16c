"""Limits follow plan, overrides and catalogue, whoever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from noren import wiring
from noren.clock import day_of
from noren.ids import TenantId
from noren.wiring import Services
from tests.unit.platform_api.kit import Platform


@pytest.fixture
def tenant_id(platform: Platform) -> TenantId:
    platform.sign_up("u1")
    return TenantId(platform.tenant_of("u1"))


@pytest.fixture
def other(platform: Platform) -> Services:
    """Another container, with caches of its own."""
    made = wiring.build(platform.services.settings)
    object.__setattr__(made, "clock", platform.time)
    return made


def raise_limit(platform: Platform, concurrent: int) -> None:
    plans = platform.services.plans
    free = plans.plan("free")
    changed = replace(free, limits=replace(free.limits, concurrent_chats=concurrent))
    plans.put_plan(replace(changed, effective_date=day_of(platform.time(), "UTC")), "user:boss")


def dying(*_: object) -> None:
    raise RuntimeError("killed")


def test_a_plan_change_whose_maker_died_is_finished_by_the_next_reader(
    platform: Platform, tenant_id: TenantId, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform.services.ledger, "change_limits", dying)
    with pytest.raises(RuntimeError):
        platform.services.tenants.set_plan(tenant_id, "pro", "user:boss")
    assert other.ledger.standing(tenant_id).concurrency == 2
    assert other.tenants.get(tenant_id).plan == "pro"
    assert other.ledger.standing(tenant_id).concurrency == 40


def test_a_changed_plan_reaches_its_tenants_as_they_are_read(
    platform: Platform, tenant_id: TenantId, other: Services
) -> None:
    other.tenants.get(tenant_id)
    platform.time.ahead += 1
    raise_limit(platform, 5)
    platform.time.ahead += 31
    other.tenants.get(tenant_id)
    assert other.ledger.standing(tenant_id).concurrency == 5


def test_a_container_with_an_older_catalogue_changes_nothing_back(
    platform: Platform, tenant_id: TenantId, other: Services
) -> None:
    other.plans.plan("free")  # remembered as it is now
    platform.time.ahead += 2
    raise_limit(platform, 5)
    platform.services.tenants.fresh(tenant_id)
    other.tenants.get(tenant_id)
    assert platform.services.ledger.standing(tenant_id).concurrency == 5


def test_nothing_is_written_when_nothing_changed(
    platform: Platform, tenant_id: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    real: Callable[..., None] = platform.services.ledger.change_limits

    def counted(*args: object) -> None:
        calls.append(args)
        real(*args)

    monkeypatch.setattr(platform.services.ledger, "change_limits", counted)
    for _ in range(3):
        platform.services.tenants.fresh(tenant_id)
    assert calls == []
    platform.services.tenants.set_overrides(tenant_id, {"concurrent_chats": 9}, "user:boss")
    assert len(calls) == 1
    tenant = platform.services.tenants.fresh(tenant_id)
    assert tenant.extra["updated_by"] == "user:boss"
