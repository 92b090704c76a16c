"""What a chat costs: every storage operation counted on the embedded cloud, and the monthly bill that follows from it.

    python -m bench.cost [--write]

Units are computed from the items' sizes by DynamoDB's rules (a write unit is 1 KB, a strong read unit 4 KB; each index
that an item is in is one more write). `--write` renews the generated part of docs/cost.md.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import boto3

from bench import bill, storage
from bench.tables import table
from local import emulator
from noren.chat.models import Asker, ChatAsk, Delta, IdempotencyKey, Run
from noren.errors import NorenError
from noren.ids import TenantId, new_id
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask
from noren.llm.models import Message
from noren.settings import Settings
from noren.tenants.models import PLATFORM_TENANT, Tenant
from noren.usage.models import UsageRecord

DOCUMENT = emulator.ROOT / "docs" / "cost.md"
BEGIN, END = "<!-- counted by bench/cost.py: do not edit -->", "<!-- end of what was counted -->"
QUOTA_PATH = ("quotas", "usage")
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
PAGES = {
    "https://shop.example/hours": "On Mondays the shop opens at ten and closes at six. On Sundays it stays closed.",
    "https://shop.example/parking": "The car park behind the shop is free for two hours.",
    "https://shop.example/returns": "Books that were bought in the shop may be returned within thirty days.",
}
ON_MONDAYS = "When does the shop open on Mondays?"
NO_SESSION = ChatAsk(
    "When is it open?", history=(Message("user", "Hello"), Message("assistant", "Hi!")), source="openai"
)
FAR_SECONDS = 0.6
"""A call ahead of the first token is made to last this long, so that calls which don't wait for each other overlap."""
HOLDS = (1, 35, 40, 100, 200)
"""Open at once, one's own among them."""


@dataclass(frozen=True)
class Operation:
    """One storage call. `when`: before the first token, or after it."""

    table: str
    name: str
    reads: float
    writes: int
    when: str
    trip: int = 0
    """Its place in a row of calls that each began after the one before had ended: 1 for one that waited for none."""


ByHolds = dict[str, dict[int, list[Operation]]]
"""By what is held, and by how many holds are open."""
WITHIN_QUOTA, ON_CREDITS = "within quota", "on credits"
HELD = 4
"""Credits that each of the other chats holds."""


@dataclass
class Counter:
    """Notes the operations of the calls that it is put around."""

    spans: list[tuple[float, float, Operation]] = field(default_factory=list)
    """When each began and ended."""
    when: str = "before"
    far: float = FAR_SECONDS

    def __post_init__(self) -> None:
        self._plain = boto3.client("dynamodb")
        self._lock = threading.Lock()

    def around(self, name: str, given: dict[str, Any], call: Callable[[], Any]) -> Any:
        """Meets `Meter.around`."""
        begun = time.perf_counter()
        table, keys = written(name, given)
        before = [self._size(table, key) for key in keys]
        answer = None
        try:
            answer = call()
            return answer
        finally:
            reads, writes = 0.0, 0
            if keys:
                for key, size in zip(keys, before, strict=True):
                    units = max(1, math.ceil(max(size, self._size(table, key)) / 1024))  # the larger image counts
                    writes += units * (2 if answer is not None and self._indexed(table, key) else 1)
            else:
                found = [answer["Item"]] if answer and "Item" in answer else (answer or {}).get("Items", [])
                units = max(1, math.ceil(sum(map(item_size, found)) / 4096))
                reads = units if given.get("ConsistentRead") else units / 2
            if self.when == "before":
                time.sleep(max(0.0, begun + self.far - time.perf_counter()))
            done = Operation(table, name, reads, writes, self.when)
            with self._lock:
                self.spans.append((begun, time.perf_counter(), done))

    def operations(self) -> list[Operation]:
        """All, by their trips."""
        return in_trips(self.spans)

    def _item(self, name: str, key: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._plain.get_item(TableName=name, Key=key, ConsistentRead=True).get("Item", {})
        return found

    def _size(self, name: str, key: Any) -> int:
        return item_size(self._item(name, key))

    def _indexed(self, name: str, key: Any) -> bool:
        return "gsi1pk" in self._item(name, key)


def written(name: str, given: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The table of a call and the keys of what it writes there; no call here writes to several tables."""
    if name == "BatchWriteItem":
        ((table, requests),) = given["RequestItems"].items()
        each = [request.get("PutRequest") or request["DeleteRequest"] for request in requests]
    else:
        table, each = given["TableName"], [given] if name in WRITES else []
    return table, [one.get("Key") or {part: one["Item"][part] for part in ("pk", "sk")} for one in each]


def in_trips(spans: list[tuple[float, float, Operation]]) -> list[Operation]:
    """Operations with their trips, from when each began and ended: those of one trip were under way together."""
    done: list[tuple[float, Operation]] = []
    for begun, ended, each in sorted(spans, key=lambda span: span[0]):
        waited_for = (other.trip for end, other in done if end <= begun)
        done.append((ended, replace(each, trip=1 + max(waited_for, default=0))))
    return sorted((each for _, each in done), key=lambda each: (each.trip, each.table, each.name))


def item_size(item: dict[str, Any]) -> int:
    """Bytes of an item as DynamoDB reckons them."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(attribute: dict[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return math.ceil(len(value.lstrip("-").replace(".", "").strip("0")) / 2) + 1
        case "B":
            return len(value)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(each) for name, each in value.items())
        case "L":
            return 3 + sum(1 + _size(each) for each in value)
    return 1


class Bench:
    """A platform with one tenant of each kind, whose clock stands still but for what the bench moves it."""

    def __init__(self, upstream: str) -> None:
        self.now = math.floor(time.time() / 60) * 60 + 1.0
        storage.make_tables()
        env = storage.environment(upstream)
        self.services = storage.MeteredServices(Settings.from_env(env), lambda: self.now)
        self.services.plans.seed()
        self.services.tenants.ensure_platform()
        self.tenant, _ = storage.tenant_with_key(self.services, "bench", "starter", **storage.NO_LIMITS)
        self.trained, _ = storage.tenant_with_key(self.services, "trained", "starter", **storage.NO_LIMITS)
        storage.train(self.services, self.trained, PAGES)
        found = self.services.retrieval.search(self.services.sites.create_default(self.trained), ON_MONDAYS)
        if not found or not found.findings.is_answered:
            raise SystemExit("the trained site does not tell what it is asked")
        self.spent, _ = storage.tenant_with_key(self.services, "spent", "starter", chats_per_month=0)
        limits = storage.NO_LIMITS | {"chats_per_month": 0}
        self.on_credits, _ = storage.tenant_with_key(self.services, "credits", "starter", **limits)
        self.services.tenants.set_overage(self.on_credits.tenant_id, True, "bench")
        self.services.credits.give(self.on_credits.tenant_id, Gift("BON#bench", "BONUS", "bonus", 1_000_000, NEVER))

    def asker(self, tenant_id: TenantId, kind: Literal["api_key", "visitor", "anonymous"] = "api_key") -> Asker:
        """Somebody of that tenant."""
        return Asker(tenant_id, f"{kind}:bench", kind, address="192.0.2.1")

    def chat(self, asker: Asker, ask: ChatAsk, run: Run | None = None, counter: Counter | None = None) -> str:
        """One chat to its end; its session's key."""
        session = ""
        try:
            for event in self.services.chats.stream(asker, ask, run or Run(self.now + 120)):
                if isinstance(event, Delta) and counter:
                    counter.when = "after"
                session = getattr(event, "session_key", "") or session
        except NorenError as error:
            if error.code != "quota_exceeded":
                raise
        return session

    def counted(
        self, asker: Asker, ask: ChatAsk, run: Run | None = None, *, far: float = FAR_SECONDS
    ) -> list[Operation]:
        """The operations of one chat, ten seconds after the last: what is cached for 30 s is warm, the rest is not."""
        self.now = math.ceil(self.now / 60) * 60 + 1.0
        self.chat(asker, ChatAsk("Hello"))
        self.now += 10
        counter = Counter(far=far)
        self.services.meter.around = counter.around
        try:
            self.chat(asker, ask, run, counter)
        finally:
            self.services.meter.around = None
        return counter.operations()

    def scenarios(self) -> dict[str, list[Operation]]:
        """Every kind of chat."""
        member, anonymous = self.asker(self.tenant.tenant_id), self.asker(PLATFORM_TENANT, "anonymous")
        reader = self.asker(self.trained.tenant_id)
        payer, visitor = self.asker(self.on_credits.tenant_id), self.asker(self.tenant.tenant_id, "visitor")
        ask = ChatAsk("When is it open?")
        session, paid, visited = self.chat(member, ask), self.chat(payer, ask), self.chat(visitor, ask)
        read = self.chat(reader, ask)
        for _ in range(3):
            self.chat(member, ChatAsk("And on Sundays?", session_key=session))
            self.chat(payer, ChatAsk("And on Sundays?", session_key=paid))
            self.chat(visitor, ChatAsk("And on Sundays?", session_key=visited))
            self.chat(reader, ChatAsk("And on Sundays?", session_key=read))
        once = Run(self.now + 3600, once=IdempotencyKey("POST /api/v1/chat", "bench-key", b"{}"))
        return {
            "a chat in a session": self.counted(member, ChatAsk("And on Mondays?", session_key=session)),
            "one in a session, of a site with documents": self.counted(reader, ChatAsk(ON_MONDAYS, session_key=read)),
            "one in a session, on credits": self.counted(payer, ChatAsk("And on Mondays?", session_key=paid)),
            "the first chat of a session": self.counted(member, ask),
            "one in OpenAI's format (no session)": self.counted(member, NO_SESSION),
            "one with an Idempotency-Key": self.counted(member, ask, once),
            "its replay": self.counted(member, ask, once),
            "a site's visitor's, in a session": self.counted(visitor, ChatAsk("Mondays?", session_key=visited)),
            "an anonymous visitor's": self.counted(anonymous, ask),
            "a denied one": self.counted(self.asker(self.spent.tenant_id), ask),
        }

    def by_holds(self) -> ByHolds:
        """A chat without a session, with that many holds like its own open: of the plan, and on credits."""
        return {
            WITHIN_QUOTA: self._among_more_and_more(self.tenant, credits=0),
            ON_CREDITS: self._among_more_and_more(self.on_credits, credits=HELD),
        }

    def _among_more_and_more(self, tenant: Tenant, credits: int) -> dict[int, list[Operation]]:
        found, others = dict[int, list[Operation]](), 0
        with contextlib.ExitStack() as stack:
            for holds in HOLDS:
                while others < holds - 1:
                    stack.enter_context(self.services.ledger.reserve(*self._other(tenant, credits)))
                    others += 1
                found[holds] = self.counted(self.asker(tenant.tenant_id), NO_SESSION, far=0)
        return found

    def _other(self, tenant: Tenant, credits: int) -> tuple[Ask, UsageRecord]:
        tenant_id, request_id = tenant.tenant_id, new_id("req", self.now)
        site_id = self.services.sites.default_id(tenant)
        record = UsageRecord(request_id=request_id, tenant_id=tenant_id, site_id=site_id, occurred_at=self.now)
        chats, deadline = 0 if credits else 1, self.now + 7200
        return Ask(tenant_id, request_id, site_id, deadline, chats=chats, credits=credits), record


def writes(operations: list[Operation], quota_path: bool | None = None) -> int:
    """Write units: of all, of the quota path alone, or of the rest alone."""
    return sum(each.writes for each in operations if quota_path is None or (each.table in QUOTA_PATH) == quota_path)


def trips(operations: list[Operation]) -> int:
    """Round trips one after another before the first token; of a denied chat, all."""
    return max(each.trip for each in operations if each.when == "before")


def counted_part(scenarios: dict[str, list[Operation]], by_holds: ByHolds) -> str:
    """What is generated of docs/cost.md, without the bill."""
    rows: list[list[object]] = []
    for name, done in scenarios.items():
        reads = sum(each.reads for each in done)
        units = writes(done, True), writes(done, False), writes(done)
        rows.append([name, len(done), trips(done), f"{reads:g}", *units])
    head = ["a warm chat", "operations", "trips before the first token", "read units"]
    parts = [table([*head, "write units, quota path", "the rest", "all"], rows)]
    for name, done in scenarios.items():
        each_of = [[f"{each.trip}", each.table, each.name, f"{each.reads:g}", each.writes, each.when] for each in done]
        parts.append(f"### {name[0].upper()}{name[1:]}")
        parts.append(table(["trip", "table", "operation", "read units", "write units", "the first token"], each_of))
    parts.append("### The quota path by open holds")
    for name, counts in by_holds.items():
        units = {
            n: [each.writes for each in done if each.table in QUOTA_PATH and each.writes] for n, done in counts.items()
        }
        steps = ["reserve", "record", "apply"] if name == WITHIN_QUOTA else ["refused", "reserve", "record", "apply"]
        parts.append(
            table([f"open holds, {name}", *steps, "write units"], [[n, *each, sum(each)] for n, each in units.items()])
        )
    return "\n\n".join(parts)


def document(text: str, part: str) -> str:
    """The document with its generated part replaced."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


@contextmanager
def upstream() -> Iterator[str]:
    """The mock upstream as a process; yields its URL."""
    port = emulator.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.upstream", str(port)], cwd=emulator.ROOT, preexec_fn=emulator.die_with_parent
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        emulator.stop(process)


def count(url: str) -> tuple[dict[str, list[Operation]], ByHolds]:
    """All counts, in the account that boto3 points at."""
    bench = Bench(url)
    return bench.scenarios(), bench.by_holds()


def main() -> int:
    """Count and print, or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="renew docs/cost.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as logs, storage.cloud(Path(logs) / "cloud.log"), upstream() as url:
        scenarios, by_holds = count(url)
    part = counted_part(scenarios, by_holds)
    done = scenarios["a chat in a session"]
    part += "\n\n" + bill.section(sum(each.reads for each in done), writes(done))
    print(part)
    if given.write:
        DOCUMENT.write_text(document(DOCUMENT.read_text(), part))
    return 0


if __name__ == "__main__":
    sys.exit(main())
