"""Conversations of one principal: their turns and their rolling summary."""

from __future__ import annotations

import logging
import time
import uuid
from concurrent.futures import Executor
from dataclasses import dataclass

from noren.chat.both import both
from noren.chat.models import Asker, Session, Turn
from noren.chat.store import LISTED_SECONDS, SessionStore, owner_hash
from noren.chat.summary import SummaryQueue
from noren.clock import Clock
from noren.errors import NotFound
from noren.ids import uuid7_hex
from noren.sites.service import Sites
from noren.tables import insistently
from noren.usage.models import UsageRecord

WINDOW = 8
"""Turns kept word for word; what is older goes into the summary."""
TITLE_CHARS = 80

_log = logging.getLogger("noren.chat")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a prompt needs of a session. `session` is None until its first turn has been stored."""

    session_key: str
    session: Session | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def summary(self) -> str:
        return self.session.summary_text if self.session else ""


class Sessions:
    """Every method takes the asker: a session of somebody else, or of a deleted site, answers like a missing one."""

    def __init__(self, store: SessionStore, queue: SummaryQueue, sites: Sites, clock: Clock) -> None:
        self._store, self._queue, self._sites, self._clock = store, queue, sites, clock

    def begin(self) -> Conversation:
        """A new conversation."""
        return Conversation(str(uuid.UUID(uuid7_hex(self._clock()))))

    def open(self, asker: Asker, site_id: str, session_key: str, pool: Executor) -> Conversation:
        """The conversation to go on with, read in one round trip by way of `pool`.

        Raises NotFound for a key that is missing, expired, of another site or of somebody else.
        """
        key, owner = _canonical(session_key), owner_hash(asker.principal)
        session, turns = both(
            pool, lambda: self.get(asker, key), lambda: self._store.turns(asker.tenant_id, owner, key, WINDOW)
        )
        if session.site_id != site_id:
            raise NotFound(_MISSING)
        return Conversation(key, session, tuple(turn for turn in turns if turn.request_id > session.summary_upto))

    def add_turn(self, asker: Asker, site_id: str, conversation: Conversation, turn: Turn) -> None:
        """Store a turn; asks for a new summary when too many turns stand outside of it."""
        tenant, owner = asker.tenant_id, owner_hash(asker.principal)
        # A replay rests on it, and what was paid for must not be lost to one bad moment.
        insistently(lambda: self._store.put_turn(tenant, owner, turn), attempts=2, sleep=time.sleep)
        if not turn.session_key:
            return
        if conversation.session is None:
            title = " ".join(turn.message.split())[:TITLE_CHARS]
            session = Session(turn.session_key, site_id, title, turn.at, self._clock(), turns=1)
            self._store.add_session(tenant, owner, session, asker.kind)
            return
        counted = self._store.count_turn(tenant, owner, turn.session_key, self._clock())
        if counted and _weeks(counted) > _weeks(conversation.session):
            self._store.list_on(tenant, owner, counted, asker.kind)
        if counted and counted.turns - counted.summarized > WINDOW:
            try:
                self._queue.put(tenant, owner, turn.session_key, asker.trace_id)
            except Exception as error:  # the next turn asks again
                _log.warning("summary not queued: %s", type(error).__name__)

    def get(self, asker: Asker, session_key: str) -> Session:
        """One's own session. Raises NotFound."""
        key, owner = _canonical(session_key), owner_hash(asker.principal)
        session = self._store.session(asker.tenant_id, owner, key, self._clock())
        if session is None or not self._has_site(asker, session):
            raise NotFound(_MISSING)
        return session

    def turns(self, asker: Asker, session_key: str, limit: int = 50) -> list[Turn]:
        """The newest turns of one's own session, oldest first."""
        session = self.get(asker, session_key)
        return self._store.turns(asker.tenant_id, owner_hash(asker.principal), session.session_key, limit)

    def page(self, asker: Asker, limit: int, before: str | None) -> tuple[list[Session], str | None]:
        """One's own sessions, the latest begun first, and where to go on."""
        owner = owner_hash(asker.principal)
        found, following = self._store.sessions(asker.tenant_id, owner, limit, before, self._clock())
        return [each for each in found if self._has_site(asker, each)], following

    def delete(self, asker: Asker, session_key: str) -> None:
        """Remove one's own session with all its turns. Raises NotFound."""
        session = self.get(asker, session_key)
        self._store.delete_session(asker.tenant_id, owner_hash(asker.principal), session)

    def stored_turn(self, asker: Asker, record: UsageRecord) -> Turn | None:
        """The turn that a request of one's own left behind."""
        owner = owner_hash(asker.principal)
        return self._store.turn(asker.tenant_id, owner, record.session_key, record.request_id)

    def _has_site(self, asker: Asker, session: Session) -> bool:
        try:
            self._sites.get(asker.tenant_id, session.site_id)
        except NotFound:
            return False
        return True


def _weeks(session: Session) -> int:
    return int((session.last_prompt_at - session.created_at) // LISTED_SECONDS)


def _canonical(session_key: str) -> str:
    """The key as it is stored. Raises NotFound for what never was one."""
    try:
        return str(uuid.UUID(session_key))
    except ValueError:
        raise NotFound(_MISSING) from None


_MISSING = "There is no such session"
