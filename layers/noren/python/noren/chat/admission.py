"""What stands between a question and a model: stops, rate limits, and the ledger's admission."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from noren.cache import TtlCache
from noren.chat.both import both
from noren.chat.models import Asker
from noren.chat.overage import Overage, TokenBound
from noren.chat.store import owner_hash
from noren.clock import Clock, day_end
from noren.errors import Busy, Forbidden, NorenError, QuotaExceeded, RateLimited
from noren.ids import TenantId
from noren.ledger.models import Ask, Denied, Hold
from noren.ledger.service import Ledger
from noren.limits import VISITOR_CHATS, VISITOR_CHATS_AT_ONCE, VISITOR_SHARE, check, check_known
from noren.metrics import measured
from noren.plans.models import Entitlement, Plan
from noren.ratelimit import Limiter
from noren.sites.models import Site
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord

DEVICE_CHATS_PER_DAY = 10
ADDRESS_CHATS_PER_DAY = 30

SPENT_SECONDS = 5.0
"""For how long a container goes on with credits without asking whether the plan has a chat again."""
VECTORLESS_SECONDS = 60.0
"""For how long a container asks for no embedding tokens where they didn't reach."""
REMEMBERED = 1_000
"""Tenants of whom it is remembered."""

_log = logging.getLogger("noren.chat")


class Admission:
    """Lets a request through or says why not, and what would help."""

    def __init__(
        self,
        ledger: Ledger,
        limiter: Limiter,
        pool: Executor,
        clock: Clock,
        console_url: str,
        short_of_credits: Callable[[TenantId], None],
    ) -> None:
        self._short_of_credits = short_of_credits
        self._told_short: dict[TenantId, float] = {}
        self._ledger, self._limiter, self._pool, self._clock = ledger, limiter, pool, clock
        self._console_url = console_url
        self._spent: dict[TenantId, float] = {}
        self._vectorless: TtlCache[TenantId, bool] = TtlCache(VECTORLESS_SECONDS, clock, REMEMBERED)
        """Tenants whose embedding tokens are spent: their questions are looked up by words alone."""

    @staticmethod
    def check_open(asker: Asker, tenant: Tenant, site: Site) -> None:
        """Raise Forbidden where the tenant or the site is stopped; why is not for visitors to know."""
        if is_open(tenant, site):
            return
        if not asker.sees_prices:
            raise _switched_off()
        if site.status == "frozen":
            raise Forbidden(
                "This site is paused: the plan has room for fewer sites. Its owner chooses which of them work.",
                code="site_frozen",
            )
        if site.status != "active":
            raise _switched_off()
        raise Forbidden("This account is suspended. Its owner can find out why in the console.", code="suspended")

    def check_rate(self, asker: Asker, site: Site, entitlement: Entitlement, *, by_memory: bool = False) -> None:
        """Count the request against its tenant's rate. Raises RateLimited.

        `by_memory` counts nothing: it refuses, at no storage call, what this container knows to be too much.
        """
        count = self._limiter.check_known if by_memory else self._limiter.check
        try:
            if by_memory and asker.kind == "visitor":
                self._limiter.check_together_known(*_visits(asker, site, entitlement))
            count(f"chat#{site.tenant_id}", entitlement.limits.requests_per_minute, 60)
        except RateLimited:
            _count("rate", asker, site)
            raise

    @contextmanager
    def visit(self, asker: Asker, site: Site, entitlement: Entitlement, deadline: float) -> Iterator[None]:
        """Count a visitor's request against its site, its address and its device, and keep it one of few of the device.

        Holds whatever origin the request claims to have. One round trip. Raises RateLimited.
        """
        place = self._limiter.few_at_a_time(
            f"visitor#{owner_hash(asker.principal)}", VISITOR_CHATS_AT_ONCE, deadline - self._clock()
        )
        with ExitStack() as stack:
            try:
                count = partial(self._limiter.check_together, *_visits(asker, site, entitlement))
                both(self._pool, count, partial(stack.enter_context, place))
            except RateLimited:
                _count("rate", asker, site)
                raise
            yield

    @contextmanager
    def admit(
        self,
        asker: Asker,
        tenant: Tenant,
        site: Site,
        entitlement: Entitlement,
        record: UsageRecord,
        deadline: float,
        bound: TokenBound,
        embedding_tokens: int = 0,
    ) -> Iterator[Hold]:
        """Count the request against every other limit and hold it; leaving settles it.

        Where the plan's chats are spent and the tenant has overage on, credits are held for `bound`, or for a shorter
        answer if they don't reach (`hold.max_tokens`). Where the month's embedding tokens don't reach, none are held.
        Raises RateLimited, QuotaExceeded, Forbidden(suspended) or Busy, with nothing held.
        """
        if self._vectorless.fresh(tenant.tenant_id):
            embedding_tokens = 0
        ask = Ask(
            tenant_id=tenant.tenant_id,
            request_id=record.request_id,
            site_id=site.site_id,
            deadline=deadline,
            embedding_tokens=embedding_tokens,
            site_daily_limit=None
            if site.daily_quota is None
            else site.daily_ceiling(entitlement.limits.requests_per_day_per_site),
        )
        try:
            with ExitStack() as stack:
                stack.enter_context(self._one_of_few(asker, tenant, deadline))
                overage = Overage(bound, entitlement.limits.credits_per_overage_chat)
                hold = self._hold(stack, ask, record, overage)
                record.chats = hold.held.chats  # an earlier try's hold may be of the other kind
                try:
                    yield hold
                finally:
                    if hold.held.credits:
                        overage.charge(hold)
        except Denied as denied:
            _count(denied.reason, asker, site)
            if denied.reason == "credits":
                self._tell_short(tenant.tenant_id)
            raise self._explained(denied, asker, tenant, site, entitlement) from None
        except RateLimited:
            _count("rate", asker, site)
            raise

    def _hold(self, stack: ExitStack, ask: Ask, record: UsageRecord, overage: Overage) -> Hold:
        """Hold what the request takes, without embedding tokens if those are spent. Raises Denied or RateLimited."""
        try:
            return self._hold_chat(stack, ask, record, overage)
        except Denied as denied:
            if denied.reason != "embedding":
                raise
        self._vectorless.get(ask.tenant_id, lambda: True)
        return self._hold_chat(stack, replace(ask, embedding_tokens=0), record, overage)

    def _hold_chat(self, stack: ExitStack, ask: Ask, record: UsageRecord, overage: Overage) -> Hold:
        """Hold one of the plan's chats, else credits. Raises Denied or RateLimited."""
        if not self.pays_by_credits(ask.tenant_id):
            try:
                return stack.enter_context(self._ledger.reserve(ask, record))
            except Denied as denied:
                if denied.reason != "chats" or not denied.overage:
                    raise
                overage = overage.within(denied.credits)
            if len(self._spent) >= REMEMBERED:
                self._spent.clear()
            self._spent[ask.tenant_id] = self._clock() + SPENT_SECONDS
        check_known(self._limiter, "spend", ask.tenant_id)
        try:
            # At once: a rate that turns out to be exceeded gives the hold back as it leaves the stack.
            count = partial(check, self._limiter, "spend", ask.tenant_id)
            return both(self._pool, count, partial(self._hold_credits, stack, ask, record, overage))[1]
        except Denied as denied:
            shorter = overage.shortened(denied.credits) if denied.reason == "credits" else None
            if shorter is None:
                raise
        return self._hold_credits(stack, ask, record, shorter)

    def _hold_credits(self, stack: ExitStack, ask: Ask, record: UsageRecord, overage: Overage) -> Hold:
        hold = stack.enter_context(self._ledger.reserve(overage.ask(ask), record))
        hold.max_tokens = overage.bound.answer
        return hold

    def _tell_short(self, tenant_id: TenantId) -> None:
        """Say that credits don't reach, so that they may be bought; not at every refusal, and never in its way."""
        if self._told_short.get(tenant_id, 0.0) > self._clock():
            return
        if len(self._told_short) >= REMEMBERED:
            self._told_short.clear()
        self._told_short[tenant_id] = self._clock() + SPENT_SECONDS
        try:
            self._short_of_credits(tenant_id)
        except Exception:
            _log.warning("a lack of credits could not be told", exc_info=True)

    def pays_by_credits(self, tenant_id: TenantId) -> bool:
        """Whether this container has seen a moment ago that the plan's chats are spent."""
        return self._spent.get(tenant_id, 0.0) > self._clock()

    @contextmanager
    def _one_of_few(self, asker: Asker, tenant: Tenant, deadline: float) -> Iterator[None]:
        """An anonymous device chats one at a time and so often a day, an address too."""
        if asker.kind != "anonymous":
            yield
            return
        now, device = self._clock(), owner_hash(asker.principal)
        address = hashlib.sha256(asker.address.encode()).hexdigest()[:32]
        with self._limiter.few_at_a_time(f"anonymous#{device}", 1, deadline - now):
            tomorrow = day_end(now, tenant.timezone)
            try:
                self._limiter.count_up_to(f"device#{device}", DEVICE_CHATS_PER_DAY, tomorrow)
                self._limiter.count_up_to(f"address#{address}", ADDRESS_CHATS_PER_DAY, tomorrow)
            except RateLimited as full:
                raise RateLimited(
                    "Today's chats without an account are used up: sign in to go on.", **full.extra
                ) from None
            yield

    def _explained(
        self, denied: Denied, asker: Asker, tenant: Tenant, site: Site, entitlement: Entitlement
    ) -> NorenError:
        """The denial as the caller should read it: with the plan that would fit, for those who may know prices."""
        match denied.reason:
            case "stopped" if not asker.sees_prices:
                return _switched_off()
            case "stopped":
                return Forbidden("This account is suspended.", code="suspended")
            case "concurrency":
                return RateLimited(denied.detail, retry_after=denied.retry_after or 1)
            case "contention":
                return Busy(denied.detail, retry_after=denied.retry_after or 1)
        if not asker.sees_prices:
            return QuotaExceeded("The assistant has answered all it may for now.", **_when(denied))
        fitting = _fitting(denied, site, entitlement)
        offer: dict[str, Any] = {}
        if fitting:
            price = {"amount": fitting.prices.get(tenant.currency), "currency": tenant.currency}
            offer = {"plan": fitting.plan, "price": price, "upgrade_url": f"{self._console_url}/billing"}
        return QuotaExceeded(denied.detail, **_when(denied), **offer)


def is_open(tenant: Tenant, site: Site) -> bool:
    """Whether neither is stopped. The quota's own stop is the ledger's business."""
    return tenant.plan_status != "suspended" and not tenant.stops - {"quota"} and site.status == "active"


def _switched_off() -> Forbidden:
    return Forbidden("This site is switched off.", code="site_disabled")


def _visits(asker: Asker, site: Site, entitlement: Entitlement) -> tuple[str, dict[str, int]]:
    """What a visitor's chat is counted as, and its limits a minute."""
    share = max(1, int(entitlement.limits.requests_per_minute * VISITOR_SHARE))
    address = hashlib.sha256(asker.address.encode()).hexdigest()[:12]
    limits = {
        "site": min(VISITOR_CHATS["site"], share),
        f"a{address}": VISITOR_CHATS["address"],
        f"d{owner_hash(asker.principal)[:12]}": VISITOR_CHATS["device"],
    }
    return f"visits#{site.site_id}", limits


def _count(reason: str, asker: Asker, site: Site) -> None:
    fields = {
        "reason": reason,
        "trace_id": asker.trace_id,
        "user": asker.principal,
        "tenant": site.tenant_id,
        "site": site.site_id,
    }
    _log.info("not admitted", extra=measured(fields, "reason", Refused=1))


def _when(denied: Denied) -> dict[str, Any]:
    return {"resets_at": denied.extra["resets_at"]} if "resets_at" in denied.extra else {}


def _fitting(denied: Denied, site: Site, entitlement: Entitlement) -> Plan | None:
    """The cheapest plan above that allows more of what ran out; none where the site's own ceiling did."""
    has = entitlement.limits
    allowed = has.requests_per_day_per_site
    if denied.reason == "site_day" and site.daily_ceiling(allowed) < allowed:
        return None
    for plan in entitlement.fitting_plans:
        more = plan.limits
        if denied.reason == "site_day" and more.requests_per_day_per_site <= allowed:
            continue
        if denied.reason == "chats" and more.chats_per_month <= has.chats_per_month:
            continue
        return plan
    return None
