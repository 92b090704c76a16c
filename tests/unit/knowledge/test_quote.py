"""What a quote makes of a look at a site: price, quota, the plan's room, what is known already, clear refusals."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count, cycle
from typing import Any, cast

import pytest

from noren.errors import Busy, RateLimited, Unprocessable
from noren.functions import Function
from noren.ids import TenantId
from noren.knowledge.chunks import cut
from noren.knowledge.embeddings import NoEmbeddings
from noren.knowledge.engine import FileEngine
from noren.knowledge.models import Document
from noren.knowledge.quote import LOOK_SECONDS, MOST_HOSTS, CannotRead, Quotes, RemoteSurveyor
from noren.knowledge.survey.extent import Span
from noren.knowledge.survey.models import Ask, KnownPage, LeadsElsewhere, Left, Reach, SiteUnreadable, Survey
from noren.knowledge.text import Extracted
from noren.knowledge.texts import asked, written
from noren.knowledge.vectors import Compact, compact
from noren.limits import RATES
from noren.llm import pricing
from noren.llm.models import TokenUsage
from noren.llm.tokens import estimate
from noren.plans.models import Entitlement, ExchangeRate, Limits, ModelPolicy, Plan
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from noren.sites.models import Site
from noren.tenants.models import Tenant
from tests.dynamodb import MemoryDynamoDB

TENANT = TenantId("ten_1")
SITE = Site("site_1", TENANT, "Shop", "prof_1", 0.0, domains=("shop.example",))
RATE = ExchangeRate("JPY", Decimal(150), "2026-01-01")
POLICY = ModelPolicy(
    id="embedding_3_small",
    name="Small",
    type="embedding",
    provider="openai",
    model="text-embedding-3-small",
    endpoint="",
    plans=frozenset({"starter"}),
    effective_date="2026-01-01",
    context_window=8_192,
    input_usd=Decimal("0.00002"),
)
LIMITS = Limits(1, 100_000, 1, 1, 1, 1, 1, 1, pages_per_site=50)
PLAN = Plan("starter", (), "paid", {"JPY": 1}, LIMITS, POLICY.id, "monthly", "2026-01-01")
SURVEY = Survey(Span(90, 100, 120), 0, Span(80_000, 95_000, 130_000), (Left("robots", 3, "x"),), 103, 40, False, False)
PAGE = Document("doc_1", TENANT, "site_1", "page", "http://shop.example/a", "A", "en", "h", 1, 1, 0.0, 0.0, etag='"1"')


@dataclass
class World:
    """Everything that a quote asks."""

    told: Survey | Exception = SURVEY
    policy_found: ModelPolicy | None = POLICY
    documents: list[Document] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)
    now: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.runtime = RuntimeStore(cast(Any, MemoryDynamoDB()), "runtime")
        self.limiter = cast(Limiter, self)
        self.calls: list[tuple[str, float]] = []

    def check(self, key: str, limit: int, window_s: int) -> None:
        self.calls = [each for each in self.calls if each[1] > self.now - window_s]
        if sum(each[0] == key for each in self.calls) >= limit:
            raise RateLimited("Too many.")
        self.calls.append((key, self.now))

    def clock(self) -> float:
        return self.now

    @property
    def quotes(self) -> Quotes:
        whose = cast(Tenant, type("T", (), {"tenant_id": TENANT, "currency": "JPY"}))
        asked = cast(Any, self)
        return Quotes(self, asked, asked, asked, lambda _: whose, self.runtime, self.limiter, self.clock)

    def survey(self, ask: Ask) -> Survey:
        self.asked.append(ask)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def every(self, tenant_id: TenantId, site_id: str) -> Any:
        return iter(self.documents) if (tenant_id, site_id) == (TENANT, "site_1") else iter(())

    def entitlement(self, _: Tenant) -> Entitlement:
        return Entitlement(PLAN, LIMITS, (), RATE)

    def rate(self, _: str) -> ExchangeRate:
        return RATE

    def policy(self, _: Tenant) -> ModelPolicy:
        if self.policy_found is None:
            raise NoEmbeddings
        return self.policy_found

    def left(self, _: Tenant) -> int:
        return 110_000

    def would_exceed(self, tenant: Tenant, tokens: int) -> bool:
        return tokens > self.left(tenant)


def test_tokens_are_priced_by_the_plans_policy_and_held_against_the_month() -> None:
    quote = World().quotes.quote(SITE, "http://shop.example/")
    # Sixty headings with a hundred tokens under each, at most, are embedded along with the pages.
    assert (quote.tokens_low, quote.tokens, quote.tokens_high) == (80_000, 100_400, 140_800)
    assert (quote.cost_usd_low, quote.cost_usd, quote.cost_usd_high) == tuple(
        Decimal(each) for each in ("0.0016", "0.002008", "0.002816")
    )
    local = (quote.cost_local_low, quote.cost_local, quote.cost_local_high)
    assert [(each.amount, each.currency) for each in local] == [
        (Decimal(each), "JPY") for each in ("0.24", "0.3012", "0.4224")
    ]
    assert (quote.embedding_tokens_left, quote.exceeds_quota, quote.may_exceed_quota) == (110_000, False, True)
    larger = World(replace(SURVEY, tokens=Span(1, 110_001, 200_000))).quotes.quote(SITE, "http://shop.example/")
    assert larger.exceeds_quota


class Billed:
    """Stands for `Vectors`: counts what is embedded, each text once."""

    model, dimensions = "m", 8

    def __init__(self) -> None:
        self.kept: dict[str, Compact] = {}
        self.tokens = 0

    def make(self, texts: dict[str, str], *_: Any, **__: Any) -> None:
        for hash, text in texts.items():
            if hash not in self.kept:
                self.kept[hash] = compact([each - 127.5 for each in hashlib.sha256(text.encode()).digest()[:8]])
                self.tokens += estimate(text)

    def get(self, hash: str) -> Compact | None:
        return self.kept.get(hash)


EN = " ".join(
    f"Parcel {at} is sent to district {at * 7} within {at % 9} days, and wrapped as a gift." for at in range(300)
)
JA = "".join(f"{at}番の荷物は{at % 9}日以内に第{at * 7}地区へ送られ、贈り物として包まれます。" for at in range(300))


@pytest.mark.parametrize(
    "texts",
    [
        [written("Guide", EN, "en")],
        [written("案内", JA, "ja")],
        [written("Guide", EN, "en"), written("Another", EN, "en")],
        [written(f"Note {at}", f"Parcel {at} goes by train.", "en") for at in range(80)],
        [asked(f"荷物{at}は？", f"{at}日以内に着きます。", "ja") for at in range(80)],
        [asked("How?", EN, "en")],
        [written("Nothing", "", "en"), written("Guide", EN[:3000], "en")],
    ],
    ids=["en", "ja", "the same twice", "notes", "pairs", "a long answer", "an empty one"],
)
def test_texts_are_estimated_as_they_are_billed(texts: list[Extracted]) -> None:
    estimated, billed = World().quotes.of_texts(SITE, texts), Billed()
    documents = [
        (replace(PAGE, document_id=f"doc_{at:032x}", title=each.title), cut(each)) for at, each in enumerate(texts)
    ]
    billed.make({chunk.content_hash: chunk.embedded for _, made in documents for chunk in made})
    FileEngine().build(TENANT, SITE.site_id, 1, documents, cast(Any, billed))
    assert estimated.tokens == pytest.approx(billed.tokens, rel=0.05)
    assert estimated.pages == len(texts)
    assert estimated.cost_usd == pricing.cost(POLICY, TokenUsage(input=estimated.tokens))


def test_a_training_rests_on_the_look_that_its_quote_was_made_of() -> None:
    world, other = World(), replace(SITE, site_id="site_2")

    def looks(site: Site = SITE, url: str = "http://shop.example/", reach: Reach | None = None, **more: bool) -> int:
        before = len(world.asked)
        quote = world.quotes.quote(site, url, reach, **more)
        assert (quote.pages, quote.skipped) == (100, (Left("robots", 3, "x"),))
        return len(world.asked) - before

    assert [looks(), looks(anew=False)] == [1, 0]
    assert looks() == 1  # who asks for a quote gets a new one
    world.now += LOOK_SECONDS - 1
    assert looks(anew=False) == 0
    world.now += 2
    assert looks(anew=False) == 1
    world.now += 60
    assert looks(reach=Reach(exclude=("/a",)), anew=False) == 1
    assert looks(other, anew=False) == 1
    world.now += 60
    assert looks(url="http://shop.example/ja/", anew=False) == 1
    world.documents.append(PAGE)
    assert looks(anew=False) == 1  # a page was learnt meanwhile
    assert looks(force=True, anew=False) == 0


def test_a_host_is_looked_over_a_few_times_a_minute_by_all_together() -> None:
    world, other = World(), replace(SITE, tenant_id=TenantId("ten_2"), site_id="site_2")
    for number in range(RATES["quotes_of_host"].calls):
        world.quotes.quote((SITE, other)[number % 2], f"http://{'www.' * (number % 2)}shop.example/{number}/")
    for site in (SITE, other):
        with pytest.raises(RateLimited):
            world.quotes.quote(site, "http://shop.example/")
    assert len(world.asked) == RATES["quotes_of_host"].calls
    world.quotes.quote(SITE, "http://help.shop.example/")
    world.now += 120
    world.quotes.quote(other, "http://shop.example/")


def test_each_host_that_the_start_leads_to_is_counted() -> None:
    """One's own names may lead to a stranger's host as often as one likes: it is called as seldom all the same."""
    world = World()

    def leads(ask: Ask) -> Survey:
        world.asked.append(ask)
        if not ask.entry:
            world.now += 4
            raise LeadsElsewhere("http://victim.example/")
        return SURVEY

    world.survey = leads  # type: ignore[method-assign]
    for number in range(RATES["quotes_of_host"].calls):
        assert world.quotes.quote(SITE, f"http://a{number}.example/").pages == 100
    with pytest.raises(RateLimited):
        world.quotes.quote(SITE, "http://b.example/")
    there = [each for each in world.asked if each.entry]
    assert {(each.entry, each.seconds) for each in there} == {("http://victim.example/", 11.0)}
    assert len(there) == RATES["quotes_of_host"].calls


@pytest.mark.parametrize(("names", "calls"), [(cycle("ab"), 3), (map(str, count()), MOST_HOSTS)])
def test_a_start_that_leads_from_host_to_host_comes_to_an_end(names: Iterator[str], calls: int) -> None:
    world = World()

    def leads(ask: Ask) -> Survey:
        world.asked.append(ask)
        assert len(world.asked) < 9
        raise LeadsElsewhere(f"http://{next(names)}.example/")

    world.survey = leads  # type: ignore[method-assign]
    with pytest.raises(CannotRead, match="circle"):
        world.quotes.quote(SITE, "http://shop.example/")
    assert len(world.asked) == calls


def test_pages_out_of_the_scope_take_up_the_plans_room() -> None:
    others = [replace(PAGE, document_id=f"doc_{at}", url=f"http://shop.example/ja/{at}") for at in range(45)]
    gone = [replace(each, status="gone") for each in others]
    for documents, start, most in (
        (others, "http://shop.example/en/", 5),
        (others, "http://shop.example/", 50),
        (gone, "http://shop.example/en/", 50),
    ):
        world = World(documents=documents)
        assert world.quotes.quote(SITE, start).max_pages == world.asked[0].reach.max_pages == most
    world = World(documents=[*others, *(replace(each, url=f"{each.url}b") for each in others[:5])])
    quote = world.quotes.quote(SITE, "http://shop.example/en/")
    assert (quote.max_pages, quote.pages, quote.tokens_high, quote.is_cut, world.asked) == (0, 0, 0, True, [])


def test_a_plan_without_embeddings_costs_nothing_and_exceeds_nothing() -> None:
    quote = World(replace(SURVEY, tokens=Span(1, 10**9, 10**9)), None).quotes.quote(SITE, "http://shop.example/")
    assert (quote.cost_usd_high, quote.embedding_model) == (Decimal(0), "")
    assert (quote.exceeds_quota, quote.may_exceed_quota) == (False, False)


def test_no_more_is_meant_than_the_plan_has_room_for() -> None:
    world = World()
    assert world.quotes.quote(SITE, "http://shop.example/", Reach(max_pages=1_000)).max_pages == 50
    assert world.quotes.quote(SITE, "http://shop.example/", Reach(max_pages=7)).max_pages == 7
    assert [each.reach.max_pages for each in world.asked] == [50, 7]
    assert world.asked[0].domains == ("shop.example",)


def test_a_start_in_a_folder_means_that_folder() -> None:
    world = World()
    starts = [("", Reach()), ("ja/", Reach()), ("ja/", Reach(include=("/*",)))]
    quotes = [world.quotes.quote(SITE, f"http://shop.example/{path}", reach) for path, reach in starts]
    assert [each.include for each in quotes] == [(), ("/ja/*",), ("/*",)]
    assert [each.reach.include for each in world.asked] == [(), ("/ja/*",), ("/*",)]


def test_pages_that_are_known_are_told_unless_all_is_to_be_learnt_anew() -> None:
    others = [replace(PAGE, kind="file"), replace(PAGE, status="gone"), PAGE]
    world = World(documents=others)
    world.quotes.quote(SITE, "http://shop.example/")
    world.quotes.quote(SITE, "http://shop.example/", force=True)
    assert [each.known for each in world.asked] == [(KnownPage(PAGE.url, "h", etag='"1"'),), ()]


REFUSALS = {
    "robots": "robots.txt forbids",
    "robots_unavailable": "later",
    "unreachable": "internet",
    "timed_out": "in time",
    "tls_failed": "certificate",
    "blocked_port": "ports",
    "another": "internet",
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_site_of_which_nothing_can_be_read_is_refused_with_what_to_do(reason: str) -> None:
    with pytest.raises(CannotRead) as refused:
        World(SiteUnreadable(reason)).quotes.quote(SITE, "http://shop.example/")
    assert (refused.value.status, refused.value.code) == (422, "site_unreadable")
    assert refused.value.extra == {"reason": reason}
    assert REFUSALS[reason] in refused.value.detail


@pytest.mark.parametrize("url", ["", "ftp://shop.example/", "http://user@shop.example/", "javascript:alert(1)"])
def test_what_is_no_address_is_never_called(url: str) -> None:
    world = World()
    with pytest.raises(Unprocessable, match="no plain URL"):
        world.quotes.quote(SITE, url)
    assert world.asked == []


class Lambda:
    """The service that calls functions: answers with what it was given."""

    def __init__(self, said: Any, error: str = "") -> None:
        self.said, self.error, self.events = said, error, list[Any]()

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:
        self.events.append((FunctionName, json.loads(Payload)))
        if isinstance(self.said, Exception):
            raise self.said
        answer = {"Payload": io.BytesIO(json.dumps(self.said).encode())}
        return answer | ({"FunctionError": self.error} if self.error else {})


def remote(client: Lambda) -> RemoteSurveyor:
    function = Function("surveyor", 1.0)
    function.__dict__["_lambda"] = client
    return RemoteSurveyor(function)


def test_another_function_looks() -> None:
    client = Lambda(SURVEY.told())
    ask = Ask("http://shop.example/", ("shop.example",), Reach(5), (KnownPage("u", "h"),))
    assert remote(client).survey(ask) == SURVEY
    ((name, event),) = client.events
    assert (name, Ask.parse(event)) == ("surveyor", ask)
    with pytest.raises(SiteUnreadable, match="robots"):
        remote(Lambda({"unreadable": "robots"})).survey(ask)
    with pytest.raises(LeadsElsewhere, match=r"^http://a\.example/$"):
        remote(Lambda({"elsewhere": "http://a.example/"})).survey(ask)


def test_one_that_is_busy_or_dies_is_not_called_again() -> None:
    from botocore.exceptions import ClientError, ReadTimeoutError

    throttled = ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")
    for client in (
        Lambda(throttled),
        Lambda(ReadTimeoutError(endpoint_url="")),
        Lambda({"errorMessage": "died", "errorType": "MemoryError"}, "Unhandled"),
        Lambda("died", "Unhandled"),
    ):
        with pytest.raises(Busy):
            remote(client).survey(Ask("http://shop.example/"))
        assert len(client.events) == 1
