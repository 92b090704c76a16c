"""Automatic purchases: one payment, whoever asks, dies or hears nothing; and when none is to be made."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, cast

import pytest

from bench.stripe_flows import save_card
from bench.stripe_orders import orderly
from bench.stripe_rig import DAY, Line, Rig, Shelf, customer_of
from local.stripe import API_KEY
from noren.billing.auto import ACTION_SECONDS, BACK_OFF, LEASE_SECONDS, AutoBuyer
from noren.billing.auto_purchase import AutoPurchases
from noren.billing.orders import Order
from noren.billing.packages import Packages
from noren.billing.store import BillingStore
from noren.billing.stripe import Stripe
from noren.billing.told import Nobody
from noren.errors import NorenError
from noren.tenants.models import Tenant
from tests.faults import Crash, Faulty, emulator_client, make_table

WANTED = {"enabled": True, "threshold": 50, "amount": 500, "monthly_cap": 1_000}


class Ear(Nobody):
    """Hears of automatic purchases."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def auto(self, tenant: Tenant, kind: str, key: str, facts: Mapping[str, str]) -> None:
        self.heard.append(kind)


class Slow(Line):
    """A payment takes its time, and others come meanwhile."""

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **more: Any) -> Any:
        if method.upper() == "POST" and url.endswith("/v1/payment_intents"):
            time.sleep(0.5)
        return super().request(method, url, headers, post_data, **more)


def settings(rig: Rig, client: Any = None) -> AutoPurchases:
    return AutoPurchases(BillingStore(client or rig.client, "credits"), rig.stripe.world.now)


def buyer(rig: Rig, ear: Ear | None = None, client: Any = None, stripe: Stripe | None = None) -> AutoBuyer:
    """That of another process."""
    process = rig.new_process(client, stripe)
    return AutoBuyer(
        settings(rig, client),
        cast(Packages, Shelf()),
        process.billing,
        process.store,
        process.credits,
        process.registry.fresh,
        ear or Ear(),
        rig.stripe.world.now,
    )


def ready(client: Any = None, card: str = "pm_card_visa", **wanted: Any) -> Rig:
    """A tenant with nothing left, a saved card and a standing order."""
    rig = Rig(client)
    rig.billing.customer_of(rig.tenant)
    use(rig, card)
    settings(rig).put(rig.tenant_id, WANTED | wanted, "user:aya")
    return rig


def use(rig: Rig, card: str) -> None:
    made = rig.api.payment_methods.attach(card, {"customer": customer_of(rig)})
    rig.api.customers.update(customer_of(rig), {"invoice_settings": {"default_payment_method": made.id}})


def paid(rig: Rig) -> int:
    return sum(each["status"] == "succeeded" for each in rig.stripe.world.all("payment_intent"))


def orders(rig: Rig) -> list[Order]:
    return rig.process.store.orders(rig.tenant_id, 100, None)[0]


def balance(rig: Rig) -> int:
    return rig.process.credits.balance(rig.tenant_id).current


def test_a_hundred_at_once_buy_once(aws: str) -> None:
    client = emulator_client()
    for name in ("quotas", "credits", "billing", "tenants"):
        make_table(client, name)
    rig = ready(client)
    slow = Slow(rig.stripe)
    gate = threading.Barrier(20)

    def consider(number: int) -> Order | None:
        if number < 20:
            gate.wait(60)
        return buyer(rig, stripe=Stripe(lambda: API_KEY, http_client=slow)).consider(rig.tenant_id)

    with ThreadPoolExecutor(20) as pool:
        made = [each for each in pool.map(consider, range(100)) if each]
    assert len(made) == 1
    assert (paid(rig), len(rig.stripe.world.all("payment_intent")), len(orders(rig)), balance(rig)) == (1, 1, 1, 500)
    targets = [request.target for request, *_ in slow.requests if request.method == "POST"]
    assert targets.count("/v1/payment_intents") == 1


@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
def test_a_buyer_that_dies_at_any_call_is_followed_by_one_that_finishes_the_same_purchase(fault: Any) -> None:
    clean = ready()
    counted = Faulty(clean.client)
    assert buyer(clean, client=counted).consider(clean.tenant_id)
    assert len(counted.calls) == 22
    for number in range(len(counted.calls)):
        rig = ready()
        dying = Faulty(rig.client)
        dying.plan = {number: fault}
        with suppress(Crash):
            buyer(rig, client=dying).consider(rig.tenant_id)
        rig.stripe.advance(LEASE_SECONDS)
        buyer(rig).consider(rig.tenant_id)
        assert (paid(rig), len(rig.stripe.world.all("payment_intent")), balance(rig)) == (1, 1, 500), number
        assert [each.status for each in orders(rig)] == ["paid"], number
        buyer(rig).consider(rig.tenant_id)
        row = rig.process.store.buyer(rig.tenant_id)
        assert (row.paying_until, row.bought, row.failures, paid(rig)) == (0, 500, 0, 1), number


@pytest.mark.parametrize("later", [LEASE_SECONDS, 2 * DAY])
@pytest.mark.parametrize("card", ["", "pm_card_mastercard"])
def test_a_payment_whose_answer_is_lost_is_not_made_again(later: int, card: str) -> None:
    rig = ready()
    rig.stripe.faults.plan(after=True, path="/v1/payment_intents", method="POST", times=3)
    with pytest.raises(NorenError) as lost:
        buyer(rig).consider(rig.tenant_id)
    assert lost.value.status >= 500
    assert paid(rig) == 1
    if card:
        use(rig, card)
    assert buyer(rig).consider(rig.tenant_id) is None  # the lease runs
    rig.stripe.advance(later)
    found = buyer(rig).consider(rig.tenant_id)
    assert found
    assert (found.status, paid(rig), len(rig.stripe.world.all("payment_intent")), balance(rig)) == ("paid", 1, 1, 500)


def test_one_after_the_other_up_to_the_months_cap() -> None:
    rig, ear = ready(), Ear()
    for _ in range(5):
        buyer(rig, ear).consider(rig.tenant_id)
        rig.spend(balance(rig))
    assert (paid(rig), ear.heard) == (2, ["auto_purchase_capped"] * 3)
    rig.stripe.advance(DAY)  # the first of December in Tokyo
    assert buyer(rig, ear).consider(rig.tenant_id)
    assert paid(rig) == 3


def test_three_failures_switch_it_off_after_waiting_longer_each_time() -> None:
    rig, ear = ready(card="pm_card_chargeCustomerFail"), Ear()
    for wait in BACK_OFF:
        assert buyer(rig, ear).consider(rig.tenant_id)
        rig.stripe.advance(wait - 1)
        assert buyer(rig, ear).consider(rig.tenant_id) is None
        rig.stripe.advance(1)
    assert buyer(rig, ear).consider(rig.tenant_id)
    assert ear.heard == ["auto_purchase_failed", "auto_purchase_failed", "auto_purchase_off"]
    assert not settings(rig).get(rig.tenant_id).enabled
    assert (buyer(rig, ear).consider(rig.tenant_id), paid(rig), len(orders(rig))) == (None, 0, 3)


def test_a_payment_in_between_forgets_the_failures() -> None:
    rig, ear = ready(card="pm_card_chargeCustomerFail"), Ear()
    buyer(rig, ear).consider(rig.tenant_id)
    rig.stripe.advance(BACK_OFF[0])
    use(rig, "pm_card_visa")
    assert buyer(rig, ear).consider(rig.tenant_id)
    assert (rig.process.store.buyer(rig.tenant_id).failures, paid(rig)) == (0, 1)


def asked() -> tuple[Rig, Ear]:
    """The bank wants to hear from the owner."""
    rig, ear = ready(card="pm_card_authenticationRequired"), Ear()
    found = buyer(rig, ear).consider(rig.tenant_id)
    assert found
    assert (found.status, ear.heard) == ("requires_action", ["payment_action"])
    return rig, ear


def test_a_bank_that_asks_is_waited_for_and_nothing_else_is_bought() -> None:
    rig, ear = asked()
    rig.stripe.advance(ACTION_SECONDS - 60)
    assert buyer(rig, ear).consider(rig.tenant_id) is None
    assert len(rig.stripe.world.all("payment_intent")) == 1
    intent = rig.last("payment_intent")
    card = rig.api.customers.payment_methods.list(customer_of(rig)).data[0].id
    rig.api.payment_intents.confirm(intent["id"], {"payment_method": card, "return_url": "https://console.example"})
    rig.answer_bank(passed=True)
    for event in rig.new_events():
        rig.apply(event)
    assert balance(rig) == 500
    found = buyer(rig, ear).consider(rig.tenant_id)
    assert found
    assert (found.status, rig.process.store.buyer(rig.tenant_id).bought) == ("paid", 500)
    assert len(rig.stripe.world.all("payment_intent")) == 1


def test_an_owner_that_does_not_answer_for_a_day_is_waited_for_no_longer() -> None:
    rig, ear = asked()
    rig.stripe.advance(ACTION_SECONDS)
    found = buyer(rig, ear).consider(rig.tenant_id)
    assert found
    assert (found.status, ear.heard[1:]) == ("expired", ["auto_purchase_failed"])
    assert rig.last("payment_intent")["status"] == "canceled"
    use(rig, "pm_card_visa")
    rig.stripe.advance(BACK_OFF[0])
    assert buyer(rig, ear).consider(rig.tenant_id)
    assert (paid(rig), balance(rig)) == (1, 500)


def test_a_buyer_that_dies_while_the_bank_asks_leaves_the_owner_their_day() -> None:
    rig = ready(card="pm_card_authenticationRequired")
    dying = Faulty(rig.client)
    dying.plan = {_calls_of_asking() - 1: "crash_before"}
    with suppress(Crash):
        buyer(rig, client=dying).consider(rig.tenant_id)
    rig.stripe.advance(LEASE_SECONDS)
    found = buyer(rig).consider(rig.tenant_id)
    assert found
    assert (found.status, len(rig.stripe.world.all("payment_intent"))) == ("requires_action", 1)
    assert rig.last("payment_intent")["status"] == "requires_payment_method"
    assert rig.process.store.buyer(rig.tenant_id).paying_until == found.created_at + ACTION_SECONDS


def _calls_of_asking() -> int:
    rig = ready(card="pm_card_authenticationRequired")
    counted = Faulty(rig.client)
    buyer(rig, client=counted).consider(rig.tenant_id)
    return len(counted.calls)


def test_without_a_card_it_fails_and_says_so() -> None:
    rig, ear = Rig(), Ear()
    settings(rig).put(rig.tenant_id, WANTED, "user:aya")
    assert buyer(rig, ear).consider(rig.tenant_id) is None
    assert (ear.heard, rig.stripe.world.all("payment_intent")) == (["auto_purchase_failed"], [])
    rig.stripe.advance(BACK_OFF[0])
    orderly(rig, (save_card,))
    assert buyer(rig, ear).consider(rig.tenant_id)
    assert (paid(rig), balance(rig)) == (1, 500)


def test_nothing_is_bought_when_nobody_wants_it() -> None:
    rig = ready()
    settings(rig).put(rig.tenant_id, {"enabled": False}, "user:aya")
    assert buyer(rig).consider(rig.tenant_id) is None
    settings(rig).put(rig.tenant_id, {"enabled": True}, "user:aya")
    rig.process.registry.stop(rig.tenant_id, "security", "x", "admin")
    assert buyer(rig).consider(rig.tenant_id) is None
    rig.process.registry.lift(rig.tenant_id, "security", "admin")
    assert buyer(rig).consider(rig.tenant_id)
    assert buyer(rig).consider(rig.tenant_id) is None  # there is enough
    rig.spend(449)
    assert (balance(rig), buyer(rig).consider(rig.tenant_id)) == (51, None)
    rig.spend(1)
    assert buyer(rig).consider(rig.tenant_id)
    assert paid(rig) == 2


def test_a_purchase_under_way_is_finished_when_it_is_switched_on_again() -> None:
    rig = ready()
    rig.stripe.faults.plan(after=True, path="/v1/payment_intents", method="POST", times=3)
    with pytest.raises(NorenError):
        buyer(rig).consider(rig.tenant_id)
    settings(rig).put(rig.tenant_id, {"enabled": False}, "user:aya")
    rig.stripe.advance(LEASE_SECONDS)
    assert buyer(rig).consider(rig.tenant_id) is None
    settings(rig).put(rig.tenant_id, {"enabled": True}, "user:aya")
    assert buyer(rig).consider(rig.tenant_id)
    assert (paid(rig), balance(rig)) == (1, 500)
