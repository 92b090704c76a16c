"""The inference API's table of routes, and what each does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chat.embeddings_wire import MAX_BODY, EmbeddingAnswer, EmbeddingBody, answer_json
from chat.native_wire import NativeWire
from chat.openai_wire import Completion, CompletionAnswer, ModelList, ModelRow, OpenAiWire, model_list, model_row
from chat.schemas import (
    Cancelling,
    ChatAnswer,
    ChatBody,
    FeedbackBody,
    FeedbackOut,
    Health,
    SessionOut,
    SessionPage,
    SessionRow,
    SessionsQuery,
    VisitorToken,
)
from chat.schemas_canned import CannedQuery, CannedSet
from chat.schemas_search import SearchBody, SearchOut
from chat.schemas_visitors import VisitBody, VisitorAnswer, VisitorSession, VisitToken
from noren.chat.models import Asker, IdempotencyKey, Run
from noren.edge.authenticate import DEVICE_SECONDS, issue_device
from noren.edge.http import SITE_KEY, Access, Call, Response, Route
from noren.edge.paging import paged
from noren.edge.security import address_prefix, countable
from noren.errors import NotFound
from noren.knowledge.embeddings import OnBehalf
from noren.limits import check
from noren.plans.models import ModelPolicy
from noren.sites.canned import CACHED_SECONDS
from noren.sites.visitors import TOKEN_SECONDS
from noren.tenants.models import Role

if TYPE_CHECKING:
    from noren.wiring import Services

Wire = NativeWire | OpenAiWire

ASKS = Access(role=Role.VIEWER, scope="chat", anonymous=True, visitor=True)
ASKS_OPENAI = Access(role=Role.VIEWER, scope="chat")
TOKENS_PER_HOUR = 60
"""Device tokens that one address may have made."""


def wire_of(call: Call) -> Wire:
    """The call's question in the format that it came in."""
    return OpenAiWire(call.body) if isinstance(call.body, Completion) else NativeWire(call.body, call.caller.site_id)


def site_asked(call: Call) -> str:
    """The id of the site that a chat asks; not yet known to be the tenant's. "" where that can't be told."""
    site_id = call.caller.site_id or getattr(call.body, "site_id", None)
    if site_id:
        return str(site_id)
    try:
        return call.services.sites.default_id(call.services.tenants.get(call.tenant_id))
    except Exception:  # said beside an error, which is what matters
        return ""


def asker_of(call: Call) -> Asker:
    """Who asks. Only routes for members, keys and visitors may call this."""
    caller, request = call.caller, call.request
    assert caller.kind in ("member", "api_key", "visitor", "anonymous")
    return Asker(
        tenant_id=call.tenant_id,
        principal=caller.principal,
        kind=caller.kind,
        address=countable(request.source_ip),
        address_prefix=address_prefix(request.source_ip),
        user_agent=request.headers.get("user-agent", "")[:256],
        trace_id=request.trace_id,
    )


def run_of(call: Call, route: Route, deadline: float, gone: Callable[[], bool]) -> Run:
    """The circumstances of the call."""
    key = call.request.headers.get("idempotency-key")
    once = IdempotencyKey(f"{route.method} {route.path}", key, call.request.body) if key is not None else None
    return Run(deadline, gone, once)


def default_deadline(services: Services) -> float:
    """When a chat that begins now is stopped from outside."""
    return services.clock() + float(services.settings.chat_seconds)


def answered(call: Call, run: Run) -> Response:
    """The whole answer at once."""
    wire = wire_of(call)
    answer, replayed = call.services.chats.reply(asker_of(call), wire.ask, run)
    return Response(wire.answer(answer), headers={"idempotency-replayed": "true"} if replayed else {})


def chat(call: Call) -> Response:
    """Answer a question, unstreamed."""
    return answered(call, run_of(call, CHAT, default_deadline(call.services), lambda: False))


def completions(call: Call) -> Response:
    """Answer in OpenAI's format, unstreamed."""
    return answered(call, run_of(call, COMPLETIONS, default_deadline(call.services), lambda: False))


def cancel(call: Call) -> Cancelling:
    """End a running answer."""
    call.services.chats.cancel(asker_of(call), call.params["id"])
    return Cancelling(id=call.params["id"])


def feedback(call: Call) -> FeedbackOut:
    """Rate an answer."""
    body: FeedbackBody = call.body
    return FeedbackOut.of(call.services.feedback.rate(asker_of(call), call.params["id"], body.rating, body.comment))


def sessions(call: Call) -> SessionPage:
    """List one's own sessions."""

    def read(limit: int, position: dict[str, str] | None) -> tuple[list[Any], dict[str, str] | None]:
        found, following = call.services.sessions.page(asker_of(call), limit, position["before"] if position else None)
        return found, {"before": following} if following else None

    items, cursor = paged(call, f"/api/v1/sessions {call.caller.principal}", read)
    return SessionPage(items=[SessionRow.of(each) for each in items], next_cursor=cursor)


def session(call: Call) -> SessionOut | VisitorSession:
    """Show one of one's own sessions."""
    asker, key = asker_of(call), call.params["key"]
    shown: type[SessionOut | VisitorSession] = VisitorSession if asker.kind == "visitor" else SessionOut
    return shown.with_turns(call.services.sessions.get(asker, key), call.services.sessions.turns(asker, key))


def delete_session(call: Call) -> None:
    """Remove one of one's own sessions."""
    call.services.sessions.delete(asker_of(call), call.params["key"])


def visitor_token(call: Call) -> VisitorToken:
    """Name an anonymous device."""
    address = countable(call.request.source_ip)
    call.services.limiter.check(f"visitor-token#{address}", TOKENS_PER_HOUR, 3600)
    return VisitorToken(token=issue_device(call.services.signer), expires_in=DEVICE_SECONDS)


def visit(call: Call) -> VisitToken:
    """Let a page's visitor in."""
    request, body = call.request, call.body
    key, origin = request.query.get(SITE_KEY, ""), request.headers.get("origin", "")
    token = call.services.visitors.token(key, body.embed_id, origin, countable(request.source_ip), body.token or "")
    return VisitToken(token=token, expires_in=TOKEN_SECONDS)


def canned(call: Call) -> Response:
    """What the site answers by itself. A page may keep it as long as we do: its URL names the site."""
    site_id = call.query.site_id or site_asked(call)
    if call.caller.site_id and site_id != call.caller.site_id:
        raise NotFound("There is no such site")
    site = call.services.sites.get(call.tenant_id, site_id)
    found = CannedSet.of(call.services.canned.set_of(site).responses)
    kept = {"cache-control": f"private, max-age={CACHED_SECONDS}"} if call.caller.site_id else {}
    return Response(found, headers=kept)


def canned_hit(call: Call) -> None:
    """Count that a front end has given a response by itself."""
    site_id = call.caller.site_id
    check(call.services.limiter, "canned_hits_of_site", site_id)
    call.services.canned.hit(call.tenant_id, site_id, call.params["canned_id"])


def embeddings(call: Call) -> Response:
    """Make vectors."""
    services, request, body = call.services, call.request, call.body
    tenant = services.tenants.get(call.tenant_id)
    made = services.embeddings.vectors(
        tenant,
        services.sites.get(tenant.tenant_id, services.sites.default_id(tenant)),
        body.texts,
        purpose="openai",
        model=body.model,
        dimensions=body.dimensions,
        by=OnBehalf(
            principal=call.caller.principal,
            address_prefix=address_prefix(request.source_ip),
            user_agent=request.headers.get("user-agent", "")[:256],
            trace_id=request.trace_id,
        ),
    )
    return Response(answer_json(made, body.encoding_format), headers={"content-type": "application/json"})


def search(call: Call) -> SearchOut:
    """Find passages."""
    services, body = call.services, call.body
    tenant = services.tenants.get(call.tenant_id)
    site = services.sites.get(tenant.tenant_id, body.site_id or services.sites.default_id(tenant))
    return SearchOut.of(services.research.passages(asker_of(call), tenant, site, body.query, body.limit))


def models(call: Call) -> ModelList:
    """The models that the plan allows."""
    return model_list(_policies(call))


def model(call: Call) -> ModelRow:
    """One of the models that the plan allows."""
    return model_row(_policies(call), call.params["model"])


def health(_: Call) -> Health:
    """The function is up."""
    return Health()


def _policies(call: Call) -> tuple[ModelPolicy, ...]:
    entitlement = call.services.plans.entitlement(call.services.tenants.get(call.tenant_id))
    return entitlement.models + entitlement.embeddings


CHAT = Route(
    "POST",
    "/api/v1/chat",
    chat,
    ASKS,
    "Ask a question; with `stream`, the answer comes as server-sent events",
    answer=ChatAnswer,
    body=ChatBody,
    idempotent=True,
    aliases=("/api/chat",),
    streams=True,
    visitor_answer=VisitorAnswer,
)
COMPLETIONS = Route(
    "POST",
    "/v1/chat/completions",
    completions,
    ASKS_OPENAI,
    "Chat completions in OpenAI's format",
    answer=CompletionAnswer,
    body=Completion,
    idempotent=True,
    openai=True,
    streams=True,
)

ROUTES: tuple[Route, ...] = (
    CHAT,
    Route("POST", "/api/v1/chat/{id}/cancel", cancel, ASKS, "End a running answer", answer=Cancelling, status=202),
    Route(
        "POST",
        "/api/v1/chat/{id}/feedback",
        feedback,
        ASKS,
        "Rate an answer from 1 to 5; a second rating replaces the first",
        answer=FeedbackOut,
        body=FeedbackBody,
    ),
    Route("GET", "/api/v1/sessions", sessions, ASKS, "One's own sessions", answer=SessionPage, query=SessionsQuery),
    Route(
        "GET",
        "/api/v1/sessions/{key}",
        session,
        ASKS,
        "A session with its newest turns",
        answer=SessionOut,
        visitor_answer=VisitorSession,
    ),
    Route("DELETE", "/api/v1/sessions/{key}", delete_session, ASKS, "Remove a session and its turns", status=204),
    Route(
        "POST",
        "/api/v1/visitor-tokens",
        visitor_token,
        Access(public=True),
        "A token for an anonymous device, good for 30 days",
        answer=VisitorToken,
        status=201,
    ),
    Route(
        "POST",
        "/api/v1/embed/visitor",
        visit,
        Access(public=True, visitor=True),
        "A visitor token for a page that the site of the URL's `site_key` allows, good for an hour",
        answer=VisitToken,
        body=VisitBody,
        status=201,
    ),
    Route(
        "GET",
        "/api/v1/canned",
        canned,
        ASKS,
        "A site's canned responses, for front ends that match them before they ask",
        answer=CannedSet,
        query=CannedQuery,
    ),
    Route(
        "POST",
        "/api/v1/canned/{canned_id}/hits",
        canned_hit,
        Access(visitor=True),
        "Count that a page has given a canned response by itself",
        status=204,
    ),
    Route(
        "POST",
        "/api/v1/search",
        search,
        Access(role=Role.VIEWER, scope="chat"),
        "The passages of a site's documents that answer a question best, without an answer",
        answer=SearchOut,
        body=SearchBody,
        idempotent=True,
    ),
    COMPLETIONS,
    Route(
        "POST",
        "/v1/embeddings",
        embeddings,
        Access(role=Role.EDITOR, scope="chat"),
        "Vectors of texts in OpenAI's format, paid from the month's embedding tokens",
        answer=EmbeddingAnswer,
        body=EmbeddingBody,
        idempotent=True,
        openai=True,
        max_body=MAX_BODY,
    ),
    Route("GET", "/v1/models", models, ASKS_OPENAI, "The models that the plan allows", answer=ModelList, openai=True),
    Route("GET", "/v1/models/{model}", model, ASKS_OPENAI, "One of these models", answer=ModelRow, openai=True),
    Route("GET", "/health", health, Access(public=True), "Whether the function is up", answer=Health),
)
