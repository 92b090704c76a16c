"""What a question is looked up by, and what that gives. A chat goes on without it whatever fails here."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from noren.cache import TtlCache
from noren.chat.admission import Admission
from noren.chat.grounds import UNTRAINED, Grounds, State, grounds
from noren.chat.models import Asker, ChatAsk, Turn
from noren.chat.small_talk import is_small_talk
from noren.clock import Clock
from noren.errors import NorenError
from noren.knowledge.confidence import confidence
from noren.knowledge.embeddings import CLOSING_SECONDS, Embeddings, OnBehalf, to_hold
from noren.knowledge.models import IndexPointer
from noren.knowledge.retrieval import IndexUnavailable, Retrieval
from noren.ledger.models import Hold
from noren.llm.models import numbers
from noren.llm.tokens import estimate
from noren.metrics import measured
from noren.plans.models import ModelPolicy
from noren.sites.models import Site
from noren.tenants.models import Tenant

if TYPE_CHECKING:
    from noren.knowledge.retrieval import Found
    from noren.knowledge.search import Hit

LIMIT = 8
"""Passages that are looked for."""
RELEVANT = 0.4
"""Share of the best passage's score below which another one only distracts."""
MOST_CHARS = 2_000
"""Of a question: what is looked up of a longer one is its beginning."""
EMBEDDING_SECONDS = 4.0
"""That a question's vector may take, while somebody waits for the answer."""
REST_SECONDS = 30.0
"""For how long a container goes without a model's vectors once they failed."""
SHORT_TOKENS = 12
"""A question no longer than this may well stand on the one before it."""
OWN_SHARE = 0.3
"""Of its weight, that what it finds together with the one before must hold: else that one alone has found it."""

_LEANS = re.compile(
    r"^\s*(?:それ|その|そこ|これ|この|あれ|では|じゃ|あと|また|ほか|他に|もっと|なら"
    r"|그(?:럼|러면|리고|거|건|것|곳|때|날|\s)|거기|이건|이것|더\s|또|"
    r"(?:and|also|then|so|but|what about|how about)\b"
    r"|(?:いつ|いくら|何時|何日|どこ|どう(?!も)|どんな|どのくらい|どれくらい|なぜ)[\u3041-\u309f]*\W*$"
    r"|(?:언제|얼마|어디|어떻게|왜|몇\s?[시분일])[가-힣]*(?:\s[가-힣]{1,4})?\W*$"
    r"|(?:how (?:much|long|many|far|often)|why(?: not)?|when|where)\W*$)|\b(?:it|they|them|that|those|these|there)\W*$",
    re.IGNORECASE,
)
_log = logging.getLogger("noren.chat")


@dataclass(slots=True)
class Inquiry:
    """What one chat asks of its site's documents."""

    tenant: Tenant
    site: Site
    pointer: IndexPointer | None = None
    state: State = "untrained"
    """`told` stands for: there are documents."""
    question: str = ""
    wider: str = ""
    """The question with the one before it, where it may stand on that; else ""."""
    leans: bool = False
    """It says so itself; else what they find together counts only where it holds some of this one."""
    is_talk: bool = False
    """It asks nothing, and nothing is looked up."""
    hold: int = 0
    """Embedding tokens that its vector takes at most; 0: it gets none."""

    @property
    def asked(self) -> str:
        """What the vector is made of."""
        return self.wider if self.leans else self.question

    @property
    def needs_room(self) -> bool:
        """Whether the prompt has a part for passages."""
        return self.state != "untrained"


class Research:
    """One per container."""

    def __init__(self, retrieval: Retrieval, embeddings: Embeddings, clock: Clock) -> None:
        self._retrieval, self._embeddings, self._clock = retrieval, embeddings, clock
        self._resting: TtlCache[str, bool] = TtlCache(REST_SECONDS, clock)

    def begin(self, tenant: Tenant, site: Site) -> Inquiry:
        """An inquiry; where no storage has to be asked for it, it has been looked up already."""
        inquiry = Inquiry(tenant, site)
        if not self.must_ask_storage(inquiry):
            self.look(inquiry)
        return inquiry

    def must_ask_storage(self, inquiry: Inquiry) -> bool:
        """Whether `look` takes a round trip."""
        return not self._retrieval.is_known(inquiry.site)

    def look(self, inquiry: Inquiry) -> None:
        """Find out which index is current. Never raises."""
        try:
            inquiry.pointer = self._retrieval.pointer(inquiry.site)
            inquiry.state = "told" if inquiry.pointer else "untrained"
        except Exception as error:
            self._tell_unreadable(inquiry.site, error)
            inquiry.state = "unreadable"

    def prepare(self, inquiry: Inquiry, ask: ChatAsk, turns: Sequence[Turn]) -> None:
        """Say what will be looked up, and what that takes. `turns` of the conversation so far, oldest first."""
        inquiry.question = ask.message[:MOST_CHARS]
        before = _question_before(ask, turns)
        inquiry.leans = bool(_LEANS.search(inquiry.question))
        if before and (inquiry.leans or estimate(ask.message) <= SHORT_TOKENS):
            inquiry.wider = f"{before[:MOST_CHARS]}\n{inquiry.question}"[-MOST_CHARS:]
        inquiry.is_talk = is_small_talk(inquiry.question)
        if not inquiry.is_talk and self.models(inquiry):
            inquiry.hold = to_hold([inquiry.asked])

    def models(self, inquiry: Inquiry) -> list[ModelPolicy]:
        """The model that the question's vector is made by, as far as is known; none where it gets no vector."""
        found = self._vector_policy(inquiry.tenant, inquiry.pointer) if inquiry.pointer else None
        return [found] if found else []

    def grounds(self, inquiry: Inquiry, hold: Hold, deadline: float) -> Grounds:
        """What the site's documents give; the vector's call goes onto the hold's record. Never raises."""
        unreadable = Grounds("unreadable", inquiry.question)
        if not inquiry.pointer:
            return UNTRAINED if inquiry.state == "untrained" else unreadable
        if inquiry.is_talk:
            return Grounds("silent", inquiry.question)
        started = self._clock()
        try:
            vector = self._vector(inquiry, inquiry.pointer, hold, deadline)
            return self._told(inquiry, vector)
        except Exception as error:
            self._tell_unreadable(inquiry.site, error)
            return unreadable
        finally:
            hold.record.retrieval_ms = max(0, round((self._clock() - started) * 1000))

    def passages(self, asker: Asker, tenant: Tenant, site: Site, query: str, limit: int) -> Found | None:
        """A search by itself; None where the site was never trained.

        Its vector is admitted and recorded as a request of its own; without one words alone decide. Raises Forbidden
        for a stopped tenant or site, IndexUnavailable, and what storage raises.
        """
        Admission.check_open(asker, tenant, site)
        self._retrieval.renew(site)  # owners try a question as soon as a training has ended
        pointer = self._retrieval.pointer(site)
        vector = None
        if pointer and self._vector_policy(tenant, pointer):
            by = OnBehalf(asker.principal, asker.address_prefix, asker.user_agent, asker.trace_id)
            until, model = self._clock() + EMBEDDING_SECONDS + CLOSING_SECONDS, pointer.embedding_model
            try:
                made = self._embeddings.vectors(
                    tenant, site, [query], purpose="query", model=model, deadline=until, by=by
                )
                vector = numbers(made.vectors[0])
            except NorenError as error:
                self._tell_vectorless(site, error)
        try:
            return self._search(site, query, vector, limit)
        except IndexUnavailable as error:
            self._tell_unreadable(site, error)
            raise

    def _vector(self, inquiry: Inquiry, pointer: IndexPointer, hold: Hold, deadline: float) -> tuple[float, ...] | None:
        if not hold.held.embedding_tokens:
            return None
        until = min(self._clock() + EMBEDDING_SECONDS, deadline)
        try:
            asked, model = [inquiry.asked], pointer.embedding_model
            made = self._embeddings.within(hold, inquiry.tenant, asked, until=until, model=model)
            return numbers(made.vectors[0])
        except NorenError as error:
            # What fails upstream fails for all; what a tenant has no room or no tokens for is nobody else's.
            if error.status >= 500 and any(each.purpose == "embedding" for each in hold.record.calls):
                self._resting.get(pointer.embedding_model, lambda: True)
            self._tell_vectorless(inquiry.site, error)
            return None

    def _vector_policy(self, tenant: Tenant, pointer: IndexPointer) -> ModelPolicy | None:
        """The model of the index's vectors, if questions may have one by it just now."""
        model = pointer.embedding_model
        if not model or self._resting.fresh(model):
            return None
        try:
            return self._embeddings.policy(tenant, model)
        except NorenError:  # the plan has changed since the site was trained
            return None

    def _told(self, inquiry: Inquiry, vector: tuple[float, ...] | None) -> Grounds:
        found = [self._search(inquiry.site, inquiry.asked, vector, LIMIT)]
        if inquiry.wider and inquiry.leans:
            found.append(self._search(inquiry.site, inquiry.question, None, LIMIT))
        elif inquiry.wider:
            both = self._search(inquiry.site, inquiry.wider, None, LIMIT, own=inquiry.question)
            found += [both] if both and both.findings.own >= OWN_SHARE else []
        answering = [each for each in found if each and each.findings.is_answered]
        hits = merged([ranked(each) for each in answering])
        version = answering[0].pointer.version if answering else 0
        return grounds(inquiry.question, hits, version)

    def _search(
        self, site: Site, question: str, vector: Sequence[float] | None, limit: int, own: str = ""
    ) -> Found | None:
        try:
            return self._retrieval.search(site, question, vector=vector, limit=limit, own=own)
        except ValueError:  # a vector of no length
            return self._retrieval.search(site, question, limit=limit, own=own)

    def _tell_unreadable(self, site: Site, error: Exception) -> None:
        fields = {"tenant": site.tenant_id, "site": site.site_id, "reason": type(error).__name__}
        known = isinstance(error, IndexUnavailable)
        _log.error("documents can't be read", exc_info=not known, extra=measured(fields, IndexUnavailable=1))

    def _tell_vectorless(self, site: Site, error: NorenError) -> None:
        """Words alone decide then."""
        fields = {"tenant": site.tenant_id, "site": site.site_id, "reason": error.code}
        _log.warning("a question has no vector", extra={"fields": fields})


def _question_before(ask: ChatAsk, turns: Sequence[Turn]) -> str:
    if ask.history is None:
        return turns[-1].message if turns else ""
    return next((each.content for each in reversed(ask.history) if each.role == "user"), "")


def ranked(found: Found, least: float = RELEVANT) -> list[tuple[Hit, float]]:
    """The hits that matter, the best first, each with how sure it is that it answers (0 to 1).

    `least` is the share of the best one's score that a hit must have.
    """
    findings, chunks = found.findings, found.pointer.chunks
    sure = findings.confidence
    best = findings.hits[0].score if findings.hits else 0.0
    return [
        (hit, round(min(sure, confidence(hit.near, hit.present, chunks)) if place else sure, 3))
        for place, hit in enumerate(findings.hits)
        if hit.score >= least * best
    ]


def merged(lists: Sequence[list[tuple[Hit, float]]]) -> list[tuple[Hit, float]]:
    """Hits of several searches in one index: the best of each in turn, none twice."""
    taken: dict[int, tuple[Hit, float]] = {}
    for row in zip_longest(*lists):
        for pair in row:
            if pair:
                taken.setdefault(pair[0].chunk, pair)
    return list(taken.values())[:LIMIT]
