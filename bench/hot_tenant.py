"""One tenant, one admission item: what it takes, and at how many write units a second.

    python -m bench.hot_tenant [--rate 50] [--seconds 20] [--answer 2] [--credits] [--write]

So many chats a second are begun on one item, each held for its answer's time and settled. None may be lost or denied;
afterwards the counters must be what the records say. The emulator never throttles: what counts is the write units that
DynamoDB would bill, computed from the item's images (the larger of before and after, in started KB), and they may be no
more than 800 a second of the 1,000 that one item takes. `--write` renews the generated part of docs/scale.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bench.containers import Container, cloud, make_ledger_tables
from bench.cost import item_size
from bench.tables import table
from bench.wire import Images, Wire
from local import emulator
from noren import tables
from noren.errors import NorenError
from noren.ids import TenantId, new_id
from noren.ledger import account as rules
from noren.ledger.fold import Gift
from noren.ledger.holds import Held, key_of
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask
from noren.ledger.store import opening_item
from noren.plans.models import Limits
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord

DOCUMENT = emulator.ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- computed by bench/hot_tenant.py: do not edit -->", "<!-- end of what was computed -->"
PLAN = Limits(10**7, 0, 10**7, 1_000, 10**7, 512, 1, 2)
BUDGET = 800
"""Write units a second that we let one item take, of DynamoDB's 1,000."""
CONTAINERS = 16
ANSWERS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
RATE = 50
PRICE = 4


@dataclass
class Run:
    """What so many chats came to."""

    begun: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Of each reserve."""
    sizes: list[int] = field(default_factory=list)
    """Bytes that each write of the item is billed by."""
    holds: list[int] = field(default_factory=list)
    """Open at each write."""
    writes_asked: int = 0
    """Of the item, refused and repeated ones too."""
    wrong: list[str] = field(default_factory=list)

    @property
    def units(self) -> int:
        """Write units of the item: refused writes are billed like others (by the mean here)."""
        billed = sum(math.ceil(size / 1024) for size in self.sizes)
        return math.ceil(billed * max(1.0, self.writes_asked / max(1, len(self.sizes))))


class Counted:
    """A client that counts the writes of the admission item."""

    def __init__(self, client: Any) -> None:
        self._client, self.writes = client, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def counted(**given: Any) -> Any:
            self.writes[f"{name} {given.get('TableName', '')}"] += 1
            return operation(**given)

        return counted


def run(client: Wire, rate: float, seconds: float, answer: float, *, credits: bool = False) -> Run:
    """Begin `rate` chats a second for so long, each answered after `answer` seconds, and see what they left."""
    make_ledger_tables(client)
    counted, result = Counted(client), Run()
    containers = [Container(counted, time.time, time.sleep) for _ in range(CONTAINERS)]
    office = Container(client, time.time, time.sleep)
    tenant, site = Tenant(TenantId(new_id("ten")), "Busy", "vip", time.time()), new_id("site")
    office.ledger.open_account(replace(tenant, overrides={"chats_per_month": 10**7}), PLAN)
    office.ledger.change_limits(replace(tenant, overrides={"chats_per_month": 10**7}), PLAN)
    office.credits.give(tenant.tenant_id, Gift("BON#bench", "BONUS", "bonus", 10**8, NEVER))
    images = Images(client, "quotas")
    images.new()

    def chat(number: int) -> str:
        request_id, now = new_id("req"), time.time()
        chats, price = (0, PRICE) if credits else (1, 0)
        ask = Ask(tenant.tenant_id, request_id, site, now + 120, chats, price)
        record = UsageRecord(request_id, tenant.tenant_id, site, now, chats=chats, credits=price)
        began = time.monotonic()
        try:
            with containers[number % CONTAINERS].ledger.reserve(ask, record):
                result.waits.append(time.monotonic() - began)
                time.sleep(answer)
        except NorenError as error:
            return getattr(error, "reason", error.code)
        return "settled"

    with ThreadPoolExecutor(min(900, int(rate * (answer + 1)) + 50)) as pool:
        began, answers = time.monotonic(), []
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            answers.append(pool.submit(chat, number))
        result.seconds = time.monotonic() - began
        result.outcomes.update(each.result() for each in answers)
    result.begun, result.writes_asked = len(answers), counted.writes["update_item quotas"]
    for old, new in images.new():
        result.sizes.append(max(item_size(old or {}), item_size(new or {})))
        result.holds.append(len((new or {}).get("hm", {}).get("M", {})))
    result.wrong += _wrong(result, office, tenant.tenant_id)
    return result


def _wrong(result: Run, office: Container, tenant_id: TenantId) -> list[str]:
    """Whether any was lost or denied, and whether the counters are what the records say."""
    account = office.accounts.get(tenant_id)
    assert account is not None
    chats = credits = records = 0
    position: str | None = None
    while True:
        page, position = office.usage.page(tenant_id, None, 500, position)
        records += len(page)
        chats, credits = chats + sum(each.chats for each in page), credits + sum(each.credits for each in page)
        if position is None:
            break
    pairs = {
        "chats settled": (result.outcomes["settled"], result.begun),
        "records": (records, result.begun),
        "chats counted": (account.chats_used, chats),
        "credits used": (account.credits_used, credits),
        "requests today": (sum(account.site_counts.values()), result.begun),
        "open holds": (len(account.holds), 0),
    }
    return [f"{name}: {found}, should be {due}" for name, (found, due) in pairs.items() if found != due]


# -- by arithmetic


@dataclass(frozen=True)
class Sizes:
    """Bytes of an admission item without holds, and of each hold."""

    base: int
    hold: int

    def units(self, holds: float) -> int:
        """Of one write with so many holds open."""
        return math.ceil((self.base + self.hold * holds) / 1024)

    def units_a_second(self, rate: float, answer: float) -> float:
        """Two writes a chat, and rate x answer holds open."""
        return 2 * rate * self.units(rate * answer)

    def most(self, answer: float, budget: float = BUDGET) -> int:
        """Chats a second that take no more than the budget."""
        rate = 1
        while self.units_a_second(rate + 1, answer) <= budget:
            rate += 1
        return rate


def sizes_of(*, credits: bool) -> Sizes:
    """Sizes of a busy tenant's item, made of what the ledger writes."""
    tenant_id, site, now = TenantId(new_id("ten")), new_id("site"), 1_796_050_000
    account = rules.opened(tenant_id, "America/Argentina/Buenos_Aires", PLAN, now)
    chats, price = (0, 25) if credits else (1, 0)
    request_id = new_id("req")
    held = Held.of(Ask(tenant_id, request_id, site, now + 300, chats, price), now)
    busy = replace(account, chats_used=2_000_000, credits_used=5_000_000, credits=5_000_000, version=10_000)
    busy = replace(busy, site_counts={held.slot: 1_000_000})
    item = opening_item(busy) | {"u": busy.credits_used}
    base = item_size(tables.to_item(item))
    return Sizes(base, item_size(tables.to_item(item | {"hm": {key_of(request_id): str(held)}})) - base)


def computed_part() -> str:
    """What is generated of docs/scale.md."""
    parts = []
    for name, credits in (("Chats of the plan", False), ("Chats on credits", True)):
        sizes = sizes_of(credits=credits)
        rows = []
        for answer in ANSWERS:
            open_now = RATE * answer
            units, most = sizes.units_a_second(RATE, answer), sizes.most(answer)
            figures = (f"{open_now:g}", sizes.units(open_now), f"{units:g}", "yes" if units <= BUDGET else "no")
            rows.append([f"{answer:g} s", *figures, most, f"{most * answer:g}"])
        head = ["answers take", "open at 50/s", "units a write", "units a second", f"≤ {BUDGET}"]
        head += [f"most chats a second at {BUDGET}", "open then"]
        parts.append(f"{name}: an item of {sizes.base} bytes, and {sizes.hold} more for each open hold.")
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def report(done: Run, answer: float) -> str:
    """The measured table."""
    waits = sorted(done.waits)
    rows = [
        ["chats begun", f"{done.begun} in {done.seconds:.1f} s"],
        ["settled", done.outcomes["settled"]],
        ["denied or failed", done.begun - done.outcomes["settled"]],
        ["answers take", f"{answer:g} s"],
        ["open holds, mean and most", f"{sum(done.holds) / len(done.holds):.0f}, {max(done.holds)}"],
        ["item's bytes, mean and most", f"{sum(done.sizes) / len(done.sizes):.0f}, {max(done.sizes)}"],
        ["writes of the item, asked for and done", f"{done.writes_asked}, {len(done.sizes)}"],
        [
            "reserve, ms, median and 99 %",
            f"{waits[len(waits) // 2] * 1e3:.0f}, {waits[len(waits) * 99 // 100] * 1e3:.0f}",
        ],
        ["write units a chat", f"{done.units / done.begun:.1f}"],
        ["write units a second", f"{done.units / done.seconds:.0f} of {BUDGET}"],
        ["counters = records", "yes" if not done.wrong else "; ".join(done.wrong)],
    ]
    return table(["one tenant, one item", ""], rows)


def main() -> int:
    """Measure and print; 1 where a chat was lost or denied, counters differ, or too many units were taken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--answer", type=float, default=2)
    parser.add_argument("--credits", action="store_true", help="chats on credits instead of the plan's")
    parser.add_argument("--write", action="store_true", help="renew docs/scale.md, measuring nothing")
    given = parser.parse_args()
    part = computed_part()
    if given.write:
        head, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{head}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}")
        return 0
    with cloud() as endpoint, Wire(endpoint) as client:
        done = run(client, given.rate, given.seconds, given.answer, credits=given.credits)
    print(report(done, given.answer))
    print(f"\nBy arithmetic:\n\n{part}")
    return 1 if done.wrong or done.units / done.seconds > BUDGET else 0


if __name__ == "__main__":
    sys.exit(main())
