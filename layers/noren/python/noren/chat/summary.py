"""Rolling summaries: older turns of a long conversation, told in a few sentences by the tenant's own model."""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING

from noren.chat.admission import is_open
from noren.chat.models import Session, Turn
from noren.chat.prompt import build_summary_prompt
from noren.chat.routing import site_route
from noren.chat.store import SessionStore
from noren.clock import Clock
from noren.errors import NorenError, NotFound, UpstreamFailed
from noren.ids import TenantId, new_id
from noren.llm.models import Delta
from noren.llm.router import Router
from noren.plans.service import Plans
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.tenants.models import Tenant
from noren.tenants.service import Tenants
from noren.usage.models import UsageRecord
from noren.usage.service import Usage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

KEEP = 4
"""Newest turns that stay out of the summary."""
MOST_TURNS = 40
"""Turns taken into one summary."""


class SummaryQueue:
    """Where sessions that need a new summary are put."""

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url
        self._client: SQSClient | None = None
        self._making = Lock()

    def put(self, tenant_id: TenantId, owner: str, session_key: str, trace_id: str) -> None:
        """Ask for one. Asking twice is harmless."""
        body = {"tenant_id": tenant_id, "owner": owner, "session_key": session_key, "trace_id": trace_id}
        self._sqs().send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(body))

    def _sqs(self) -> SQSClient:
        with self._making:  # chats run in threads, and boto3's making of clients is not safe in them
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
                self._client = boto3.client("sqs", config=config)
            return self._client


class Summaries:
    """Makes what was asked for. Repeats and overlaps leave one summary, and a usage record per model call."""

    def __init__(
        self,
        *,
        tenants: Tenants,
        plans: Plans,
        sites: Sites,
        usage: Usage,
        router: Router,
        sessions: SessionStore,
        clock: Clock,
    ) -> None:
        self._tenants, self._plans, self._sites, self._usage = tenants, plans, sites, usage
        self._router, self._sessions, self._clock = router, sessions, clock

    def renew(self, tenant_id: TenantId, owner: str, session_key: str, trace_id: str, *, seconds: float = 60.0) -> bool:
        """Bring a session's summary up to its newest turns but `KEEP`; False where there was nothing to do.

        The model is given `seconds`.
        Raises NorenError when no model answered: the queue tries again later.
        """
        session = self._sessions.session(tenant_id, owner, session_key, self._clock())
        try:
            tenant = self._tenants.get(tenant_id)
            site = self._sites.get(tenant_id, session.site_id) if session else None
        except NotFound:
            return False  # deleted meanwhile
        if session is None or site is None or not is_open(tenant, site):
            return False
        turns = self._sessions.turns(
            tenant_id, owner, session_key, MOST_TURNS + KEEP, after=session.summary_upto, newest=False
        )
        covered = turns[:-KEEP]
        if not covered:
            return False
        text = self._ask(tenant, site, session, covered, trace_id, seconds)
        if not text:
            raise UpstreamFailed("The model gave an empty summary")
        upto = covered[-1].request_id
        return self._sessions.put_summary(tenant_id, owner, session, text, upto, len(covered)) is not None

    def _ask(
        self, tenant: Tenant, site: Site, session: Session, turns: list[Turn], trace_id: str, seconds: float
    ) -> str:
        route = site_route(self._plans.entitlement(tenant), site)
        profile = self._sites.prompts.of_use(tenant.tenant_id, "summary")
        told = profile.for_session(session.session_key) if profile else None
        now = self._clock()
        record = UsageRecord(
            request_id=new_id("req", now),
            tenant_id=tenant.tenant_id,
            site_id=site.site_id,
            occurred_at=now,
            source="summary",
            chats=0,
            caller="summary",
            session_key=session.session_key,
            trace_id=trace_id,
        )
        if told:
            record.prompt_profile, record.prompt_version = told.profile_id, told.version
            record.experiment_id, record.prompt_arm = told.experiment_id, told.arm
        said = [(turn.message, turn.answer) for turn in turns]
        prompt = build_summary_prompt(session.summary_text, said, route.context_window, told.content if told else None)
        parts: list[str] = []
        try:
            for event in self._router.stream(
                route, prompt, record, lambda: False, deadline=now + seconds, purpose="summary"
            ):
                if isinstance(event, Delta):
                    parts.append(event.text)
        except NorenError as error:
            record.status, record.error_code = "failed", error.code
            raise
        finally:
            record.total_ms = round((self._clock() - now) * 1000)
            if record.calls:
                self._usage.put_uncharged(record)
        return "".join(parts).strip()
