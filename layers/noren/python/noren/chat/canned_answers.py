"""Questions that a site answers by itself: no model, no quota, but a turn and a record as any other."""

from __future__ import annotations

import logging
from collections.abc import Generator
from concurrent.futures import Executor
from decimal import Decimal

from noren.chat.both import both
from noren.chat.models import Answer, Asker, ChatAsk, ChatEvent, Delta, Done, Meta, RouteTaken, Suggestion, Tokens, Turn
from noren.chat.replay import Claim
from noren.chat.sessions import Conversation, Sessions
from noren.clock import Clock
from noren.money import CostSnapshot
from noren.sites.canned import CannedResponses
from noren.sites.canned_models import NO_MATCH, CannedResponse, Match
from noren.sites.models import Site
from noren.usage.models import UsageRecord
from noren.usage.service import Usage

_log = logging.getLogger("noren.chat")


class CannedAnswers:
    """Finds and gives them. Questions in OpenAI's format are never answered so: it promises a model."""

    def __init__(self, canned: CannedResponses, sessions: Sessions, usage: Usage, pool: Executor, clock: Clock) -> None:
        self._canned, self._sessions, self._usage, self._pool, self._clock = canned, sessions, usage, pool, clock

    def must_load(self, site: Site, ask: ChatAsk) -> bool:
        """Whether `match` would have to ask storage."""
        return ask.source == "chat" and not self._canned.is_known(site)

    def load(self, site: Site) -> None:
        """Have the site's responses at hand for the next 30 s."""
        self._canned.set_of(site)

    def match(self, site: Site, ask: ChatAsk) -> Match:
        """The response to give, else those that may be offered beside the model's answer."""
        return self._canned.match(site, ask.message) if ask.source == "chat" else NO_MATCH

    def give(
        self,
        response: CannedResponse,
        asker: Asker,
        ask: ChatAsk,
        conversation: Conversation,
        record: UsageRecord,
        claim: Claim,
    ) -> Generator[ChatEvent, None, None]:
        """The whole answer; turn and record are stored before its last event. `record` is as a model would get it."""
        route = RouteTaken(record.tier, "canned")
        record.source, record.status, record.route_reason = "canned", "canned", "canned"
        record.prompt_profile, record.prompt_version = "", 0  # it took no part in the answer
        record.experiment_id = record.prompt_arm = ""
        yield Meta(record.request_id, record.session_key, route, "", record.trace_id, canned_id=response.canned_id)
        record.total_ms = max(0, round((self._clock() - record.occurred_at) * 1000))
        answer = Answer(
            id=record.request_id,
            session_key=record.session_key,
            answer=response.answer,
            model_used="",
            provider="",
            route=route,
            tokens_consumed=Tokens(),
            cost_usd=Decimal(0),
            cost_local=CostSnapshot(Decimal(0), record.currency, record.rate),
            quota=None,
            latency_ms=record.total_ms,
            trace_id=record.trace_id,
            finish_reason="stop",
            canned_id=response.canned_id,
        )
        try:
            yield Delta(answer.answer)
        finally:
            both(
                self._pool,
                lambda: self._hit(response),
                lambda: self._keep(asker, ask, conversation, record, answer, claim),
            )
        yield Done(answer)

    def _keep(
        self,
        asker: Asker,
        ask: ChatAsk,
        conversation: Conversation,
        record: UsageRecord,
        answer: Answer,
        claim: Claim,
    ) -> None:
        """The turn first: who repeats the request takes a record for a sign that it is there."""
        turn = Turn(record.request_id, record.session_key, ask.message, answer.answer, self._clock(), complete=answer)
        try:
            self._sessions.add_turn(asker, record.site_id, conversation, turn)
        except Exception as error:  # as with any answer: it costs the history, not what has just been given
            _log.error("turn of %s not stored: %s", record.request_id, type(error).__name__)
        self._usage.put_uncharged(record)
        claim.is_recorded = True
        fields = {
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "user": record.caller,
            "tenant": record.tenant_id,
            "site": record.site_id,
            "outcome": "canned",
            "canned_id": answer.canned_id,
        }
        _log.info("canned", extra={"fields": fields})

    def _hit(self, response: CannedResponse) -> None:
        try:
            self._canned.hit(response.tenant_id, response.site_id, response.canned_id)
        except Exception as error:  # counting is approximate, and the response may just have been deleted
            _log.warning("a hit of %s not counted: %s", response.canned_id, type(error).__name__)


def suggestions(match: Match) -> tuple[Suggestion, ...]:
    """What is like the question, as it is offered."""
    return tuple(Suggestion(each.canned_id, each.phrases[0], each.answer) for each in match.suggestions)
