"""The catalogue: seeds, entitlements, effective dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId
from noren.plans import seed
from noren.plans.models import ExchangeRate
from noren.plans.service import Plans
from noren.plans.store import PlanStore
from noren.settings import Settings
from noren.tables import dynamodb
from noren.tenants.models import Tenant
from tests.unit.platform_api.kit import Time, create_tables


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def plans(aws: str, clock: Time) -> Plans:
    create_tables()
    made = Plans(PlanStore(dynamodb(), "tenants"), Settings(), clock)
    made.seed()
    return made


def day(clock: Time, days: int = 0) -> str:
    return (datetime.fromtimestamp(clock(), UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def tenant(plan: str, currency: str = "JPY", **overrides: int) -> Tenant:
    return Tenant(TenantId("ten_" + "1" * 32), "n", plan, 0, currency=currency, overrides=overrides)


def test_the_seed_is_chapter_1s_table_and_written_once(plans: Plans) -> None:
    assert plans.seed() == 0
    table = {
        each.plan: (
            each.prices["JPY"],
            each.limits.chats_per_month,
            each.limits.embedding_tokens_per_month,
            each.limits.requests_per_day_per_site,
            each.limits.free_credits_per_month,
            each.limits.sites,
            each.limits.concurrent_chats,
            each.limits.requests_per_minute,
            each.limits.members,
            each.limits.max_tokens,
            each.embedding_model,
            each.resync,
            each.limits.carry_over_cap,
            (each.limits.voice_minutes, each.limits.concurrent_calls),
            each.limits.trial_days,
            each.limits.pages_per_site,
        )
        for each in plans.public_plans()
    }
    small, large = "embedding_3_small", "embedding_3_large"
    assert table == {
        "free": (0, 100, 200_000, 30, 20, 1, 2, 60, 2, 512, "local_llm", "none", 0, (0, 0), 0, 200),
        "starter": (7_800, 2_000, 2_000_000, 200, 200, 3, 10, 300, 5, 1_024, small, "monthly", 0, (60, 1), 14, 2_000),
        "pro": (
            *(19_800, 10_000, 10_000_000, 1_000, 1_000, 10, 40, 1_000, 20, 2_048, small, "weekly", 200, (300, 3), 14),
            10_000,
        ),
        "enterprise": (
            *(49_800, 100_000, 100_000_000, 10_000, 5_000, 100, 200, 6_000, 100, 4_096, large, "daily", 2_000),
            (2_000, 20),
            0,
            20_000,
        ),
    }
    assert all(set(each.prices) == {"JPY", "KRW", "USD"} for each in plans.public_plans())


@pytest.mark.parametrize(
    ("name", "plan"),
    [("ESSENTIAL", "starter"), ("paid", "starter"), ("PROFESSIONAL", "pro"), ("VIP", "enterprise"), ("Free", "free")],
)
def test_other_names_are_accepted(plans: Plans, name: str, plan: str) -> None:
    assert plans.resolve(name) == plan
    with pytest.raises(NotFound):
        plans.resolve("gold")


def test_models_follow_the_plan(plans: Plans) -> None:
    def models(plan: str) -> dict[str, str]:
        return {each.id: each.provider for each in plans.entitlement(tenant(plan)).models}

    assert models("free") == models("anonymous") == {"phi-3-mini": "runpod"}
    assert models("starter") == models("pro") == {"phi-3-mini": "runpod", "mistral-7b": "runpod"}
    assert set(models("enterprise").values()) == {"runpod", "openai", "anthropic"}


def test_embedding_models_follow_the_plan_and_the_operators_own_wants_a_server(plans: Plans, clock: Time) -> None:
    served = Plans(PlanStore(dynamodb(), "tenants"), Settings(local_llm_base_url="http://127.0.0.1:1/v1"), clock)
    small, large, own = "embedding_3_small", "embedding_3_large", "local_llm"
    wanted = {"free": {own}, "starter": {own, small}, "pro": {own, small}, "enterprise": {own, small, large}}
    for plan, models in {**wanted, "anonymous": set()}.items():
        assert {each.id for each in served.entitlement(tenant(plan)).embeddings} == models
        assert {each.id for each in plans.entitlement(tenant(plan)).embeddings} == models - {own}


def test_overrides_replace_single_limits_and_the_next_plan_fits(plans: Plans) -> None:
    entitlement = plans.entitlement(tenant("starter", chats_per_month=15_000, unknown=3))
    assert entitlement.limits == replace(entitlement.plan.limits, chats_per_month=15_000)
    assert [each.plan for each in entitlement.fitting_plans] == ["enterprise"]
    assert [each.plan for each in plans.entitlement(tenant("free", "USD")).fitting_plans] == [
        "starter",
        "pro",
        "enterprise",
    ]
    assert plans.entitlement(tenant("enterprise")).fitting_plans == ()


def test_prices_come_from_the_dated_table(plans: Plans) -> None:
    claude = next(each for each in plans.policies() if each.id == "claude-haiku")
    assert (claude.input_usd, claude.output_usd) == (Decimal("0.0001"), Decimal("0.0005"))
    assert claude.price_version == f"claude-haiku@{claude.effective_date}"
    hosted = next(each for each in plans.policies() if each.id == "mistral-7b")
    assert hosted.input_usd is None
    assert hosted.gpu_second_usd == seed.GPU_SECOND_USD["mistral-7b"]


def test_a_price_change_takes_effect_on_its_day_and_leaves_the_past(plans: Plans, clock: Time) -> None:
    old = next(each for each in plans.policies() if each.id == "gpt-mini")
    new = replace(old, input_usd=Decimal("9"), effective_date=day(clock, 3))
    plans.put_policy(new, "user:boss")
    assert next(each for each in plans.policies() if each.id == "gpt-mini") == old
    clock.ahead = 4 * 86400
    assert next(each for each in plans.policies() if each.id == "gpt-mini") == new
    assert old in plans.all_policies()
    with pytest.raises(Unprocessable):
        plans.put_policy(replace(new, effective_date=day(clock, -1)), "user:boss")
    today = replace(new, input_usd=Decimal("10"), effective_date=day(clock))
    plans.put_policy(today, "user:boss")
    with pytest.raises(Conflict):
        plans.put_policy(replace(today, input_usd=Decimal("11")), "user:boss")
    assert next(each for each in plans.policies() if each.id == "gpt-mini").input_usd == Decimal("10")


def test_a_model_is_switched_off_at_once_at_its_price(plans: Plans) -> None:
    before = next(each for each in plans.policies() if each.id == "gpt-mini")
    plans.switch_policy("gpt-mini", "user:boss", enabled=False)
    assert "gpt-mini" not in {each.id for each in plans.entitlement(tenant("enterprise")).models}
    assert plans.switch_policy("gpt-mini", "user:boss", enabled=True) == before
    with pytest.raises(NotFound):
        plans.switch_policy("nope", "user:boss", enabled=True)


def test_rates_by_date(plans: Plans, clock: Time) -> None:
    plans.put_rate(ExchangeRate("JPY", Decimal("161.5"), day(clock, 1)), "user:boss")
    assert plans.rate("JPY").rate == 150
    clock.ahead = 86400
    assert plans.entitlement(tenant("free")).rate.rate == Decimal("161.5")
    with pytest.raises(NotFound):
        plans.rate("EUR")


def test_a_name_belongs_to_one_plan(plans: Plans, clock: Time) -> None:
    pro = plans.plan("pro")
    with pytest.raises(Conflict):
        plans.put_plan(replace(pro, aliases=("vip",), effective_date=day(clock)), "user:boss")
    plans.put_plan(replace(pro, aliases=("PROFESSIONAL", "PLUS"), effective_date=day(clock)), "user:boss")
    assert plans.resolve("plus") == "pro"


def test_another_container_sees_a_change_within_30_seconds(plans: Plans, clock: Time) -> None:
    other = Plans(PlanStore(dynamodb(), "tenants"), Settings(), clock)
    assert other.plan("pro").limits.members == 20
    pro = plans.plan("pro")
    changed = replace(pro, limits=replace(pro.limits, members=21), effective_date=day(clock))
    plans.put_plan(changed, "user:boss")
    assert plans.plan("pro").limits.members == 21
    clock.ahead += 31
    assert other.plan("pro").limits.members == 21


def test_the_operators_own_model_server_counts_only_where_there_is_one(plans: Plans, clock: Time) -> None:
    plans.switch_policy("local_llm_chat", "user:boss", enabled=True)
    assert "local_llm_chat" not in {each.id for each in plans.entitlement(tenant("free")).models}
    with_one = Plans(PlanStore(dynamodb(), "tenants"), Settings(local_llm_base_url="http://127.0.0.1:1/v1"), clock)
    assert "local_llm_chat" in {each.id for each in with_one.entitlement(tenant("free")).models}
