"""A tenant with usage records on the emulator, and what its summaries must be, reckoned in another way."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from noren import ids
from noren.clock import day_of
from noren.ids import TenantId
from noren.usage.arms import ArmTally
from noren.usage.histogram import BOUNDS
from noren.usage.models import Call, UsageRecord
from noren.usage.periods import quarter_of
from noren.usage.proof import Prover
from noren.usage.reports import Row, UsageReports, Wanted
from noren.usage.store import UsageStore
from noren.usage.summaries import UsageSummaries
from noren.usage.summary_store import SummaryStore, Zoning
from noren.usage.tally import Cells, Tally

NOW = 1_796_050_000.0
"""2026-11-30 23:46:40 in Tokyo: a day and a month end in the next quarter-hour."""

Plain = dict[tuple[str, str, str, str], dict[str, Any]]
"""Sums by (period, site, model, function)."""


class World:
    """One tenant. `zone` is what the tenant has chosen now."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.tenant = TenantId(ids.new_id("ten"))
        self.sites = sorted(ids.new_id("site") for _ in range(2))
        self.zone = "Asia/Tokyo"
        self.now = NOW + 86400
        self.made: list[UsageRecord] = []
        self.records = UsageStore(client, "usage")
        self.store = SummaryStore(client, "usage")
        self.summaries = self.consumer(client)
        self.reports = UsageReports(self.store)
        self.prover = Prover(self.store, self.summaries, lambda: self.now)

    def consumer(self, client: Any) -> UsageSummaries:
        """Another process's summaries over the same table."""
        return UsageSummaries(SummaryStore(client, "usage"), UsageStore(client, "usage"), lambda _: self.zone)

    def record(self, at: float, **changes: Any) -> UsageRecord:
        values: dict[str, Any] = {"model": "phi", "total_ms": 900, "site_id": self.sites[0]}
        return UsageRecord(ids.new_id("req", at), self.tenant, occurred_at=at, **(values | changes))

    def some(self, at: float, rng: random.Random) -> UsageRecord:
        """A record of any kind."""
        released = rng.random() < 0.1
        call = Call("answer", "p", "m", "p", "p@1", "ok")
        call.tokens_input, call.tokens_output, call.tokens_cached = (rng.randint(0, 3000) for _ in range(3))
        return self.record(
            at,
            site_id=rng.choice(self.sites),
            model=rng.choice(("phi", "mistral", "")),
            function=rng.choice(("chatbot", "analysis")),
            decision="RELEASE" if released else "USAGE",
            status=rng.choice(("ok", "ok", "ok", "partial", "canned", "failed")),
            chats=rng.randint(0, 1),
            credits=rng.randint(0, 5),
            calls=[call, Call("embedding", "p", "e", "e", "e@1", "ok", tokens_embedding=rng.randint(0, 9))],
            cost_usd=Decimal(rng.randint(0, 10**9)).scaleb(-10),
            first_token_ms=rng.choice((None, rng.randint(1, 20_000))),
            total_ms=rng.randint(1, 120_000),
            **self._arm(rng),
        )

    @staticmethod
    def _arm(rng: random.Random) -> dict[str, Any]:
        """Half of them take part in one of two experiments."""
        if rng.random() < 0.5:
            return {}
        taken = {"experiment_id": rng.choice(("exp_1", "exp_2")), "prompt_arm": rng.choice("AB")}
        return taken | {"is_new_session": rng.random() < 0.3}

    def put(self, *records: UsageRecord) -> None:
        self.made += records
        for each in records:
            self.records.put_first(each)

    def told(self, *records: UsageRecord, summaries: UsageSummaries | None = None) -> None:
        """What a delivery of these records does."""
        (summaries or self.summaries).refresh(self.tenant, dirty(records))

    def add(self, *records: UsageRecord) -> None:
        """Put records, and have the stream tell of them."""
        self.put(*records)
        self.told(*records)

    @property
    def zoning(self) -> Zoning:
        zoning = self.store.zoning(self.tenant)
        assert zoning
        return zoning

    def stored_days(self, first: str = "2000-01-01", last: str = "2999-12-31") -> Plain:
        found = [each for site in self.sites for each in self.store.days(self.tenant, self.zoning, site, first, last)]
        return {(each.period, each.site_id, *key): plain(t) for each in found for key, t in each.cells.items()}

    def arms(self, experiment_id: str) -> dict[str, Any]:
        """What a report says of an experiment's arms."""
        wanted = Wanted(self.tenant, self.zone, "month", "2026-01-01", "2026-12-31")
        return {arm: plain_arm(tally) for arm, tally in self.reports.arms(wanted, experiment_id).items()}

    def stored_months(self) -> Plain:
        found = self.store.months(self.tenant, self.zoning, "2000-01", "2999-12")
        return {(each.period, each.site_id, *key): plain(t) for each in found for key, t in each.cells.items()}

    def rows(self, **changes: Any) -> list[Row]:
        values = {"zone": self.zone, "granularity": "day", "first": "2026-01-01", "last": "2026-12-31"}
        return list(self.reports.rows(Wanted(self.tenant, **(values | changes))))


def dirty(records: Iterable[UsageRecord]) -> dict[int, frozenset[str]]:
    marks: dict[int, set[str]] = defaultdict(set)
    for each in records:
        quarter = quarter_of(each.request_id)
        assert quarter is not None
        marks[quarter].add(each.site_id)
    return {quarter: frozenset(sites) for quarter, sites in marks.items()}


def plain(tally: Tally) -> dict[str, Any]:
    names = ("requests", "chats", "credits", "errors", "tokens_input", "tokens_output", "tokens_cached")
    return {name: getattr(tally, name) for name in (*names, "tokens_embedding", "cost_usd", "late_cost_usd")} | {
        "first": tally.first_token.counts,
        "total": tally.total.counts,
    }


def plain_arm(tally: ArmTally) -> dict[str, Any]:
    counts = {name: getattr(tally, name) for name in ("requests", "failures", "sessions")}
    moments = {name: getattr(tally, name) for name in ("total_ms", "first_token_ms", "cost_usd")}
    return counts | {name: (each.count, each.sum, each.squares) for name, each in moments.items()}


def expected_arms(records: Iterable[UsageRecord], experiment_id: str) -> dict[str, Any]:
    """The same in plain sums over all records."""
    found: dict[str, Any] = {}
    taking_part = [each for each in records if each.experiment_id == experiment_id and each.status != "canned"]
    for arm in {each.prompt_arm for each in taking_part}:
        mine = [each for each in taking_part if each.prompt_arm == arm]
        used = [each for each in mine if each.decision == "USAGE"]
        answers = [each for each in used if each.status == "ok"]
        waits = [each.first_token_ms for each in answers if each.first_token_ms is not None]
        values: dict[str, list[Any]] = {"total_ms": [each.total_ms for each in answers], "first_token_ms": waits}
        values["cost_usd"] = [each.cost_usd for each in answers]
        found[arm] = {
            "requests": len(mine),
            "failures": sum(each.status in ("failed", "partial") for each in mine),
            "sessions": sum(each.is_new_session for each in used),
        } | {name: (len(each), sum(each), sum(one * one for one in each)) for name, each in values.items()}
    return found


def cells_of(tally: Tally) -> Cells:
    return {("phi", "chatbot"): tally}


def expected(records: Iterable[UsageRecord], tz: str, letters: int = 10) -> Plain:
    """What days (or months: 7 letters) must hold, in plain sums. `occurred_at` is when a test's request began."""
    sums: dict[Any, Any] = {}
    for each in records:
        key = (day_of(each.occurred_at, tz)[:letters], each.site_id, each.model, each.function)
        cell: Any = sums.setdefault(key, defaultdict(int))
        cell["first"], cell["total"] = cell["first"] or {}, cell["total"] or {}
        bad = each.decision == "RELEASE" or each.status in ("failed", "partial", "denied")
        cell["requests"] += 1
        cell["errors"] += bad
        cell["chats"] += 0 if each.decision == "RELEASE" else each.chats
        cell["credits"] += 0 if each.decision == "RELEASE" else each.credits
        for name in ("tokens_input", "tokens_output", "tokens_cached", "tokens_embedding"):
            cell[name] += sum(getattr(call, name) for call in each.calls)
        cell["cost_usd"] += each.cost_usd
        cell["late_cost_usd"] += each.cost_usd if each.late else 0
        waits = [("first", each.first_token_ms), ("total", None if bad else each.total_ms)]
        for name, wait in waits:
            if wait is not None:
                bucket = next(number for number, bound in enumerate(BOUNDS) if wait <= bound)
                cell[name][bucket] = cell[name].get(bucket, 0) + 1
    return {key: dict(cell) for key, cell in sums.items()}
