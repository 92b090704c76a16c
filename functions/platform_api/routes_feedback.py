"""What visitors said: feedback, which may become canned responses, and conversations."""

from __future__ import annotations

from typing import Any

from noren.chat.conversations import Conversation, Read
from noren.chat.feedback import Wanted
from noren.chat.models import Feedback
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, paged
from noren.tenants.models import Role
from platform_api import csv_table
from platform_api import schemas_feedback as f
from platform_api.routes_canned import CHANGE, count_made
from platform_api.schemas_canned import CannedOut
from platform_api.span import sites, span

READ = Access(role=Role.EDITOR, scope="read")
"""Visitors' own words are not for every member."""
MOST_CSV_ROWS = 900
"""Comments are long: six megabytes are what a function may send."""
END_OF_TIME = 2**48 / 1000 - 1
"""The latest that an id can name."""


def list_feedback(call: Call) -> Page[f.FeedbackOut] | Response:
    """Feedback on the answers of a site, or of all."""
    query: f.FeedbackQuery = call.query
    as_csv, site_ids = csv_table.is_wanted(call), sites(call)
    low, high = (f"req_{_stamp(each)}" for each in span(call, 0, END_OF_TIME))
    wanted = Wanted(low, high, query.rating_min, query.rating_max)

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[Feedback], dict[str, str] | None]:
        most, below = MOST_CSV_ROWS if as_csv else limit, at["below"] if at else None
        found, following = call.services.feedback.page(call.tenant_id, site_ids, wanted, most, below)
        return found, {"below": following} if following else None

    rows, cursor = paged(call, "/api/v1/feedback", read)
    items = [f.FeedbackOut.of(each) for each in rows]
    if as_csv:
        fields = tuple(f.FeedbackOut.model_fields)
        cells: list[list[Any]] = [[getattr(item, name) for name in fields] for item in items]
        return csv_table.answer(call, "feedback", fields, cells, cursor)
    return Page(items=items, next_cursor=cursor)


def get_feedback(call: Call) -> f.RatedOut:
    """Feedback with its question, answer and sources."""
    return f.RatedOut.whole(call.services.feedback.get(call.tenant_id, call.params["feedback_id"]))


def make_canned(call: Call) -> CannedOut:
    """From now on, this question has that answer."""
    body: f.MakeCannedIn = call.body
    count_made(call)
    made = call.services.feedback.answer_from_now_on(
        call.tenant_id, call.params["feedback_id"], body.given_patterns(), body.answer, call.caller.principal
    )
    return CannedOut.of(made)


def list_conversations(call: Call) -> Page[f.ConversationRow]:
    """Conversations at a site, or at all."""
    site_ids = sites(call)
    low, high = (f"{stamp[:8]}-{stamp[8:]}" for stamp in map(_stamp, span(call, 0, END_OF_TIME)))

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[Conversation], dict[str, str] | None]:
        below = at["below"] if at else high
        found, following = call.services.conversations.page(call.tenant_id, site_ids, limit, low, below)
        return found, {"below": following} if following else None

    rows, cursor = paged(call, "/api/v1/conversations", read)
    return Page(items=[f.ConversationRow.of(each) for each in rows], next_cursor=cursor)


def get_conversation(call: Call) -> f.ConversationOut:
    """A conversation, its latest turns first of all."""
    key = call.params["session_key"]

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[Read], dict[str, str] | None]:
        found = call.services.conversations.read(call.tenant_id, key, limit, at["before"] if at else "")
        return [found], {"before": found.earlier} if found.earlier else None

    (found,), cursor = paged(call, f"/api/v1/conversations/{key}", read)
    return f.ConversationOut.whole(found, cursor)


def _stamp(epoch: float) -> str:
    """What ids made at that time begin with."""
    return f"{int(epoch * 1000):012x}"


ROUTES = (
    Route(
        "GET",
        "/api/v1/feedback",
        list_feedback,
        READ,
        "Feedback on answers, the latest answer first",
        answer=Page[f.FeedbackOut],
        query=f.FeedbackQuery,
        csv=True,
    ),
    Route(
        "GET",
        "/api/v1/feedback/{feedback_id}",
        get_feedback,
        READ,
        "Feedback with the question, the answer and the passages that were used",
        answer=f.RatedOut,
    ),
    Route(
        "POST",
        "/api/v1/feedback/{feedback_id}/canned",
        make_canned,
        CHANGE,
        "Make a canned response of a rated answer",
        answer=CannedOut,
        body=f.MakeCannedIn,
        status=201,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/conversations",
        list_conversations,
        READ,
        "Conversations at the tenant's sites, the latest begun first",
        answer=Page[f.ConversationRow],
        query=f.ConversationsQuery,
    ),
    Route(
        "GET",
        "/api/v1/conversations/{session_key}",
        get_conversation,
        READ,
        "A conversation with sources and ratings of its answers",
        answer=f.ConversationOut,
        query=PageQuery,
    ),
)
