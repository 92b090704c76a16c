"""Vectors by the plan's embedding model, paid from the tenant's embedding tokens.

A request holds what it can take at most, has its vectors made, and is charged what was billed: never more than it held,
and nothing where it got nothing. Callers that can do without (search, training) handle `NoEmbeddings` and
`EmbeddingQuotaSpent`; what else may be raised passes by itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from noren.clock import Clock
from noren.errors import BadRequest, Busy, Forbidden, NorenError, QuotaExceeded, RateLimited
from noren.ids import new_id
from noren.ledger.models import Ask, Denied, Hold
from noren.ledger.service import Ledger
from noren.llm import tokens
from noren.llm.embedder import Embedder, batches
from noren.llm.models import Embedded
from noren.metrics import measured
from noren.plans.models import Entitlement, ModelPolicy
from noren.plans.service import Plans
from noren.sites.models import Site
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord

__all__ = ["EmbeddingQuotaSpent", "Embeddings", "NoEmbeddings", "OnBehalf", "batches", "to_hold"]

MOST_TEXTS = 2_048
MOST_TOKENS = 300_000
"""Of one request, as OpenAI has it."""
SECONDS = 50.0
"""That one request may take: less than the lease of its `Idempotency-Key`."""
CLOSING_SECONDS = 3.0
"""The upstream is closed this long before the deadline, so that the request can be settled."""
MARGIN = 1.1
"""By which a bill may exceed our estimate and still be paid in full."""
LARGEST = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072}
"""Models whose vectors may be had shorter, and their full size."""

Purpose = Literal["training", "query", "openai"]

_log = logging.getLogger("noren.knowledge")


class NoEmbeddings(Forbidden):
    """The plan has no embedding model that could be called: search is lexical alone."""

    code = "no_embeddings"
    title = "This plan has no embedding model"


class EmbeddingQuotaSpent(QuotaExceeded):
    """This month's embedding tokens don't reach for the request; nothing was held, nothing was called."""


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """Who wants the vectors, for the usage record; empty where a job does."""

    principal: str = ""
    address_prefix: str = ""
    user_agent: str = ""
    trace_id: str = ""


class Embeddings:
    """One per container."""

    def __init__(self, plans: Plans, ledger: Ledger, embedder: Embedder, clock: Clock, console_url: str) -> None:
        self._plans, self._ledger, self._embedder, self._clock = plans, ledger, embedder, clock
        self._console_url = console_url

    def policy(self, tenant: Tenant, model: str = "") -> ModelPolicy:
        """The embedding model of that id, name or provider's name; the plan's own for "" (and for `default`).

        Raises Forbidden `model_not_in_plan` for one that was asked for, NoEmbeddings where the plan has none.
        """
        return _chosen(self._plans.entitlement(tenant), model)

    def left(self, tenant: Tenant) -> int:
        """This month's embedding tokens that are not used and not held. Raises NotFound where there is no account."""
        standing = self._ledger.standing(tenant.tenant_id)
        return max(0, standing.embedding_tokens_limit - standing.embedding_tokens_used)

    def would_exceed(self, tenant: Tenant, tokens: int) -> bool:
        """Whether a job of about so many tokens would stop at the quota. Never where the plan embeds nothing."""
        try:
            self.policy(tenant)
        except NoEmbeddings:
            return False
        return tokens > self.left(tenant)

    def vectors(
        self,
        tenant: Tenant,
        site: Site,
        texts: Sequence[str],
        *,
        purpose: Purpose,
        model: str = "",
        dimensions: int | None = None,
        deadline: float | None = None,
        by: OnBehalf | None = None,
    ) -> Embedded:
        """The vectors of up to 2,048 texts, in their order; all of them or none.

        `deadline`: epoch seconds at which the process is surely gone. Training cuts its texts by `batches` and keeps
        what each part gave, so that it stops where the quota ends. Raises what `policy` does; BadRequest with the
        input's place; Forbidden for a stopped tenant or site; EmbeddingQuotaSpent; RateLimited, Busy or UpstreamFailed.
        """
        started = self._clock()
        _check_open(tenant, site)
        entitlement = self._plans.entitlement(tenant)
        policy = _chosen(entitlement, model)
        weights = _checked(policy, texts, dimensions)
        until = min(started + SECONDS, deadline or math.inf)
        by = by or OnBehalf()
        record = UsageRecord(
            request_id=new_id("req", started),
            tenant_id=tenant.tenant_id,
            site_id=site.site_id,
            occurred_at=started,
            source=purpose,
            function="embedding",
            chats=0,
            caller=by.principal,
            tier=entitlement.plan.tier,
            route_reason="requested" if model else "default",
            provider=policy.provider,
            model=policy.model,
            currency=tenant.currency,
            address_prefix=by.address_prefix,
            user_agent=by.user_agent,
            trace_id=by.trace_id,
        )
        ask = Ask(
            tenant_id=tenant.tenant_id,
            request_id=record.request_id,
            site_id=site.site_id,
            deadline=until,
            chats=0,
            embedding_tokens=sum(map(_bound, texts, weights)),
        )
        try:
            with self._ledger.reserve(ask, record):
                try:
                    made = self._embedder.embed(
                        policy,
                        texts,
                        record,
                        entitlement.rate,
                        until=until - CLOSING_SECONDS,
                        dimensions=dimensions,
                    )
                    record.model = made.model
                    made = replace(made, cost_usd=record.cost_usd)
                except NorenError as error:
                    record.error_code = record.calls[-1].status if record.calls else error.code
                    raise
                finally:
                    record.total_ms = max(0, round((self._clock() - started) * 1000))
        except Denied as denied:
            _log.info("not admitted", extra=measured({**_fields(record), "reason": denied.reason}, "reason", Refused=1))
            raise self._explained(denied, tenant, entitlement) from None
        finally:
            if record.nonce:
                fields = {"outcome": record.status, "tokens": record.tokens_embedding, "decision": record.decision}
                _log.info("embedding", extra={"fields": {**_fields(record), **fields}})
        return made

    def within(self, hold: Hold, tenant: Tenant, texts: Sequence[str], *, until: float, model: str = "") -> Embedded:
        """The vectors of texts that an open request has room for: it held `to_hold(texts)` along with the rest.

        The calls go onto its record, and are settled with it. `until`: epoch seconds. Raises what `vectors` does but
        for admission's errors.
        """
        entitlement = self._plans.entitlement(tenant)
        policy = _chosen(entitlement, model)
        _checked(policy, texts, None)
        return self._embedder.embed(policy, texts, hold.record, entitlement.rate, until=until)

    def _explained(self, denied: Denied, tenant: Tenant, entitlement: Entitlement) -> NorenError:
        match denied.reason:
            case "embedding":
                has = entitlement.limits.embedding_tokens_per_month
                more = (each for each in entitlement.fitting_plans if each.limits.embedding_tokens_per_month > has)
                offer: dict[str, Any] = {}
                if plan := next(more, None):
                    price = {"amount": plan.prices.get(tenant.currency), "currency": tenant.currency}
                    offer = {"plan": plan.plan, "price": price, "upgrade_url": f"{self._console_url}/billing"}
                return EmbeddingQuotaSpent(
                    "This month's embedding tokens don't reach for this request.",
                    resets_at=denied.extra.get("resets_at"),
                    **offer,
                )
            case "concurrency":
                return RateLimited("Too many requests at once: wait for one to end.", retry_after=denied.retry_after)
            case "stopped":
                return _suspended()
        return Busy(denied.detail, retry_after=denied.retry_after or 1)


def to_hold(texts: Sequence[str]) -> int:
    """Tokens that the texts take at most: held, and given back as far as they are not billed."""
    return sum(_bound(text, _weight(text)) for text in texts)


def _bound(text: str, weight: int) -> int:
    """No vocabulary makes more than one token of a byte."""
    return min(len(text.encode(errors="replace")), math.ceil(weight * MARGIN) + 4)


def _weight(text: str) -> int:
    """Estimated tokens; a space that follows another is not free."""
    words = text.split()
    spaces = len(text) - sum(map(len, words))
    return tokens.estimate(text) + max(0, spaces - len(words) + 1) // 4


def _chosen(entitlement: Entitlement, model: str) -> ModelPolicy:
    if model in ("", "default"):
        model = entitlement.plan.embedding_model
        own = next((each for each in entitlement.embeddings if each.id == model), None)
        if own is None:
            raise NoEmbeddings
        return own
    for each in entitlement.embeddings:
        if model in (each.id, each.name, each.model):
            return each
    raise Forbidden(f"The plan does not include the embedding model {model[:64]!r}.", code="model_not_in_plan")


def _check_open(tenant: Tenant, site: Site) -> None:
    if tenant.is_suspended:
        raise _suspended()
    if site.status != "active":
        raise Forbidden("This site is switched off.", code="site_disabled")


def _suspended() -> Forbidden:
    return Forbidden("This account is suspended. Its owner can find out why in the console.", code="suspended")


def _checked(policy: ModelPolicy, texts: Sequence[str], dimensions: int | None) -> list[int]:
    """The texts' weights. Raises BadRequest for what the model can't take."""
    if dimensions is not None:
        largest = LARGEST.get(policy.model)
        if largest is None:
            raise _refused("dimensions", f"the model {policy.id} has one size alone: leave it out")
        if not 1 <= dimensions <= largest:
            raise _refused("dimensions", f"1 to {largest} for the model {policy.id}")
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise _refused("input", f"1 to {MOST_TEXTS:,} texts at a time")
    weights = list(map(_weight, texts))
    for place, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        if not text.strip():
            raise _refused(f"input.{place}", "must not be blank")
        if weight > policy.context_window:
            raise _refused(f"input.{place}", f"about {weight:,} tokens; a text may have {policy.context_window:,}")
    if (total := sum(weights)) > MOST_TOKENS:
        raise _refused("input", f"about {total:,} tokens in all; a request may have {MOST_TOKENS:,}")
    return weights


def _refused(field: str, message: str) -> BadRequest:
    return BadRequest(errors=[{"field": field, "message": message}])


def _fields(record: UsageRecord) -> dict[str, Any]:
    return {
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "user": record.caller,
        "tenant": record.tenant_id,
        "site": record.site_id,
        "provider": record.provider,
        "model": record.model,
    }
