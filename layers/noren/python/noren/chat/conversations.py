"""Conversations as the owner of a site reads them: whoever had them, with sources and ratings of each answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from noren.chat.conversation_store import ConversationStore
from noren.chat.feedback_store import FeedbackStore
from noren.chat.models import Feedback, Session, Turn
from noren.chat.newest import newest, page
from noren.clock import Clock
from noren.errors import NotFound
from noren.ids import TenantId

FIRST, LAST = "0", "~"
"""All session keys lie between them."""
MOST_TURNS = 50
"""Of one page: what an answer may weigh bounds it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session in the list of its site's. `kind` is its asker's: `visitor`, `member`, `api_key` or `anonymous`."""

    session: Session
    kind: str


@dataclass(frozen=True, slots=True)
class Read:
    """A conversation with a page of its turns, oldest first, and the feedback on them by request id.

    `earlier` is the request id before which to go on, None at the beginning.
    """

    conversation: Conversation
    turns: list[Turn]
    feedback: dict[str, Feedback]
    earlier: str | None


class Conversations:
    """Whoever calls has seen to it that the reader may. `sites_of` gives the ids of all of a tenant's sites."""

    def __init__(
        self,
        store: ConversationStore,
        feedback: FeedbackStore,
        sites_of: Callable[[TenantId], list[str]],
        clock: Clock,
    ) -> None:
        self._store, self._feedback, self._sites_of, self._clock = store, feedback, sites_of, clock

    def page(
        self, tenant_id: TenantId, site_ids: Iterable[str], limit: int, above: str = FIRST, below: str = LAST
    ) -> tuple[list[Conversation], str | None]:
        """The sites' conversations, the latest begun first, and where to go on. Short where some have just expired."""
        reads = [partial(self._store.rows, tenant_id, each, above) for each in site_ids]
        rows, following = page(newest(reads, below), limit, lambda _: True)
        sessions = self._store.sessions(tenant_id, rows, self._clock())
        return [Conversation(sessions[row["sk"]], row["kind"]) for row in rows if row["sk"] in sessions], following

    def read(self, tenant_id: TenantId, session_key: str, limit: int, before: str = "") -> Read:
        """A conversation with up to `limit` turns before request `before`, else its latest. Raises NotFound."""
        try:
            key = str(uuid.UUID(session_key))
        except ValueError:
            raise NotFound(_MISSING) from None
        row = self._store.find(tenant_id, self._sites_of(tenant_id), key)
        session = self._store.sessions(tenant_id, [row], self._clock()).get(key) if row else None
        if row is None or session is None:
            raise NotFound(_MISSING)
        turns, earlier = self._store.turns(tenant_id, row["owner"], key, min(limit, MOST_TURNS), before)
        feedback = self._feedback.of_answers(tenant_id, session.site_id, [each.request_id for each in turns])
        return Read(Conversation(session, row["kind"]), turns, feedback, earlier)


_MISSING = "There is no such conversation"
