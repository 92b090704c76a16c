"""Folds on paper: months, lots, gifts and withdrawals, with holds open and without."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren import ids
from noren.ids import TenantId
from noren.ledger import account as rules
from noren.ledger import fold as folding
from noren.ledger import lots
from noren.ledger.account import Account
from noren.ledger.fold import GRACE_SECONDS, Fold, Folded, Gift, Withdrawal
from noren.ledger.lots import NEVER, Books, EntryType, Lot, LotKind, price_paid
from tests.unit.ledger.conftest import LIMITS, at

FREE = replace(LIMITS, free_credits_per_month=100, carry_over_cap=30)
NOVEMBER, DECEMBER = int(at("2026-11-01T00:00:00")), int(at("2026-12-01T00:00:00"))


def opened(now: int = NOVEMBER, limits: object = FREE, tz: str = "Asia/Tokyo") -> Folded:
    return folding.opening(rules.opened(TenantId(ids.new_id("ten")), tz, limits, now))  # type: ignore[arg-type]


def state(folded: Folded) -> tuple[Account, Books]:
    return folded.after, folded.books


def spent(account: Account, credits: int) -> Account:
    return replace(account, credits=account.credits - credits, credits_used=account.credits_used + credits)


def held(account: Account, credits: int, until: int) -> Account:
    text = f",,{credits}.0.tqpwxsab-K"
    return replace(account, credits=account.credits - credits, holds={**account.holds, f"h{len(account.holds)}": text})


def gift(credits: int, expires_at: int = NEVER, kind: LotKind = "purchased", **more: object) -> Gift:
    values = {"entry_id": f"PUR#{ids.new_id('pay')}", "type": "PURCHASE", "paid": 0, "currency": "JPY"}
    return Gift(**(values | {"kind": kind, "credits": credits, "expires_at": expires_at} | more))  # type: ignore[arg-type]


def check(folded: Folded) -> None:
    account, books = folded.after, folded.books
    assert account.credits >= 0
    assert account.credits + account.credits_held == books.total - (account.credits_used - books.base)
    assert folded.delta == account.credits - folded.before.credits
    assert list(books.lots) == list(lots.order(books.lots))


def test_an_account_opens_with_its_months_free_credits_by_the_days_left() -> None:
    whole = opened()
    assert (whole.after.credits, whole.after.version, whole.books.version) == (100, 1, 1)
    (entry,) = whole.entries
    assert (entry.entry_id, entry.type, entry.credits) == ("RESET#2026-11", "MONTHLY_RESET", 100)
    late = opened(int(at("2026-11-28T09:00:00")))
    assert late.after.credits == 10
    check(late)


def test_a_month_ends_once_with_its_statistics() -> None:
    account, books = state(opened())
    fold = Fold(spent(account, 40), books, DECEMBER, lambda month: {"2026-11": "chatbot"}.get(month))
    assert fold.turn()
    after = fold.close()
    check(after)
    assert after.after.credits == 100 + 30
    lapsed, reset = after.entries
    assert (lapsed.type, lapsed.credits) == ("EXPIRE", -30)
    assert (reset.entry_id, reset.credits) == ("RESET#2026-12", 100)
    assert reset.details == {
        "previous_balance": 60,
        "free_credits_added": 100,
        "carried_over_credits": 30,
        "total_usage_previous_month": 40,
        "most_used_function": "chatbot",
        "efficiency_score": 57,
    }
    assert after.after.resets_at == int(at("2027-01-01T00:00:00"))
    again = Fold(after.after, after.books, DECEMBER)
    assert again.turn()
    assert again.close().entries == ()


@pytest.mark.parametrize("tz", ["Asia/Tokyo", "America/New_York", "Europe/London", "Australia/Lord_Howe", "UTC"])
def test_missed_months_are_folded_one_by_one_over_year_end_and_clock_changes(tz: str) -> None:
    account, books = state(opened(int(at("2026-10-15T12:00:00", tz)), tz=tz))
    fold = Fold(account, books, int(at("2027-04-02T00:00:00", tz)))
    assert fold.turn()
    after = fold.close()
    check(after)
    resets = [entry.entry_id for entry in after.entries if entry.type == "MONTHLY_RESET"]
    assert resets == [f"RESET#{month}" for month in ("2026-11", "2026-12", "2027-01", "2027-02", "2027-03", "2027-04")]
    assert after.after.credits == 130
    assert after.after.period == "2027-04"


def test_years_away_take_several_folds() -> None:
    account, books = state(opened())
    now = int(at("2032-01-01T00:00:00"))
    folds, resets = 0, []
    while True:
        fold = Fold(account, books, now)
        done = fold.turn()
        folded = fold.close()
        check(folded)
        assert len(folded.entries) <= folding.MOST_ENTRIES + 2
        resets += [entry.entry_id for entry in folded.entries if entry.type == "MONTHLY_RESET"]
        account, books = state(folded)
        folds += 1
        if done:
            break
        assert account.needs_fold(now)
    assert folds > 1
    assert len(resets) == len(set(resets)) == 62


def test_granted_then_bonus_then_purchased_earliest_expiry_first() -> None:
    account, books = state(opened())
    fold = Fold(account, books, NOVEMBER + 5)
    for credits, kind, expiry in [(7, "purchased", 50), (5, "purchased", 40), (3, "bonus", 90), (2, "bonus", NEVER)]:
        fold.give(gift(credits, DECEMBER + expiry if expiry != NEVER else NEVER, kind))  # type: ignore[arg-type]
    folded = fold.close()
    check(folded)
    assert [lot.remaining for lot in folded.books.lots] == [100, 3, 2, 5, 7]
    assert folded.books.left(104)[0].remaining == 1
    assert sum(lot.remaining for lot in folded.books.left(117)) == 0
    with pytest.raises(ValueError):
        folded.books.left(118)


def test_an_expired_lot_loses_only_what_no_hold_backs() -> None:
    account, books = state(opened(limits=replace(FREE, free_credits_per_month=0)))
    fold = Fold(account, books, NOVEMBER)
    fold.give(gift(20, NOVEMBER + 100))
    fold.give(gift(50))
    account, books = state(fold.close())
    holding = held(account, 15, NOVEMBER + 150)
    fold = Fold(holding, books, NOVEMBER + 100)
    assert fold.turn()
    folded = fold.close()
    check(folded)
    assert [(entry.type, entry.credits) for entry in folded.entries] == [("EXPIRE", -5)]
    assert folded.after.credits == 50
    assert folded.after.lots_end == NOVEMBER + 100 + GRACE_SECONDS
    # The hold is given back: what it backed has expired meanwhile
    released = replace(folded.after, credits=65, holds={})
    fold = Fold(released, folded.books, NOVEMBER + 100 + GRACE_SECONDS)
    assert fold.turn()
    folded = fold.close()
    check(folded)
    assert [(entry.type, entry.credits) for entry in folded.entries] == [("EXPIRE", -15)]
    assert folded.after.credits == 50


def test_what_was_settled_while_a_fold_was_worked_out_is_spent_from_the_new_lots() -> None:
    account, books = state(opened())
    fold = Fold(spent(account, 10), books, NOVEMBER)
    fold.give(gift(50))
    folded = fold.close()
    meanwhile = spent(folded.after, 7)
    assert folded.books.base == 10
    assert meanwhile.credits == folded.books.total - (meanwhile.credits_used - folded.books.base)


@pytest.mark.parametrize(
    ("spend", "take", "credits", "debt"),
    [(0, 50, 100, 0), (120, 50, 0, 20), (150, 50, 0, 50), (130, 20, 0, 0), (100, 20, 30, 0)],
)
def test_a_chargeback_takes_its_own_lot_then_others_and_owes_the_rest(
    spend: int, take: int, credits: int, debt: int
) -> None:
    account, books = state(opened())
    fold = Fold(account, books, NOVEMBER)
    bought = gift(50)
    fold.give(bought)
    account, books = state(fold.close())
    fold = Fold(spent(account, spend), books, NOVEMBER)
    fold.withdraw(Withdrawal("CHB#1", "CHARGEBACK", take, bought.entry_id))
    folded = fold.close()
    check(folded)
    assert (folded.after.credits, folded.after.debt) == (credits, debt)
    assert folded.after.balance == 150 - spend - take


def test_a_purchase_pays_what_is_owed_first() -> None:
    account, books = state(opened(limits=replace(FREE, free_credits_per_month=0)))
    fold = Fold(account, books, NOVEMBER)
    fold.withdraw(Withdrawal("CHB#1", "CHARGEBACK", 30))
    account, books = state(fold.close())
    assert (account.debt, account.balance) == (30, -30)
    fold = Fold(account, books, NOVEMBER)
    fold.give(gift(100))
    folded = fold.close()
    check(folded)
    assert (folded.after.debt, folded.after.credits, folded.books.total) == (0, 70, 70)


def test_a_withdrawal_leaves_alone_what_holds_back() -> None:
    account, books = state(opened())
    fold = Fold(held(account, 90, NOVEMBER + 100), books, NOVEMBER)
    fold.withdraw(Withdrawal("CHB#1", "CHARGEBACK", 50))
    folded = fold.close()
    check(folded)
    assert (folded.after.credits, folded.after.debt, folded.books.total) == (0, 40, 90)


def test_a_raised_plan_pays_its_rise_at_once_and_only_once() -> None:
    account, books = state(opened())
    half = int(at("2026-11-16T00:00:00"))
    higher = replace(FREE, free_credits_per_month=200)
    for limits, credits in ((higher, 150), (FREE, 150), (higher, 150)):
        fold = Fold(account, books, half)
        fold.turn()
        fold.allow(rules.with_limits(fold.account, limits, "Asia/Tokyo", frozenset(), half))
        folded = fold.close()
        check(folded)
        account, books = state(folded)
        assert account.credits == credits
    fold = Fold(account, books, DECEMBER)
    fold.turn()
    assert fold.close().after.credits == 200 + 30


@pytest.mark.parametrize("lag", [0, 600])
def test_credits_that_come_after_their_own_end_move_no_day_back(lag: int) -> None:
    """Told again months later, a payment's lot has ended before it is there. Today's holds stay today's."""
    account, books = state(opened())
    now = int(at("2026-11-20T00:00:05"))
    fold = Fold(account, books, now)
    assert fold.turn()
    fold.give(gift(10, NOVEMBER + 60))
    account, books = state(fold.close())
    assert account.next_turn == NOVEMBER + 60
    fold = Fold(account, books, now - lag)
    assert fold.turn()
    after = fold.close().after
    assert (after.day, after.day_since, after.credits) == ("2026-11-20", account.day_since, 100)
    assert after.next_turn == account.day_resets_at


amounts = st.integers(1, 50)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("give"), amounts, st.sampled_from(["granted", "bonus", "purchased"]), st.integers(1, 90)),
        st.tuples(st.just("take"), amounts, st.sampled_from(["REFUND", "CHARGEBACK"]), st.integers(0, 0)),
        st.tuples(st.just("spend"), amounts, st.just(""), st.integers(0, 0)),
        st.tuples(st.just("wait"), st.integers(1, 50), st.just(""), st.integers(0, 0)),
    ),
    max_size=25,
)


@given(steps, st.sampled_from(["Asia/Tokyo", "America/New_York", "UTC"]))
def test_entries_always_add_up_and_every_spent_credit_belongs_to_one_lot(
    story: list[tuple[str, int, str, int]], tz: str
) -> None:
    now = int(at("2026-10-20T10:00:00", tz))
    folded = opened(now, tz=tz)
    (account, books), history, booked = state(folded), [folded.books], sum(each.credits for each in folded.entries)
    used: list[tuple[int, int]] = []
    for number, (kind, amount, what, days) in enumerate(story):
        now += 7
        if kind == "wait":
            now += amount * 86_400
        if kind == "spend" and now < account.next_turn:
            amount = min(amount, account.credits)
            used.append((account.credits_used, amount))
            account = spent(account, amount)
            continue
        fold = Fold(account, books, now)
        assert fold.turn(most_entries=1000)
        if kind == "give":
            expiry = now + days * 86_400
            fold.give(gift(amount, expiry, what, entry_id=f"G{number}", paid=amount * 3))  # type: ignore[arg-type]
        if kind == "take":
            wanted: EntryType = "REFUND" if what == "REFUND" else "CHARGEBACK"
            fold.withdraw(Withdrawal(f"W{number}", wanted, amount, f"G{number - 1}"))
        folded = fold.close()
        check(folded)
        booked += sum(entry.credits for entry in folded.entries)
        account, books = state(folded)
        history.insert(0, books)
    assert booked - account.credits_used == account.balance
    for start, count in used:
        inforce = next(each for each in history if each.base <= start)
        assert sum(part for _, part in inforce.spent(start, count)) == count


def test_a_price_is_the_lots_share_and_currencies_stay_apart() -> None:
    yen = Lot("a", "purchased", 10, NEVER, 500, 4_980, "JPY")
    won = Lot("b", "purchased", 10, NEVER, 3, 1_000, "KRW")
    free = Lot("c", "granted", 10, NEVER, 100)
    assert price_paid([(free, 5), (yen, 10), (won, 1)]) == {"JPY": Decimal("99.6"), "KRW": Decimal("333.3333333333")}


@pytest.mark.parametrize(("spend", "take", "taken"), [(0, 50, 50), (120, 50, 30), (150, 20, 0), (110, 20, 20)])
def test_a_refund_takes_what_is_left_of_its_own_lot_and_owes_nothing(spend: int, take: int, taken: int) -> None:
    account, books = state(opened())
    fold = Fold(account, books, NOVEMBER)
    bought = gift(50)
    fold.give(bought)
    fold.give(gift(40, kind="bonus"))
    account, books = state(fold.close())
    fold = Fold(spent(account, spend + 40 * (spend > 100)), books, NOVEMBER)
    fold.withdraw(Withdrawal("REF#1", "REFUND", take, bought.entry_id, paid=take * 10))
    folded = fold.close()
    check(folded)
    (entry,) = folded.entries
    assert (entry.credits, folded.after.debt) == (-taken, 0)
    assert entry.details == ({} if taken == take else {"wanted": take})
