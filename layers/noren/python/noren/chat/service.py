"""A chat, from the question to the settled record. One screen; callees never call back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from noren.chat.admission import Admission
from noren.chat.both import both
from noren.chat.cancel import Stopper
from noren.chat.canned_answers import CannedAnswers, suggestions
from noren.chat.drafts import READ_TOKENS, Drafts
from noren.chat.grounds import Grounds, unnumbered
from noren.chat.models import (
    Answer,
    Asker,
    ChatAsk,
    ChatEvent,
    Delta,
    Done,
    FinishReason,
    Meta,
    Quota,
    RouteTaken,
    Run,
    Tokens,
    Turn,
)
from noren.chat.overage import TokenBound, credits_of
from noren.chat.prompt import (
    BUDGET,
    Written,
    build_managed_prompt,
    build_prompt,
    clamp_answer,
    passages_bound,
    prompt_bound,
)
from noren.chat.replay import Replays, replayed
from noren.chat.research import Inquiry, Research
from noren.chat.routing import site_route
from noren.chat.sessions import Conversation, Sessions
from noren.chat.store import SignalStore, owner_hash
from noren.clock import Clock
from noren.errors import NorenError, NotFound, TimedOut, UpstreamFailed
from noren.idempotency import Idempotency
from noren.ids import TenantId, is_id, new_id
from noren.ledger.models import Hold
from noren.ledger.service import Ledger
from noren.llm import models as llm
from noren.llm.router import Router
from noren.llm.routes import Route
from noren.metrics import measured
from noren.money import CostSnapshot
from noren.plans.models import Entitlement
from noren.plans.service import Plans
from noren.ratelimit import Limiter
from noren.sites.canned import CannedResponses
from noren.sites.canned_models import Match
from noren.sites.models import Site
from noren.sites.prompt_models import ActivePrompt
from noren.sites.service import Sites
from noren.tenants.models import Tenant
from noren.tenants.service import Tenants
from noren.usage.models import UsageRecord
from noren.usage.service import Usage

CLOSING_SECONDS = 5.0
"""An answer ends this long before its process is stopped from outside."""
LAST_SECONDS = 3.0
"""The upstream is closed by then in any case; a little later, so that an end in time is no fault of the model."""

CANCEL_SECONDS = 900.0

_log = logging.getLogger("noren.chat")


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is known before admission."""

    tenant: Tenant
    site: Site
    prompt: ActivePrompt
    entitlement: Entitlement
    route: Route
    conversation: Conversation
    canned: Match
    inquiry: Inquiry


class Chats:
    """Answers questions. Streamed and buffered answers are one path."""

    def __init__(
        self,
        *,
        tenants: Tenants,
        plans: Plans,
        sites: Sites,
        ledger: Ledger,
        usage: Usage,
        limiter: Limiter,
        idempotency: Idempotency,
        router: Router,
        sessions: Sessions,
        canned: CannedResponses,
        research: Research,
        signals: SignalStore,
        pool: Executor,
        short_of_credits: Callable[[TenantId], None],
        clock: Clock,
        console_url: str,
    ) -> None:
        self._tenants, self._plans, self._sites, self._ledger, self._usage = tenants, plans, sites, ledger, usage
        self._router, self._sessions, self._signals, self._clock = router, sessions, signals, clock
        self._pool, self._research = pool, research
        self._admission = Admission(ledger, limiter, pool, clock, console_url, short_of_credits)
        self._replays = Replays(idempotency, usage, sessions, clock)
        self._drafts = Drafts(router, clock)
        self._canned = CannedAnswers(canned, sessions, usage, pool, clock)

    def stream(self, asker: Asker, ask: ChatAsk, run: Run) -> Generator[ChatEvent, None, None]:
        """Meta, Deltas as they arrive, then Done once the request is settled.

        Whatever is refused raises before Meta; what fails later raises after it, settled or released. Closing the
        iterator ends the upstream call and settles what was produced, in the closing thread.
        """
        started = self._clock()
        with self._replays.claim(asker, run, lambda: new_id("req", self._clock())) as claim, ExitStack() as entered:
            if claim.first is not None:
                yield from replayed(claim.first)
                return
            plan = self._resolve(asker, ask, claim.request_id, run.deadline, entered)
            record = self._record(asker, ask, plan, claim.request_id, started)
            if response := plan.canned.response:
                record.rate = plan.entitlement.rate.rate
                record.experiment_id = record.prompt_arm = ""  # no arm has a part in it
                yield from self._canned.give(response, asker, ask, plan.conversation, record, claim)
                return
            bound = self._bound(ask, plan)
            who = asker, plan.tenant, plan.site, plan.entitlement, record
            admitted = self._admission.admit(*who, run.deadline, bound, plan.inquiry.hold)
            try:
                with admitted as hold:
                    claim.hold = hold
                    record.admission_ms = self._since(started)
                    answer_tokens = min(bound.answer, hold.max_tokens or bound.answer)
                    grounds = self._research.grounds(plan.inquiry, hold, run.deadline - CLOSING_SECONDS)
                    written = self._written(ask, plan, answer_tokens, grounds)
                    outcome = yield from self._produce(asker, ask, plan, hold, run, written)
            finally:
                if claim.hold:
                    _log_settled(record)
        if isinstance(outcome, NorenError):
            raise outcome
        yield Done(outcome)

    def reply(self, asker: Asker, ask: ChatAsk, run: Run) -> tuple[Answer, bool]:
        """The whole answer at once, and whether it is a replay. Raises as `stream` does."""
        replayed = False
        for event in self.stream(asker, ask, replace(run, whole=True)):
            if isinstance(event, Meta):
                replayed = event.replayed
            elif isinstance(event, Done):
                return event.answer, replayed
        raise AssertionError("a stream ends in Done or raises")

    def cancel(self, asker: Asker, request_id: str) -> None:
        """End one's own running answer within seconds; what was produced is paid for. Raises NotFound.

        Another principal's request of the same tenant is not found by its runner under the asker's name.
        """
        is_running = is_id(request_id, "req") and self._ledger.is_open(asker.tenant_id, request_id)
        if not is_running:
            raise NotFound("There is no such answer under way")
        until = self._clock() + CANCEL_SECONDS
        self._signals.ask_to_stop(asker.tenant_id, owner_hash(asker.principal), request_id, until)

    def _resolve(self, asker: Asker, ask: ChatAsk, request_id: str, deadline: float, entered: ExitStack) -> _Plan:
        tenant = self._tenants.get(asker.tenant_id)
        site = self._sites.get(tenant.tenant_id, ask.site_id or self._sites.default_id(tenant))
        self._admission.check_open(asker, tenant, site)
        entitlement = self._plans.entitlement(tenant)
        route = site_route(entitlement, site, ask.model)
        profile = self._sites.profile(site)
        visit: Callable[[], object] | None = None
        if asker.kind == "visitor":
            visit = partial(entered.enter_context, self._admission.visit(asker, site, entitlement, deadline))
        inquiry = self._research.begin(tenant, site)
        conversation = self._look_up(asker, ask, site, entitlement, route, inquiry, visit)
        prompt = profile.for_session(conversation.session_key or request_id)
        canned = self._canned.match(site, ask)
        self._research.prepare(inquiry, ask, conversation.turns)
        return _Plan(tenant, site, prompt, entitlement, route, conversation, canned, inquiry)

    def _look_up(
        self,
        asker: Asker,
        ask: ChatAsk,
        site: Site,
        entitlement: Entitlement,
        route: Route,
        inquiry: Inquiry,
        visit: Callable[[], object] | None,
    ) -> Conversation:
        """All that storage is asked ahead of the reserve, in one round trip: no part of it depends on another.

        Raises NotFound for a session before RateLimited; what is known to exceed the rate asks storage nothing.
        """
        self._admission.check_rate(asker, site, entitlement, by_memory=True)
        rest: Callable[[], object] = partial(self._admission.check_rate, asker, site, entitlement)
        breaker = self._router.breaker
        if stale := breaker.stale(step.policy for step in route.steps):
            rest = partial(both, self._pool, partial(breaker.refresh, stale), rest)
        if self._canned.must_load(site, ask):
            rest = partial(both, self._pool, partial(self._canned.load, site), rest)
        if self._research.must_ask_storage(inquiry):
            rest = partial(both, self._pool, partial(self._research.look, inquiry), rest)
        if stale := breaker.stale(self._research.models(inquiry)):
            rest = partial(both, self._pool, partial(breaker.refresh, stale), rest)
        if visit:
            rest = partial(both, self._pool, visit, rest)
        if ask.session_key and ask.history is None:
            opened = partial(self._sessions.open, asker, site.site_id, ask.session_key, self._pool)
            return both(self._pool, opened, rest)[0]
        rest()
        return self._sessions.begin() if ask.history is None else Conversation("")

    def _record(self, asker: Asker, ask: ChatAsk, plan: _Plan, request_id: str, started: float) -> UsageRecord:
        return UsageRecord(
            request_id=request_id,
            tenant_id=plan.tenant.tenant_id,
            site_id=plan.site.site_id,
            occurred_at=started,
            source=ask.source,
            caller=asker.principal,
            session_key=plan.conversation.session_key,
            tier=plan.route.tier,
            route_reason=plan.route.reason,
            currency=plan.tenant.currency,
            prompt_profile=plan.prompt.profile_id,
            prompt_version=plan.prompt.version,
            experiment_id=plan.prompt.experiment_id,
            prompt_arm=plan.prompt.arm,
            is_new_session=bool(plan.conversation.session_key) and plan.conversation.session is None,
            address_prefix=asker.address_prefix,
            user_agent=asker.user_agent,
            trace_id=asker.trace_id,
            extra={"metadata": dict(ask.metadata)} if ask.metadata else {},
        )

    def _produce(
        self, asker: Asker, ask: ChatAsk, plan: _Plan, hold: Hold, run: Run, written: Written
    ) -> Generator[ChatEvent, None, Answer | NorenError]:
        """Ask the model while the hold is open; the turn is stored before the record is decided.

        Returns the answer, or why it broke off: then what was produced is paid for. Raises where nothing was.
        """
        record, route = hold.record, plan.route
        stop = self._stopper(asker, record.request_id, run)
        yield Meta(
            id=record.request_id,
            session_key=record.session_key,
            route=RouteTaken(route.tier, route.reason),
            model=route.policy.name,
            trace_id=asker.trace_id,
            sources=written.sources,
            suggestions=suggestions(plan.canned),
        )
        prompt = self._enriched(plan, written, record, stop, run)
        parts: list[str] = []
        answer: Answer | None = None
        try:
            finish: llm.Finish | None = None
            events = self._router.stream(route, prompt, record, stop, deadline=run.deadline - LAST_SECONDS)
            with closing(cast("Generator[llm.Event]", events)):
                for event in events:
                    if isinstance(event, llm.Delta):
                        parts.append(event.text)
                        yield Delta(event.text)
                    else:
                        finish = event
            reason = self._finished(finish, stop, hold, bool(parts))
            answer = self._answer(asker, plan, hold, "".join(parts), reason, written.grounds)
        except NorenError as error:
            error.extra["id"] = record.request_id
            if not parts:
                hold.release = True
                raise
            error.extra["answer"] = "".join(parts)
            return error
        finally:
            record.total_ms = self._since(record.occurred_at)
            if parts and (record.session_key or run.once):
                # what is offered beside an answer is kept for replays alone
                kept = replace(answer, suggestions=()) if answer and not run.once else answer
                self._keep(asker, ask, plan, record, "".join(parts), kept)
        return answer

    def _enriched(self, plan: _Plan, written: Written, record: UsageRecord, stop: Stopper, run: Run) -> llm.Prompt:
        """The finished prompt, with a draft where the site wants one."""
        prompt = replace(written.prompt, whole=run.whole)
        if route := Drafts.route(plan.site, plan.route):
            asked = written.grounds, plan.inquiry.asked
            return self._drafts.added(prompt, route, *asked, record, stop, run.deadline - CLOSING_SECONDS)
        return prompt

    @staticmethod
    def _bound(ask: ChatAsk, plan: _Plan) -> TokenBound:
        """What the request can take at most."""
        wanted, window = ask.max_tokens or plan.prompt.content.max_tokens, plan.route.context_window
        answer = clamp_answer(wanted, plan.entitlement.limits.max_tokens, window)
        prompt = prompt_bound(window, ask.message, ask.history, is_trained=plan.inquiry.needs_room)
        if plan.inquiry.needs_room and Drafts.route(plan.site, plan.route):
            prompt += Drafts.bound(plan.inquiry.asked, BUDGET.passages)
        return TokenBound(prompt, answer)

    def _written(self, ask: ChatAsk, plan: _Plan, max_tokens: int, grounds: Grounds) -> Written:
        content, window = plan.prompt.content, plan.route.context_window
        window -= READ_TOKENS if Drafts.route(plan.site, plan.route) else 0
        temperature = content.temperature if ask.temperature is None else ask.temperature
        passages = passages_bound(min(step.policy.context_window for step in plan.route.steps))
        if ask.history is not None:
            return build_managed_prompt(
                content,
                ask.history,
                ask.message,
                context_window=window,
                max_tokens=max_tokens,
                temperature=temperature,
                grounds=grounds,
                passages=passages,
            )
        return build_prompt(
            content,
            ask.message,
            context_window=window,
            max_tokens=max_tokens,
            temperature=temperature,
            summary=plan.conversation.summary,
            turns=[
                (turn.message, unnumbered(turn.answer) if turn.sources else turn.answer)
                for turn in plan.conversation.turns
            ],
            grounds=grounds,
            passages=passages,
        )

    def _stopper(self, asker: Asker, request_id: str, run: Run) -> Stopper:
        owner = owner_hash(asker.principal)
        flagged: Callable[[], bool] = lambda: self._signals.must_stop(asker.tenant_id, owner, request_id)  # noqa: E731
        return Stopper(run.gone, flagged, run.deadline - CLOSING_SECONDS, self._clock)

    def _finished(self, finish: llm.Finish | None, stop: Stopper, hold: Hold, is_produced: bool) -> FinishReason:
        """How the answer ended, and what that means for its record. Raises where there is no answer."""
        reason: FinishReason = finish.reason if finish else "cancelled"
        if reason == "cancelled" and stop.reason == "deadline":
            if not is_produced:
                raise TimedOut("The model took too long to begin its answer. Please try again.", retry_after=5)
            hold.record.status = "partial"
            return "deadline"
        if reason == "cancelled":
            # It had not come to a model that answers: nothing to pay for.
            hold.release = all(call.purpose != "answer" for call in hold.record.calls)
        elif not is_produced:
            raise UpstreamFailed("The model gave an empty answer. Please try again.", retry_after=1)
        return reason

    def _answer(
        self, asker: Asker, plan: _Plan, hold: Hold, text: str, reason: FinishReason, grounds: Grounds
    ) -> Answer:
        record, base = hold.record, plan.entitlement.limits.credits_per_overage_chat
        tried = dict.fromkeys(call.policy_id for call in record.calls[:-1] if call.purpose == "answer")
        return Answer(
            id=record.request_id,
            session_key=record.session_key,
            answer=text,
            model_used=record.model,
            provider=record.provider,
            route=RouteTaken(record.tier, record.route_reason, tuple(tried)),
            tokens_consumed=Tokens(
                embedding=record.tokens_embedding,
                chat=record.tokens_input + record.tokens_output,
                input=record.tokens_input,
                output=record.tokens_output,
                cached=record.tokens_cached,
            ),
            cost_usd=record.cost_usd,
            cost_local=CostSnapshot(record.cost_local, record.currency, record.rate),
            quota=Quota(hold.chats_used, hold.chats_limit, hold.resets_at),
            credits=credits_of(hold, base),
            latency_ms=self._since(record.occurred_at),
            trace_id=asker.trace_id,
            finish_reason=reason,
            sources=grounds.sources_of(text),
            suggestions=suggestions(plan.canned),
        )

    def _keep(
        self, asker: Asker, ask: ChatAsk, plan: _Plan, record: UsageRecord, text: str, answer: Answer | None
    ) -> None:
        """Store the turn. A store that fails costs the history, not the answer that has just been given."""
        turn = Turn(
            request_id=record.request_id,
            session_key=record.session_key,
            message=ask.message,
            answer=text,
            at=self._clock(),
            model=record.model,
            finish_reason=answer.finish_reason if answer else "interrupted",
            complete=answer,
        )
        try:
            self._sessions.add_turn(asker, plan.site.site_id, plan.conversation, turn)
        except Exception as error:
            _log.error("turn of %s not stored: %s", record.request_id, type(error).__name__)

    def _since(self, started: float) -> int:
        return max(0, round((self._clock() - started) * 1000))


def _log_settled(record: UsageRecord) -> None:
    """The line of an admitted request: how it ended and what it measured; never any text of it."""
    fields = {
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "user": record.caller,
        "tenant": record.tenant_id,
        "site": record.site_id,
        "route": record.tier,
        "reason": record.route_reason,
        "provider": record.provider,
        "model": record.model,
        "outcome": record.status,
        "error_code": record.error_code,
        "decision": record.decision,
    }
    failed = int(record.status in ("failed", "partial"))
    extra = measured(fields, ChatLatency=record.total_ms, FirstToken=record.first_token_ms, FailedChats=failed)
    _log.info("chat", extra=extra)
