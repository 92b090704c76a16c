"""What training a site would come to, before anything is done: pages, tokens, price, what stays out, whether the
month's quota reaches for it. Nothing is charged, nor stored but the look itself, for ten minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from noren.clock import Clock
from noren.errors import Unprocessable
from noren.fetching.errors import FetchFailed, is_reason
from noren.functions import Function
from noren.knowledge.chunks import Chunk, cut
from noren.knowledge.crawl.addresses import canonical, host_of
from noren.knowledge.crawls import Estimate
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.embeddings import Embeddings, NoEmbeddings
from noren.knowledge.models import Document
from noren.knowledge.survey.extent import Span
from noren.knowledge.survey.models import Ask, KnownPage, LeadsElsewhere, Left, Reach, SiteUnreadable, Survey
from noren.knowledge.text import Extracted
from noren.knowledge.trial import TEXT_TOKENS
from noren.limits import check
from noren.llm import pricing
from noren.llm.models import TokenUsage
from noren.llm.tokens import estimate
from noren.money import CostSnapshot, convert
from noren.plans.models import ModelPolicy
from noren.plans.service import Plans
from noren.ratelimit import Limiter
from noren.sites.models import Site
from noren.tenants.models import Tenant

MOST_PROBES = 60
PROBES_A_PAGE = 6
PROBE_TOKENS = 90
"""A publication with vectors embeds some of the site's own headings, and the beginning of what stands under them, to
see what vectors are good for (`trial.py`): about so many, of about so many tokens.
"""
MOST_KNOWN = 5_000
"""Pages that are told apart; the rest count as new."""

LOOK_SECONDS = 600.0
"""For so long a training rests on the look that its quote was made of: the host is not called for another."""

MOST_HOSTS = 3
"""Of the site that a first address may lead over."""
NO_ROOM = Survey(Span(0, 0, 0), 0, Span(0, 0, 0), (), 0, 0, is_cut=True, is_growing=False)
"""Where the plan's pages are all taken by what is out of the training's scope: nobody need be called for that."""

_ADVICE = {
    "robots": "Its robots.txt forbids reading it. Allow the robot `Noren` there, then ask again.",
    "robots_unavailable": "Its robots.txt can't be read at the moment, so nothing may be. Ask again later.",
    "other_site": "It leads to another site. Name the address where it ends.",
    "redirect_loop": "It redirects in a circle.",
}


class CannotRead(Unprocessable):
    """A site of which nothing can be read. Extra: `reason`."""

    code = "site_unreadable"
    title = "This site can't be read"

    def __init__(self, reason: str) -> None:
        told = _ADVICE.get(reason) or FetchFailed(reason if is_reason(reason) else "unreachable").detail
        super().__init__(told, reason=reason)


class Surveys(Protocol):
    """What looks sites over."""

    def survey(self, ask: Ask) -> Survey:
        """Look a site over. Raises SiteUnreadable, LeadsElsewhere."""


class Memory(Protocol):
    """What is remembered for a while, by all containers."""

    def keep(self, key: str, text: str, until: float) -> None:
        """Remember a text."""

    def kept(self, key: str, now: float) -> str | None:
        """The text that is remembered under a key."""


class RemoteSurveyor:
    """Has the function do it that reads strangers' pages and holds nothing worth stealing (ADR 7)."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def survey(self, ask: Ask) -> Survey:
        """Look a site over. Raises SiteUnreadable, LeadsElsewhere, Busy."""
        told = self._function.call(asdict(ask))
        if reason := told.get("unreadable"):
            raise SiteUnreadable(reason)
        if url := told.get("elsewhere"):
            raise LeadsElsewhere(url)
        return Survey.parse(told)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a training would come to. Each figure is likely between `_low` and `_high`: in nine of ten cases."""

    pages: int
    pages_low: int
    pages_high: int
    unchanged: int
    """Of the pages, those that need not be embedded again."""
    tokens: int
    tokens_low: int
    tokens_high: int
    embedding_model: str
    """"" where the plan embeds nothing: then it costs nothing."""
    cost_usd: Decimal
    cost_usd_low: Decimal
    cost_usd_high: Decimal
    cost_local: CostSnapshot
    cost_local_low: CostSnapshot
    cost_local_high: CostSnapshot
    skipped: tuple[Left, ...]
    listed: int
    sampled: int
    max_pages: int
    """As many would be learnt at most: as was asked for, and as the plan has room for."""
    include: tuple[str, ...]
    """What was asked for, or the folder where it begins; () for all of the site."""
    is_cut: bool
    """Whether there is more than `max_pages`."""
    is_growing: bool
    """Whether links were still leading to new pages when time was over: then there may be more than is said."""
    embedding_tokens_left: int
    """This month's."""
    exceeds_quota: bool
    may_exceed_quota: bool
    """Whether it would where it comes to as much as it may."""


class Quotes:
    """One per container."""

    def __init__(
        self,
        surveys: Surveys,
        documents: DocumentStore,
        plans: Plans,
        embeddings: Embeddings,
        tenant_of: Callable[[Site], Tenant],
        memory: Memory,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        self._surveys, self._documents, self._plans, self._embeddings = surveys, documents, plans, embeddings
        self._tenant_of, self._memory, self._limiter, self._clock = tenant_of, memory, limiter, clock

    def quote(
        self, site: Site, url: str, reach: Reach | None = None, *, force: bool = False, anew: bool = True
    ) -> Quote:
        """Look over the site at `url`, in at most 20 s. With `force` all is to be learnt anew. Unless `anew`, a look
        will do that was had within LOOK_SECONDS, if no page has been learnt since.

        Raises CannotRead, Busy; RateLimited where the host has just been looked over too often, by whomever;
        Unprocessable where `url` is no address of a page.
        """
        address = canonical(url)
        if address is None:
            raise Unprocessable(
                "This is no plain URL. Write it as https://shop.example.jp/, without a user name or password.",
                code="invalid_url",
            )
        tenant, reach = self._tenant_of(site), reach or Reach()
        pages = self._pages(site)
        ask = Ask(address, site.domains, reach.at(address))
        most = reach.most(self._plans.entitlement(tenant).limits.pages_per_site - self._outside(ask, pages))
        if most <= 0:
            return self._priced(tenant, NO_ROOM, ask.reach.include, 0)
        ask = replace(ask, reach=replace(ask.reach, max_pages=most), known=() if force else _known(pages))
        return self._priced(tenant, self._look(site, ask, anew), ask.reach.include, most)

    def _pages(self, site: Site) -> list[Document]:
        every = self._documents.every(site.tenant_id, site.site_id)
        return [each for each in every if each.kind == "page" and each.status == "active"]

    def _outside(self, ask: Ask, pages: Sequence[Document]) -> int:
        """How many of the plan's pages a training leaves taken: those of documents that are out of its scope."""
        scope = ask.scope(datetime.fromtimestamp(self._clock(), UTC).date())
        return sum(scope.refusal(each.url, each.depth) is not None for each in pages)

    def _look(self, site: Site, ask: Ask, anew: bool) -> Survey:
        asked = hashlib.sha256(json.dumps(asdict(ask)).encode()).hexdigest()
        key = f"survey#{site.tenant_id}#{site.site_id}#{asked}"
        told = None if anew else self._memory.kept(key, self._clock())
        if told:
            return Survey.parse(json.loads(told))
        survey = self._looked(ask)
        self._memory.keep(key, json.dumps(survey.told()), self._clock() + LOOK_SECONDS)
        return survey

    def _looked(self, ask: Ask) -> Survey:
        """Each host that the first address leads to is called only if it has not just been looked over too often."""
        address, end, met = ask.url, self._clock() + ask.seconds, set[str]()
        while True:
            check(self._limiter, "quotes_of_host", host_of(address).removeprefix("www."))
            met.add(address)
            try:
                return self._surveys.survey(ask)
            except SiteUnreadable as unreadable:
                raise CannotRead(unreadable.reason) from None
            except LeadsElsewhere as elsewhere:
                address = canonical(elsewhere.url) or ask.url
            if address in met or len(met) >= MOST_HOSTS:
                raise CannotRead("redirect_loop")
            ask = replace(ask, entry=address, seconds=end - self._clock())

    def of_texts(self, site: Site, texts: Sequence[Extracted]) -> Estimate:
        """What training on these texts would come to, if all of them are new: cut as they will be, each chunk once."""
        tenant = self._tenant_of(site)
        made = [(text.title, cut(text)) for text in texts]
        chunks = {each.content_hash: each.tokens for _, some in made for each in some}
        wanted = sum(chunks.values())
        try:
            policy = self._embeddings.policy(tenant)
        except NoEmbeddings:
            return Estimate(len(texts), wanted, Decimal(0), exceeds_quota=False)
        wanted += sum(_tried(title, some[0]) for title, some in made[:MOST_PROBES] if some)
        cost_usd = pricing.cost(policy, TokenUsage(input=wanted))
        return Estimate(len(texts), wanted, cost_usd, self._embeddings.would_exceed(tenant, wanted))

    def _priced(self, tenant: Tenant, survey: Survey, include: tuple[str, ...], most: int) -> Quote:
        try:
            policy = self._embeddings.policy(tenant)
        except NoEmbeddings:
            policy = None
        left = self._embeddings.left(tenant)
        if policy is not None and survey.tokens.high:
            survey = replace(survey, tokens=_with_probes(survey))
        costs = _costs(policy, survey.tokens)
        rate = self._plans.rate(tenant.currency)
        local = [convert(each, rate.currency, rate.rate) for each in costs]
        return Quote(
            pages=survey.pages.likely,
            pages_low=survey.pages.low,
            pages_high=survey.pages.high,
            unchanged=survey.unchanged,
            tokens=survey.tokens.likely,
            tokens_low=survey.tokens.low,
            tokens_high=survey.tokens.high,
            embedding_model=policy.id if policy else "",
            cost_usd_low=costs[0],
            cost_usd=costs[1],
            cost_usd_high=costs[2],
            cost_local_low=local[0],
            cost_local=local[1],
            cost_local_high=local[2],
            skipped=survey.skipped,
            listed=survey.listed,
            sampled=survey.sampled,
            max_pages=most,
            include=include,
            is_cut=survey.is_cut,
            is_growing=survey.is_growing,
            embedding_tokens_left=left,
            exceeds_quota=policy is not None and survey.tokens.likely > left,
            may_exceed_quota=policy is not None and survey.tokens.high > left,
        )


def _known(pages: Sequence[Document]) -> tuple[KnownPage, ...]:
    return tuple(
        KnownPage(each.url, each.content_hash, each.etag, each.last_modified, each.lastmod, each.distrusted)
        for each in pages[:MOST_KNOWN]
    )


def _tried(title: str, first: Chunk) -> int:
    """What the trial takes of a text that has no headings but its title."""
    is_made = not first.headings and first.tokens <= TEXT_TOKENS
    return estimate(title) + (0 if is_made else min(estimate(first.text), TEXT_TOKENS))


def _with_probes(survey: Survey) -> Span:
    tokens = survey.tokens
    probes = min(PROBE_TOKENS * min(MOST_PROBES, PROBES_A_PAGE * survey.pages.likely), tokens.likely)
    return Span(tokens.low, tokens.likely + probes, tokens.high + 2 * probes)


def _costs(policy: ModelPolicy | None, tokens: Span) -> list[Decimal]:
    if policy is None:
        return [Decimal(0)] * 3
    return [pricing.cost(policy, TokenUsage(input=each)) for each in (tokens.low, tokens.likely, tokens.high)]
