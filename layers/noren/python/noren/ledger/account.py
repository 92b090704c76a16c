"""The admission item as a value, and the rules on it: turning the day and the month, changing limits, saying why not.

Pure: nothing here reads a clock or a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from noren import clock
from noren.ids import TenantId
from noren.ledger.holds import Held, slot_of
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask, Reason
from noren.plans.models import Limits


class Grant(NamedTuple):
    """This period's allowance of one thing.

    `top` is the highest plan that the period has seen and `granted` what that was worth (less than `top` when it came
    in the middle). Keeping both lets a plan fall and come back at once, without granting anything twice.
    """

    full: int
    """The plan's limit now: what the next period starts with."""
    top: int
    granted: int

    @property
    def limit(self) -> int:
        """What this period allows."""
        return min(self.granted, self.full)

    def changed(self, full: int, share: tuple[int, int], *, at_once: bool) -> Grant:
        """The plan's limit is now `full`. What exceeds `top` is granted pro rata, or wholly if `at_once`."""
        if at_once:
            return Grant(full, max(self.top, full), max(self.granted, full))
        rise = max(0, full - self.top)
        return Grant(full, self.top + rise, self.granted + pro_rata(rise, share))

    def renewed(self) -> Grant:
        """The allowance of a new period: the plan's, in full."""
        return Grant(self.full, self.full, self.full)


def pro_rata(amount: int, share: tuple[int, int]) -> int:
    """`amount` × days left (today included) ÷ days of the month, rounded up."""
    left, days = share
    return -(-amount * left // days)


def period_end(period: str, tz: str) -> int:
    """Epoch seconds of the end of the month `2026-11` in the zone."""
    return clock.month_end(_midnight(f"{period}-01", tz), tz)


def day_end(day: str, tz: str) -> int:
    """Epoch seconds of the end of the day `2026-11-20` in the zone."""
    return clock.day_end(_midnight(day, tz), tz)


def _midnight(day: str, tz: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=clock.zone(tz)).timestamp()


def following(period: str) -> str:
    """`2026-12` after `2026-11`."""
    year, month = map(int, period.split("-"))
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}"


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's admission item. `store.py` says how each field is called there."""

    tenant_id: TenantId
    timezone: str
    """In which this period's month and days are counted."""
    next_timezone: str
    """In which the next period's will be: a changed zone counts from the next month."""
    period: str
    """`2026-11`."""
    period_since: int
    """Holds made before this instant belong to an earlier period."""
    day: str
    day_since: int
    """Holds made before this instant belong to an earlier day."""
    next_turn: int
    """Nothing is admitted from this instant on until the item has been turned."""
    chat_grant: Grant
    embedding_grant: Grant
    free_grant: Grant
    """Free credits of a month."""
    carry_over_cap: int
    """Free credits that may be carried into the next month."""
    site_daily_limit: int
    concurrency: int
    lots_end: int = NEVER
    """When the next lot of credits expires."""
    active: bool = True
    overage: bool = False
    """Whether credits may pay where the plan's chats are spent. Here, so that who is refused sees it as it is now."""
    chats_used: int = 0
    """Settled chats of this period and those held now."""
    embedding_left: int = 0
    site_counts: Mapping[str, int] = field(default_factory=dict)
    """Today's requests by slot."""
    credits: int = 0
    """Spendable now: what holds keep back is not among them."""
    credits_used: int = 0
    """All that was ever settled: the position that lots are spent up to (`lots.py`)."""
    debt: int = 0
    """Credits that were taken back after they had been spent; nothing is spent while there is any."""
    holds: Mapping[str, str] = field(default_factory=dict)
    version: int = 1

    @property
    def resets_at(self) -> int:
        """When this month's counters start anew (epoch seconds)."""
        return period_end(self.period, self.timezone)

    @property
    def day_resets_at(self) -> int:
        """When today's counters start anew (epoch seconds)."""
        return day_end(self.day, self.timezone)

    @property
    def credits_held(self) -> int:
        """What open holds keep back."""
        return sum(Held.parse(text).credits for text in self.holds.values())

    @property
    def balance(self) -> int:
        """Credits in all lots, those held included, less what is owed: the sum of all entries."""
        return self.credits + self.credits_held - self.debt

    def needs_fold(self, now: float) -> bool:
        """Whether something has ended that concerns credits: a month, or a lot."""
        return now >= min(self.resets_at, self.lots_end)

    def dead_holds(self, now: float) -> dict[str, Held]:
        """Holds whose process is surely gone, by key."""
        held = {key: Held.parse(text) for key, text in self.holds.items()}
        return {key: each for key, each in held.items() if each.expires_at <= now}


def opened(tenant_id: TenantId, timezone: str, limits: Limits, now: int) -> Account:
    """A new account: the first month's allowances are pro rata by the days left, today included."""
    share = clock.days_left(now, timezone)
    chats, embedding, free = (
        Grant(full, full, pro_rata(full, share))
        for full in (limits.chats_per_month, limits.embedding_tokens_per_month, limits.free_credits_per_month)
    )
    period, day = clock.month_of(now, timezone), clock.day_of(now, timezone)
    return Account(
        tenant_id=tenant_id,
        timezone=timezone,
        next_timezone=timezone,
        period=period,
        period_since=now,
        day=day,
        day_since=now,
        next_turn=day_end(day, timezone),
        chat_grant=chats,
        embedding_grant=embedding,
        free_grant=free,
        carry_over_cap=limits.carry_over_cap,
        embedding_left=embedding.limit,
        site_daily_limit=limits.requests_per_day_per_site,
        concurrency=limits.concurrent_chats,
    )


def turned(account: Account, now: int) -> Account:
    """The account as it is at `now`: a day or a month that has ended is turned, however many have been missed.

    Every hold that exists was made before the end of the account's day and every later one will be made after it: so
    it is the instant that tells old holds from new ones, whatever the zones. (`next_turn` may have moved back to the
    end of a lot that came late, and a clock may lag behind the one that turned the account: neither turns it back.)
    """
    if now < account.next_turn:
        return account
    since = min(account.day_resets_at, account.resets_at)
    if now >= account.resets_at:
        tz = account.next_timezone
        period = max(following(account.period), clock.month_of(now, tz))
        chats, embedding = account.chat_grant.renewed(), account.embedding_grant.renewed()
        account = replace(
            account,
            timezone=tz,
            period=period,
            period_since=since,
            chat_grant=chats,
            embedding_grant=embedding,
            free_grant=account.free_grant.renewed(),
            chats_used=0,
            embedding_left=embedding.limit,
            day="",
        )
    today = clock.day_of(now, account.timezone)
    if account.day < today:
        account = replace(account, day=today, day_since=since, site_counts={})
    return replace(account, next_turn=min(account.day_resets_at, account.resets_at, account.lots_end))


def with_limits(
    account: Account,
    limits: Limits,
    timezone: str,
    overridden: frozenset[str],
    now: int,
    *,
    overage: bool = False,
) -> Account:
    """The account under other limits. `overridden` names those that an admin has set: they count at once, in full.

    A raised `free_grant` takes a fold to be paid out.
    """
    share = clock.days_left(now, account.timezone)

    def changed(grant: Grant, name: str) -> Grant:
        return grant.changed(getattr(limits, name), share, at_once=name in overridden)

    chats = changed(account.chat_grant, "chats_per_month")
    embedding = changed(account.embedding_grant, "embedding_tokens_per_month")
    return replace(
        account,
        next_timezone=timezone,
        chat_grant=chats,
        embedding_grant=embedding,
        free_grant=changed(account.free_grant, "free_credits_per_month"),
        carry_over_cap=limits.carry_over_cap,
        embedding_left=account.embedding_left + embedding.limit - account.embedding_grant.limit,
        site_daily_limit=limits.requests_per_day_per_site,
        concurrency=limits.concurrent_chats,
        overage=overage,
    )


def why_not(account: Account, ask: Ask) -> Reason | None:
    """Why `ask` can't be admitted by an account that needs no turn; None if it can. Lasting reasons come first."""
    site_limit = account.site_daily_limit if ask.site_daily_limit is None else ask.site_daily_limit
    if not account.active:
        return "stopped"
    if ask.chats and account.chats_used >= account.chat_grant.limit:
        return "chats"
    if ask.credits and account.debt:
        return "debt"
    if ask.credits and account.credits < ask.credits:
        return "credits"
    if (ask.chats or ask.credits) and account.site_counts.get(slot_of(ask.site_id), 0) >= site_limit:
        return "site_day"
    if ask.embedding_tokens and account.embedding_left < ask.embedding_tokens:
        return "embedding"
    if len(account.holds) >= account.concurrency:
        return "concurrency"
    return None
