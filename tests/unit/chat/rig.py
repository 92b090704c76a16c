"""The whole chat pipeline over the embedded cloud; only the model, the catalogue and the tenants are scripted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from noren.chat.conversation_store import ConversationStore
from noren.chat.conversations import Conversations
from noren.chat.feedback import Feedbacks
from noren.chat.feedback_store import FeedbackStore
from noren.chat.models import Asker, ChatAsk, Feedback, IdempotencyKey, Run
from noren.chat.research import Research
from noren.chat.service import Chats
from noren.chat.sessions import Sessions
from noren.chat.store import SessionStore, SignalStore
from noren.chat.summary import Summaries
from noren.errors import NotFound
from noren.idempotency import Idempotency
from noren.ids import TenantId, new_id
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.embeddings import Embeddings
from noren.knowledge.index_cache import IndexFiles
from noren.knowledge.items import pointer_item
from noren.knowledge.models import IndexPointer
from noren.knowledge.retrieval import Retrieval
from noren.ledger.book_store import BookStore
from noren.ledger.credits import Credits
from noren.ledger.service import Ledger
from noren.ledger.store import LedgerStore
from noren.llm.breaker import Breaker
from noren.llm.embedder import Embedder
from noren.llm.models import Cancel, Delta, Event, Finish, Prompt, Provider, TimeLimits, TokenUsage
from noren.llm.router import Router
from noren.llm.store import BreakerStore
from noren.plans.models import Entitlement, ExchangeRate, Limits, ModelPolicy, Plan, Tier
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from noren.sites.canned import CannedResponses
from noren.sites.canned_store import CannedStore
from noren.sites.prompt_models import ActivePrompt
from noren.sites.service import Sites
from noren.sites.store import SiteStore
from noren.tables import to_item
from noren.tenants.models import PLATFORM_TENANT, Tenant
from noren.usage.models import UsageRecord
from noren.usage.service import Usage
from noren.usage.store import UsageStore
from tests.faults import emulator_client, make_table
from tests.unit.knowledge.indexes import Bucket, Page, built

MODEL = "scripted-7f3a"
POOL = ThreadPoolExecutor(8, "storage")


class Clock:
    """Real time, moved on by hand where a test needs it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def skip(self, seconds: float) -> None:
        """Move on; also serves as a `sleep` that takes no time."""
        self.ahead += seconds

    def to_next_minute(self) -> None:
        """Move on to where a minute begins: what is counted by the minute then falls into one."""
        self.ahead += 60 - self() % 60


class Inline(Executor):
    """Makes each call at once in the asking thread: storage calls then come in an order of their own."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Meets `Executor.submit`."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class Script:
    """A provider that says what it is told, piece by piece, and remembers what it was asked."""

    pieces: list[str] = field(default_factory=lambda: ["Open ", "from ", "nine."])
    before: Callable[[int], None] = lambda index: None
    """Called before the piece of that number is made."""
    fails_at: int | None = None
    fault: Exception | None = None
    name: str = "offline"
    prompts: list[Prompt] = field(default_factory=list)
    made: int = 0
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        """Meets `noren.llm.models.Provider`."""
        with self.lock:
            self.prompts.append(prompt)
        produced = 0
        try:
            for index, piece in enumerate(self.pieces):
                self.before(index)
                if cancel():
                    yield Finish("cancelled", TokenUsage(input=50, output=produced), MODEL)
                    return
                if index == self.fails_at and self.fault:
                    raise self.fault
                with self.lock:
                    self.made += 1
                produced += 1
                yield Delta(piece)
            if self.fails_at == len(self.pieces) and self.fault:
                raise self.fault
            yield Finish("stop", TokenUsage(input=50, output=produced), MODEL)
        finally:
            with self.lock:
                self.closed += 1


class Catalogue:
    """Stands for the plans service: one plan for everybody."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.tier: Tier = "free"
        self.models: tuple[ModelPolicy, ...] = (policy("small"), policy("large", is_default=False))
        self.embeddings: tuple[ModelPolicy, ...] = ()

    def plan(self, name: str, limits: Limits, price: int) -> Plan:
        own = self.embeddings[0].id if self.embeddings else ""
        return Plan(name, (), self.tier, {"JPY": price}, limits, own, "none", "2026-11-01")

    def entitlement(self, tenant: Tenant) -> Entitlement:
        """Meets `Plans.entitlement`."""
        limits = replace(self.limits, **tenant.overrides)
        more = replace(limits, chats_per_month=2000, requests_per_day_per_site=200, embedding_tokens_per_month=10**9)
        return Entitlement(
            plan=self.plan("free", limits, 0),
            limits=limits,
            models=self.models,
            rate=ExchangeRate("JPY", Decimal(150), "2026-11-01"),
            embeddings=self.embeddings,
            fitting_plans=(self.plan("starter", more, 7800),),
        )


class Registry:
    """Stands for the tenants service: those that the test has added."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}

    def get(self, tenant_id: TenantId) -> Tenant:
        """Meets `Tenants.get`."""
        if tenant_id not in self.tenants:
            raise NotFound()
        return self.tenants[tenant_id]


class Queue:
    """Stands for the summary queue."""

    def __init__(self) -> None:
        self.put_messages: list[tuple[TenantId, str, str, str]] = []

    def put(self, tenant_id: TenantId, owner: str, session_key: str, trace_id: str) -> None:
        """Meets `SummaryQueue.put`."""
        self.put_messages.append((tenant_id, owner, session_key, trace_id))


def make_tables(client: Any) -> None:
    """The tables that a chat touches."""
    for name in ("sites", "runtime", "quotas", "credits", "knowledge"):
        make_table(client, name)
    make_table(client, "usage")


LIMITS = Limits(
    chats_per_month=100,
    embedding_tokens_per_month=0,
    requests_per_day_per_site=1000,
    concurrent_chats=5,
    requests_per_minute=1000,
    max_tokens=512,
    sites=1,
    members=2,
)


def policy(name: str, *, is_default: bool = True) -> ModelPolicy:
    """A priced model of the scripted provider."""
    return ModelPolicy(
        id=name,
        name=name.title(),
        type="chat",
        provider="offline",
        model=f"{name}-model",
        endpoint="",
        plans=frozenset({"free"}),
        effective_date="2026-11-01",
        context_window=16_000,
        input_usd=Decimal("0.001"),
        output_usd=Decimal("0.002"),
        is_default=is_default,
    )


class Container:
    """One process's services, all over one storage client."""

    def __init__(
        self,
        client: Any,
        rig: Rig,
        sleep: Callable[[float], None] = time.sleep,
        providers: Mapping[str, Provider] | None = None,
        time_limits: TimeLimits | None = None,
        pool: Executor = POOL,
    ) -> None:
        clock = rig.clock
        accounts = LedgerStore(client, "quotas")
        self.credits = Credits(accounts, BookStore(client, "quotas", "credits"), clock, sleep)
        self.ledger = Ledger(accounts, UsageStore(client, "usage"), self.credits, clock=clock, sleep=sleep)
        self.usage = Usage(UsageStore(client, "usage"))
        self.sites = Sites(SiteStore(client, "sites"), clock)
        self.session_store = SessionStore(client, "sites")
        self.sessions = Sessions(self.session_store, cast("Any", rig.queue), self.sites, clock)
        self.canned = CannedResponses(CannedStore(client, "sites"), clock)
        stores = FeedbackStore(client, "sites"), self.session_store

        def tell(tenant_id: TenantId, given: Feedback) -> None:
            rig.told.append((tenant_id, given))

        self.feedback = Feedbacks(*stores, self.usage, self.canned, tell, clock)

        def sites_of(tenant_id: TenantId) -> list[str]:
            return [site.site_id for site in self.sites.every(tenant_id)]

        self.conversations = Conversations(ConversationStore(client, "sites"), stores[0], sites_of, clock)
        self.runtime = RuntimeStore(client, "runtime")
        self.limiter = Limiter(self.runtime, clock)
        self.idempotency = Idempotency(self.runtime, clock, sleep)
        self.router = Router(
            providers or {"offline": rig.script},
            Breaker(BreakerStore("runtime", client), clock),
            limits=time_limits,
            clock=clock,
            sleep=sleep,
        )
        embedder = Embedder(self.router.providers, self.router.breaker, clock=clock, sleep=sleep)
        catalogue = cast("Any", rig.catalogue)
        self.embeddings = Embeddings(catalogue, self.ledger, embedder, clock, "https://console.example")
        self.retrieval = Retrieval(DocumentStore(client, "knowledge"), lambda _: rig.index_files, clock)
        self.research = Research(self.retrieval, self.embeddings, clock)
        self.chats = Chats(
            tenants=cast("Any", rig.registry),
            plans=cast("Any", rig.catalogue),
            sites=self.sites,
            ledger=self.ledger,
            usage=self.usage,
            limiter=self.limiter,
            idempotency=self.idempotency,
            router=self.router,
            sessions=self.sessions,
            canned=self.canned,
            research=self.research,
            signals=SignalStore(client, "runtime"),
            pool=pool,
            short_of_credits=rig.short.append,
            clock=clock,
            console_url="https://console.example",
        )


class Rig(Container):
    """One tenant, its chats, and what is needed to look behind the scenes.

    It makes its own tables in the account that boto3 points at, unless it is given a client of tables that exist.
    """

    def __init__(
        self,
        limits: Limits = LIMITS,
        tenant_id: TenantId | None = None,
        client: Any = None,
        clock: Clock | None = None,
        providers: Mapping[str, Provider] | None = None,
        time_limits: TimeLimits | None = None,
        **of_tenant: Any,
    ) -> None:
        self.client = client or emulator_client()
        if client is None:
            make_tables(self.client)
        self.clock = clock or Clock()
        self.script = Script()
        self.catalogue = Catalogue(limits)
        self.registry = Registry()
        self.queue = Queue()
        self.short: list[TenantId] = []
        self.told: list[tuple[TenantId, Feedback]] = []
        self.bucket = Bucket(self.clock)
        self.index_files = IndexFiles(self.bucket, self.clock)
        super().__init__(self.client, self, providers=providers, time_limits=time_limits)
        self.summaries = Summaries(
            tenants=cast("Any", self.registry),
            plans=cast("Any", self.catalogue),
            sites=self.sites,
            usage=self.usage,
            router=self.router,
            sessions=self.session_store,
            clock=self.clock,
        )
        self.tenant = self.add_tenant(tenant_id, **of_tenant)

    def add_tenant(self, tenant_id: TenantId | None = None, **changes: Any) -> Tenant:
        """A tenant with its account and default site."""
        made = Tenant(tenant_id or TenantId(new_id("ten")), "Aoi", "free", created_at=0.0, **changes)
        # An override counts in full at once, where the plan's own chats would be granted pro rata.
        full = ("chats_per_month", "embedding_tokens_per_month")
        in_full = {name: getattr(self.catalogue.limits, name) for name in full}
        made = replace(made, overrides=in_full | made.overrides)
        self.registry.tenants[made.tenant_id] = made
        limits = self.catalogue.entitlement(made).limits
        self.ledger.open_account(made, limits)
        self.ledger.change_limits(made, limits)
        self.sites.create_default(made)
        return made

    def member(self, name: str = "mika", tenant: Tenant | None = None) -> Asker:
        """A signed-in person of a tenant."""
        tenant_id = (tenant or self.tenant).tenant_id
        return Asker(
            tenant_id=tenant_id,
            principal=f"user:{name}",
            kind="member",
            address="203.0.113.9",
            address_prefix="203.0.113.0/24",
            user_agent="pytest",
            trace_id="a" * 32,
        )

    def device(self, name: str, address: str = "203.0.113.9") -> Asker:
        """An anonymous visitor of the operator's own page."""
        return Asker(PLATFORM_TENANT, f"anonymous:{name}", "anonymous", address, "203.0.113.0/24")

    def run(self, key: str = "", body: bytes = b"{}", **changes: Any) -> Run:
        """A run with two minutes' time."""
        once = IdempotencyKey("POST /api/v1/chat", key, body) if key else None
        return Run(**({"deadline": self.clock() + 120, "once": once} | changes))

    def ask(self, message: str = "When do you open?", **changes: Any) -> ChatAsk:
        return ChatAsk(message, **changes)

    def tell(self, tenant: Tenant | None = None, **content: Any) -> ActivePrompt:
        """Publish a new version of what the tenant's assistant is told."""
        tenant = tenant or self.tenant
        profile_id = self.sites.create_default(tenant).prompt_profile
        latest = self.sites.prompts.get(tenant.tenant_id, profile_id).latest
        self.sites.prompts.save(tenant.tenant_id, profile_id, latest, content, "", "test", publish=True)
        return self.sites.prompts.in_force(tenant.tenant_id, profile_id).published

    def train(
        self, *pages: Page, tenant: Tenant | None = None, embedding_model: str = "", space: Any = None
    ) -> IndexPointer:
        """Make these pages what a tenant's site answers from."""
        site = self.sites.create_default(tenant or self.tenant)
        where = site.tenant_id, site.site_id
        old = DocumentStore(self.client, "knowledge").pointer(*where)
        pointer = built(self.bucket, site, old, *pages, embedding_model=embedding_model, space=space)
        self.client.put_item(TableName="knowledge", Item=to_item(pointer_item(*where, pointer)))
        return pointer

    def records(self, tenant: Tenant | None = None) -> list[UsageRecord]:
        """All usage records, oldest first."""
        return self.usage.records((tenant or self.tenant).tenant_id, limit=1000)[0][::-1]

    def chats_used(self) -> int:
        return self.ledger.standing(self.tenant.tenant_id).chats_used

    def open_holds(self) -> int:
        return self.ledger.standing(self.tenant.tenant_id).open_holds
