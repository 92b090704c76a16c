"""Chats beyond the plan's, on credits: held for the most, charged by tokens, and never for our own failures."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.chat.models import Answer
from noren.chat.overage import Overage, TokenBound
from noren.errors import Busy, QuotaExceeded, RateLimited, UpstreamFailed
from noren.ids import TenantId
from noren.ledger import prices
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask
from noren.llm.models import ProviderFault
from tests.faults import Faulty
from tests.unit.chat.rig import LIMITS, Container, Inline, Rig

SPENT = replace(LIMITS, chats_per_month=1, concurrent_chats=50, requests_per_day_per_site=500, max_tokens=512)


def give(rig: Rig, credits: int) -> None:
    gift = Gift(f"BON#{credits}", "BONUS", "bonus", credits, NEVER)
    rig.credits.give(rig.tenant.tenant_id, gift)


@pytest.fixture
def rig(aws: str) -> Rig:
    """A tenant whose one chat of the month is spent, with overage on."""
    rig = Rig(SPENT, overage=True)
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    return rig


def reply(rig: Rig, **changes: Any) -> Answer:
    return rig.chats.reply(rig.member(), rig.ask(**changes), rig.run())[0]


def test_a_spent_plan_goes_on_with_credits(rig: Rig) -> None:
    give(rig, 100)
    answer = reply(rig)
    assert (answer.credits.used, answer.credits.remaining) == (2, 98)
    record = rig.records()[-1]
    assert (record.chats, record.credits, record.decision) == (0, 2, "USAGE")
    assert rig.credits.balance(rig.tenant.tenant_id).current == 98
    assert (rig.chats_used(), rig.open_holds()) == (1, 0)


def test_without_overage_a_spent_plan_stops_whatever_the_balance(aws: str) -> None:
    rig = Rig(SPENT)
    give(rig, 100)
    reply(rig)
    with pytest.raises(QuotaExceeded) as refused:
        reply(rig)
    assert refused.value.extra["plan"] == "starter"
    assert rig.credits.balance(rig.tenant.tenant_id).current == 100


def test_without_credits_overage_is_refused_and_no_model_is_called(rig: Rig) -> None:
    made = rig.script.made
    with pytest.raises(QuotaExceeded):
        reply(rig)
    assert rig.script.made == made
    assert rig.open_holds() == 0
    assert rig.short == [rig.tenant.tenant_id]


def test_more_tokens_cost_more_and_the_rest_of_the_hold_comes_back(rig: Rig) -> None:
    give(rig, 100)
    rig.script.pieces = ["word "] * 100
    answer = reply(rig, max_tokens=400)
    assert answer.credits.used == prices.price(2, answer.tokens_consumed.chat) == 2
    assert rig.credits.balance(rig.tenant.tenant_id).current == 98


def test_what_is_held_covers_prompt_and_answer() -> None:
    """A prompt alone may cost more than the base."""
    chat = Ask(TenantId("ten_1"), "req_1", "site_1", deadline=0.0)
    held = Overage(TokenBound(prompt=2_500, answer=600), base=2).ask(chat)
    assert (held.chats, held.credits) == (0, prices.price(2, 3_100)) == (0, 3)
    assert Overage(TokenBound(prompt=2_500, answer=1_600), base=2).ask(chat).credits == 4


def test_an_answer_is_shortened_to_what_credits_pay_for(rig: Rig) -> None:
    rig.catalogue.limits = replace(SPENT, max_tokens=4000)
    give(rig, 5)
    answer = reply(rig, max_tokens=4000)
    assert answer.credits.used == 2
    bound = rig.script.prompts[-1].max_tokens
    assert 128 <= bound < 4000
    give(rig, 100)
    rig.clock.skip(3)
    reply(rig, max_tokens=4000)
    assert rig.script.prompts[-1].max_tokens > bound


@pytest.mark.parametrize(
    ("kind", "fee", "raises"),
    [
        ("out_of_quota", 0, UpstreamFailed),
        ("rate_limited", 1, Busy),
        ("timeout", 0, Busy),
        ("server", 0, UpstreamFailed),
        ("garbage", 0, UpstreamFailed),
    ],
)
def test_a_failure_costs_what_the_policy_says(rig: Rig, kind: str, fee: int, raises: type[Exception]) -> None:
    give(rig, 100)
    rig.script.fails_at, rig.script.fault = 0, ProviderFault(kind, "scripted")  # type: ignore[arg-type]
    with pytest.raises(raises):
        reply(rig)
    record = rig.records()[-1]
    assert (record.status, record.credits, record.chats) == ("failed", fee, 0)
    assert record.decision == ("USAGE" if fee else "RELEASE")
    assert rig.credits.balance(rig.tenant.tenant_id).current == 100 - fee
    assert rig.open_holds() == 0


def test_plan_chats_never_pay_a_fee(aws: str) -> None:
    rig = Rig(SPENT, overage=True)
    give(rig, 100)
    rig.script.fails_at, rig.script.fault = 0, ProviderFault("rate_limited", "scripted")
    with pytest.raises(Busy):
        reply(rig)
    assert rig.records()[-1].decision == "RELEASE"
    assert (rig.chats_used(), rig.credits.balance(rig.tenant.tenant_id).current) == (0, 100)


def test_many_at_once_never_oversell(rig: Rig) -> None:
    give(rig, 10)

    def chat(_: int) -> bool:
        try:
            reply(rig, max_tokens=128)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        admitted = list(pool.map(chat, range(16))).count(True)
    balance = rig.credits.balance(rig.tenant.tenant_id)
    assert balance.current == 10 - 2 * admitted
    assert balance.current >= 0
    assert balance.total_used == 2 * admitted


@pytest.mark.parametrize("known", [False, True], ids=["the plan asked first", "known to be spent"])
def test_spending_credits_has_a_rate_of_its_own(rig: Rig, known: bool) -> None:
    give(rig, 1000)
    if known:
        reply(rig)
    rig.clock.skip(60 - rig.clock() % 60)  # all in one window
    if known:
        reply(rig)
    balance, asked = rig.credits.balance(rig.tenant.tenant_id).current, len(rig.script.prompts)
    for _ in range(99 if known else 100):
        rig.limiter.check(f"spend#{rig.tenant.tenant_id}", 100, 60)
    for _ in range(3):
        with pytest.raises(RateLimited):
            reply(rig)
    assert (rig.open_holds(), len(rig.script.prompts)) == (0, asked)
    assert rig.credits.balance(rig.tenant.tenant_id).current == balance
    given_back = [record for record in rig.records() if record.decision == "RELEASE"]
    assert [record.credits for record in given_back] == [0]  # the others were refused before anything was held


def test_a_short_balance_is_seen_where_the_plan_is_refused(rig: Rig) -> None:
    """No third reserve: the refusal of a plan's chat tells how many credits there are."""
    rig.catalogue.limits = replace(SPENT, max_tokens=4000)
    give(rig, 5)
    asked: list[str] = []
    client = Faulty(rig.client, before=lambda name, options: asked.append(options["TableName"]))
    answer, _ = Container(client, rig).chats.reply(rig.member(), rig.ask(max_tokens=4000), rig.run())
    assert answer.credits.used == 2
    assert rig.script.prompts[-1].max_tokens < 4000
    assert asked[: asked.index("usage")].count("quotas") == 2


def test_a_plans_chat_that_arrives_late_is_what_is_charged(rig: Rig) -> None:
    """A try for the plan's chat is lost, the next one refused; then more chats come, and the lost one arrives."""
    give(rig, 100)
    reserves = itertools.count()

    def before(name: str, options: dict[str, Any]) -> None:
        if (name, options["TableName"]) != ("update_item", "quotas"):
            return
        number = next(reserves)
        if number == 0:
            client.plan = {len(client.calls): "late_copy"}
        if number == 2:  # that of credits
            raised = replace(rig.tenant, overrides={"chats_per_month": 5})
            rig.ledger.change_limits(raised, replace(SPENT, chats_per_month=5))
            assert client.deliver() == 1

    client = Faulty(rig.client, before)
    answer, _ = Container(client, rig, sleep=rig.clock.skip, pool=Inline()).chats.reply(
        rig.member(), rig.ask(), rig.run()
    )
    record = rig.records()[-1]
    assert (record.request_id, record.decision, record.chats, record.credits) == (answer.id, "USAGE", 1, 0)
    assert (rig.chats_used(), rig.open_holds(), rig.credits.balance(rig.tenant.tenant_id).current) == (2, 0, 100)


# -- prices


@given(st.integers(1, 15), st.integers(0, 2_000_000))
def test_a_price_is_the_formula_rounded_up_once(base: int, tokens: int) -> None:
    steps = math.ceil(Fraction(max(0, tokens - 2000), 1000))
    assert prices.price(base, tokens) == math.ceil(base * (1 + Fraction(steps, 4)))


@given(st.integers(1, 15), st.integers(0, 10_000))
def test_what_is_affordable_is_paid_for_and_no_more_would_be(base: int, credits: int) -> None:
    most = prices.affordable(base, credits)
    if most < 0:
        assert credits < prices.price(base, 0)
    else:
        assert prices.price(base, most) <= credits < prices.price(base, most + 1)


@pytest.mark.parametrize(
    ("function", "tokens", "credits"),
    [("chatbot", 2000, 2), ("chatbot", 2001, 3), ("recommendation", 3000, 7), ("prediction", 2500, 10)],
)
def test_the_price_list(function: prices.FunctionType, tokens: int, credits: int) -> None:
    assert prices.price(prices.BASE[function], tokens) == credits
