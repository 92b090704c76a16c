"""Admission: nothing is spent twice, nothing is spent that is not there, nothing is lost.

*Reserve* is one conditional write on the tenant's admission item. *Decide* puts the request's usage record, if there is
none: that put is the commit point, and everybody follows the record that stands. *Apply* then gives back what was held
and not used, and removes the hold. *Sweep* does the same for the holds of processes that are gone. Each step may be
repeated, delayed or lost anywhere.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from noren.clock import Clock
from noren.errors import Conflict, NotFound
from noren.ids import TenantId
from noren.ledger import account as rules
from noren.ledger.account import Account
from noren.ledger.credits import Credits
from noren.ledger.holds import Held, key_of, request_of
from noren.ledger.models import Ask, Denied, Hold, Reason, Standing, SweepReport
from noren.ledger.patience import Patience
from noren.ledger.store import LedgerStore, Refused
from noren.metrics import measured
from noren.plans.models import Limits
from noren.tables import is_retryable
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord
from noren.usage.store import UsageStore

log = logging.getLogger(__name__)

ABANDONED = "abandoned"
"""`error_code` of the record that a sweep decides: the request's process was gone."""

ROUNDS = 12
"""Tries of a reserve that each found something to do first (turn, sweep) …"""
FAULTS = 4
"""… and tries that storage itself let down, before the caller is asked to come back."""
REMEMBERED = 1000
"""Tenants whose denials one container remembers."""
SWEPT_AT_ONCE = 20
"""Dead holds that one reserve clears away before it tries again."""


class Ledger:
    """The tenants' quotas, holds and credits. Safe to share between threads; safe to run anywhere at once."""

    def __init__(
        self,
        store: LedgerStore,
        usage: UsageStore,
        credits: Credits,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._usage = usage
        self._credits = credits
        self._clock = clock
        self._sleep = sleep
        self._insist = Patience(sleep)
        self._denials: dict[TenantId, dict[Ask, tuple[float, Denied]]] = {}

    # -- accounts

    def open_account(self, tenant: Tenant, limits: Limits) -> None:
        """Give the tenant its account, once; the first month is granted pro rata by the days left, today included."""
        self._credits.open(rules.opened(tenant.tenant_id, tenant.timezone, limits, int(self._clock())))

    def change_limits(self, tenant: Tenant, limits: Limits) -> None:
        """Bring the account in line with the tenant: `limits` are those in force, overrides applied.

        What a higher plan allows more is granted pro rata by the days left; what a lower one allows less counts at
        once; limits that an admin has overridden count at once and in full. A changed zone counts from next month.
        Repeating it changes nothing. Raises NotFound.
        """
        overridden = frozenset(tenant.overrides)

        def change(account: Account, now: int) -> Account:
            return rules.with_limits(account, limits, tenant.timezone, overridden, now, overage=tenant.overage)

        self._credits.change(tenant.tenant_id, change)
        self._forget(tenant.tenant_id)

    def set_active(self, tenant_id: TenantId, active: bool) -> None:
        """Open or stop admission; holds that are open go on. Raises NotFound."""
        try:
            self._insist(lambda: self._store.set_status(tenant_id, active=active))
        except Refused:
            raise NotFound from None
        self._forget(tenant_id)

    def standing(self, tenant_id: TenantId) -> Standing:
        """What the tenant has used and may use now. Raises NotFound."""
        account = rules.turned(self._credits.account(tenant_id), int(self._clock()))
        embedding = account.embedding_grant.limit
        return Standing(
            active=account.active,
            chats_used=account.chats_used,
            chats_limit=account.chat_grant.limit,
            embedding_tokens_used=embedding - account.embedding_left,
            embedding_tokens_limit=embedding,
            resets_at=account.resets_at,
            site_daily_limit=account.site_daily_limit,
            day_resets_at=account.day_resets_at,
            open_holds=len(account.holds),
            concurrency=account.concurrency,
            credits=account.credits,
            counts_by_slot=account.site_counts,
        )

    def is_open(self, tenant_id: TenantId, request_id: str) -> bool:
        """Whether the request is under way: it has a hold that has not expired."""
        account = self._credits.account(tenant_id)
        text = account.holds.get(key_of(request_id))
        return text is not None and Held.parse(text).expires_at > self._clock()

    # -- reserve, settle, release

    @contextmanager
    def reserve(self, ask: Ask, record: UsageRecord) -> Iterator[Hold]:
        """Admit `ask` or raise Denied. Leaving the block settles by `record`, or releases if `hold.release`.

        An exception that leaves the block releases where no call produced anything, else it settles what was
        produced; a client that went away pays for a call that was begun. Raises Busy where storage doesn't take the
        decision: the sweep will.
        """
        began = time.monotonic()
        hold = self._admit(ask, record)
        record.admission_ms = int((time.monotonic() - began) * 1000)
        try:
            yield hold
        except Exception:
            hold.release = (hold.release or not record.tokens_output) and not hold.fee
            if record.status == "ok":
                record.status = "partial" if record.tokens_output else "failed"
            self._leave_quietly(hold)
            raise
        except BaseException:  # GeneratorExit above all: the client has gone
            hold.release = hold.release or not record.calls
            if record.status == "ok":
                record.status = "cancelled"
            self._leave_quietly(hold)
            raise
        self._leave(hold)

    def _admit(self, ask: Ask, record: UsageRecord) -> Hold:
        self._raise_remembered(ask)
        key = key_of(ask.request_id)
        faults = 0
        floor = 0  # our clock may lag behind the one that turned the account last
        for _ in range(ROUNDS):
            held = Held.of(ask, max(floor, int(self._clock())))
            try:
                return _hold(ask, record, self._store.reserve(ask, key, held), held)
            except Refused as refused:
                account = refused.account
            except Exception as error:
                # It may have had its effect: then the next try runs into its hold, and adopts it
                if not is_retryable(error):
                    raise
                faults += 1
                if faults == FAULTS:
                    break
                self._sleep(0.05 * 2**faults * random.random())  # noqa: S311
                continue
            if account is None:
                raise NotFound("This tenant has no account")
            now = held.made_at
            own = account.holds.get(key)
            if own is not None:
                theirs = Held.parse(own)
                if theirs.expires_at > now:
                    return _hold(ask, record, account, theirs, adopted=True)
                self._follow(account.tenant_id, key, theirs, _abandoned(account.tenant_id, key, theirs))
                raise Conflict("This request has ended before; send it again under another key")
            if account.day_since > now:
                floor = account.day_since
            elif account.next_turn <= now or (ask.credits and account.debt and account.credits):
                self._turn(account, now)
            elif dead := account.dead_holds(now):
                for each in list(dead)[:SWEPT_AT_ONCE]:
                    self._follow(account.tenant_id, each, dead[each], _abandoned(account.tenant_id, each, dead[each]))
            elif reason := rules.why_not(account, ask):
                self._deny(ask, account, reason)
        raise Denied("contention", retry_after=1)

    def _leave(self, hold: Hold) -> None:
        """Decide and apply; `hold.decided` is the record that stands."""
        ask, record = hold.ask, hold.record
        record.nonce = hold.nonce
        record.decision = "RELEASE" if hold.release else "USAGE"
        record.chats = 0 if hold.release else max(0, min(record.chats, hold.held.chats))
        record.credits = 0 if hold.release else max(0, min(record.credits, hold.held.credits))
        record.embedding_charged = 0 if hold.release else min(record.tokens_embedding, hold.held.embedding_tokens)
        hold.decided = self._follow(ask.tenant_id, key_of(ask.request_id), hold.held, record)
        self._forget(ask.tenant_id)

    def _leave_quietly(self, hold: Hold) -> None:
        """Likewise, on the way of an exception that must not be hidden."""
        try:
            self._leave(hold)
        except Exception:
            log.exception("request %s is left to the sweep", hold.ask.request_id)

    def _follow(self, tenant_id: TenantId, key: str, held: Held, record: UsageRecord) -> UsageRecord:
        """Decide by `record` if nobody has decided yet, then apply whatever was decided. Returns what stands."""
        stands = self._insist(lambda: self._usage.put_first(record))
        mine = stands.decision == "USAGE" and stands.nonce == held.nonce  # it counts only for the hold that it names
        used = _used(stands, held) if mine else None
        try:
            self._insist(lambda: self._apply(tenant_id, key, held, used))
        except Exception:
            log.warning("request %s is decided, its hold is left to the sweep", record.request_id, exc_info=True)
        return self._put_late(record, stands) if _lost(record, stands) else stands

    def _put_late(self, record: UsageRecord, stands: UsageRecord) -> UsageRecord:
        """The cost of a request that was released before its settler came: the platform's loss."""
        late = replace(
            record,
            decision="RELEASE",
            nonce=stands.nonce,
            chats=0,
            credits=0,
            embedding_charged=0,
            late=True,
            revision=stands.revision + 1,
        )
        if not self._insist(lambda: self._usage.put_late(late)):
            return stands
        fields = {"request_id": late.request_id, "trace_id": late.trace_id, "cost_usd": late.cost_usd}
        log.error("late settlement: the cost is the platform's loss", extra=measured(fields, LateSettlements=1))
        return late

    def _apply(self, tenant_id: TenantId, key: str, held: Held, used: Held | None) -> None:
        in_period = in_day = True
        while True:
            try:
                self._store.apply(tenant_id, key, held, used, in_period=in_period, in_day=in_day)
            except Refused as refused:
                account = refused.account
                if account is None or account.holds.get(key) != str(held):
                    return  # applied before
                in_period = account.period_since <= held.made_at
                in_day = account.day_since <= held.made_at
            else:
                return

    # -- turns and sweeps

    def _turn(self, account: Account, now: int) -> None:
        if account.needs_fold(now) or (account.debt and account.credits):
            self._credits.turn(account.tenant_id, account)
            return
        try:
            self._store.turn(account, rules.turned(account, now))
        except Refused:
            return  # somebody else has turned it
        except Exception as error:
            if not is_retryable(error):
                raise
            self._sleep(0.05 * random.random())  # noqa: S311

    def sweep(self, tenant_id: TenantId) -> int:
        """Settle or release every hold of the tenant that has expired; returns how many there were."""
        return self._sweep(self._credits.account(tenant_id))

    def sweep_all(self, seconds: float | None = None) -> SweepReport:
        """Sweep every account that has holds and fold every one whose month or lot has ended, for at most `seconds`.

        One account's trouble stops no other's.

        Where it stopped is kept page by page, so that the next run goes on from there.
        """
        ends = None if seconds is None else self._clock() + seconds
        accounts = holds = failures = 0
        for page, position in self._store.waiting(self._store.position("SWEEP")[0], int(self._clock())):
            for account in page:
                accounts += 1
                try:
                    holds += self._sweep(account)
                    if account.needs_fold(self._clock()):
                        self._credits.turn(account.tenant_id)
                except Exception:
                    failures += 1
                    log.exception("the sweep of %s failed", account.tenant_id)
            self._store.keep_position("SWEEP", position)
            if position and ends is not None and self._clock() >= ends:
                return SweepReport(accounts, holds, failures, finished=False)
        return SweepReport(accounts, holds, failures, finished=True)

    def _sweep(self, account: Account) -> int:
        dead = account.dead_holds(self._clock())
        for key, held in dead.items():
            self._follow(account.tenant_id, key, held, _abandoned(account.tenant_id, key, held))
        return len(dead)

    # -- small things

    def _deny(self, ask: Ask, account: Account, reason: Reason) -> None:
        resets_at = {
            "chats": account.resets_at,
            "embedding": account.resets_at,
            "credits": account.resets_at,
            "site_day": account.day_resets_at,
        }.get(reason)
        denied = Denied(reason, resets_at=resets_at, retry_after=2 if reason == "concurrency" else None)
        denied.credits, denied.overage = account.credits, account.overage
        if len(self._denials) >= REMEMBERED:
            self._denials.clear()
        until = self._clock() + 1 + random.random()  # noqa: S311
        self._denials.setdefault(ask.tenant_id, {})[_question(ask)] = (until, denied)
        raise denied

    def _raise_remembered(self, ask: Ask) -> None:
        """A refused condition costs a write too: the same question gets the same answer for a second or two."""
        until, denied = self._denials.get(ask.tenant_id, {}).get(_question(ask), (0.0, None))
        if denied and self._clock() < until:
            again = Denied(denied.reason, resets_at=denied.resets_at, retry_after=denied.retry_after)
            again.credits, again.overage = denied.credits, denied.overage
            raise again

    def _forget(self, tenant_id: TenantId) -> None:
        self._denials.pop(tenant_id, None)


def _question(ask: Ask) -> Ask:
    """What is asked, whoever asks: without the request's own id and deadline."""
    return replace(ask, request_id="", deadline=0.0)


def _hold(ask: Ask, record: UsageRecord, account: Account, held: Held, *, adopted: bool = False) -> Hold:
    return Hold(
        ask=ask,
        nonce=held.nonce,
        amounts=held.amounts,
        record=record,
        held=held,
        chats_used=account.chats_used,
        chats_limit=account.chat_grant.limit,
        resets_at=account.resets_at,
        credits_left=account.credits,
        adopted=adopted,
    )


def _used(record: UsageRecord, held: Held) -> Held:
    """What a record takes of its hold: never more than was held; an upstream that overruns is the platform's loss."""
    return replace(
        held,
        chats=min(record.chats, held.chats),
        credits=min(record.credits, held.credits),
        embedding_tokens=min(record.embedding_charged, held.embedding_tokens),
    )


def _lost(wanted: UsageRecord, stands: UsageRecord) -> bool:
    """Whether a settler came after somebody else had released its request."""
    if stands.decision == "USAGE" or stands.late or wanted.error_code == ABANDONED:
        return False
    return wanted.decision == "USAGE" or stands.error_code == ABANDONED


def _abandoned(tenant_id: TenantId, key: str, held: Held) -> UsageRecord:
    """The record of a request that never came back. Its site is known by its slot alone, so the record names none."""
    return UsageRecord(
        request_id=request_of(key),
        tenant_id=tenant_id,
        site_id="",
        occurred_at=float(held.made_at),
        decision="RELEASE",
        nonce=held.nonce,
        chats=0,
        status="failed",
        error_code=ABANDONED,
    )
