"""A site's canned responses: edited by its owner, matched before any model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from noren.cache import TtlCache
from noren.clock import Clock
from noren.errors import BadRequest, Conflict, NotFound
from noren.ids import TenantId, is_id, new_id
from noren.sites.canned_match import Matcher, check_patterns
from noren.sites.canned_models import MOST_REGEXES, MOST_RESPONSES, CannedResponse, Match, Pattern
from noren.sites.canned_store import RESTORABLE_SECONDS, CannedStore
from noren.sites.models import Site
from noren.sites.phrases import normalized
from noren.tenants.store import Refused

CACHED_SECONDS = 30
CACHED_SITES = 200
_MISSING = "There is no such canned response"
_CHANGED = "Somebody else changed this canned response. Load it again, then repeat your change."
_FULL = (
    f"A site has at most {MOST_RESPONSES} canned responses, with {MOST_REGEXES} regular expressions among their "
    "patterns. Delete what is not needed, or join responses that give the same answer."
)


class CannedResponses:
    """Whoever calls has seen to it that the site is the tenant's and that the actor may."""

    def __init__(self, store: CannedStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._sets: TtlCache[tuple[TenantId, str], Matcher] = TtlCache(CACHED_SECONDS, clock, CACHED_SITES)

    # For whoever asks

    def is_known(self, site: Site) -> bool:
        """Whether `match` would answer from memory."""
        return self._sets.fresh((site.tenant_id, site.site_id)) is not None

    def match(self, site: Site, question: str) -> Match:
        """What the site has to say to a question, as it was at most 30 s ago."""
        return self.set_of(site).match(question)

    def set_of(self, site: Site) -> Matcher:
        """The site's enabled responses, as they were at most 30 s ago. That there are none is remembered too."""
        tenant_id, site_id = site.tenant_id, site.site_id
        return self._sets.get((tenant_id, site_id), lambda: Matcher(self._store.all(tenant_id, site_id)))

    def hit(self, tenant_id: TenantId, site_id: str, canned_id: str) -> None:
        """Count that a response was given. Raises NotFound."""
        if not is_id(canned_id, "can") or not self._store.hit(tenant_id, site_id, canned_id):
            raise NotFound(_MISSING)

    # For the owner

    def page(
        self, tenant_id: TenantId, site_id: str, limit: int, before: str | None, *, deleted: bool = False
    ) -> tuple[list[CannedResponse], str | None]:
        """A site's responses, the newest first, and where to go on; or those that can be restored."""
        return self._store.page(tenant_id, site_id, limit, before, deleted=deleted)

    def get(self, tenant_id: TenantId, site_id: str, canned_id: str) -> CannedResponse:
        """The response as it is now. Raises NotFound, also for a deleted one."""
        found = self._store.get(tenant_id, site_id, canned_id) if is_id(canned_id, "can") else None
        if found is None:
            raise NotFound(_MISSING)
        return found

    def create(
        self,
        tenant_id: TenantId,
        site_id: str,
        patterns: Sequence[Pattern],
        answer: str,
        actor: str,
        *,
        questions: Sequence[str] = (),
        enabled: bool = True,
    ) -> CannedResponse:
        """A further response. Raises BadRequest for a pattern that is no good, Conflict (`too_many`)."""
        now = self._clock()
        made = CannedResponse(
            canned_id=new_id("can", now),
            tenant_id=tenant_id,
            site_id=site_id,
            patterns=tuple(patterns),
            answer=answer,
            created_at=now,
            questions=tuple(questions),
            enabled=enabled,
            created_by=actor,
        )
        _check(made)
        try:
            self._store.add(made)
        except Refused as refused:
            raise _no_room(refused, count_at=1) from None
        self._forget(made)
        return made

    def change(
        self,
        tenant_id: TenantId,
        site_id: str,
        canned_id: str,
        given: Mapping[str, Any],
        actor: str,
        version: int | None = None,
    ) -> CannedResponse:
        """Change `patterns`, `questions`, `answer` or `enabled`. `version`: only if it still is that one.

        Raises NotFound, BadRequest, Conflict.
        """
        old = self.get(tenant_id, site_id, canned_id)
        if version is not None and version != old.version:
            raise Conflict(_CHANGED)
        new = replace(old, **given)
        if new == old:
            return old
        _check(new)
        new = replace(new, version=old.version + 1, updated_at=self._clock(), updated_by=actor)
        try:
            self._store.change(old, new)
        except Refused as refused:
            raise _no_room(refused, count_at=1) from None
        self._forget(new)
        return new

    def delete(self, tenant_id: TenantId, site_id: str, canned_id: str, actor: str) -> None:
        """Take a response away; it can be restored for 30 days. Raises NotFound, Conflict."""
        old, now = self.get(tenant_id, site_id, canned_id), self._clock()
        gone = replace(old, version=old.version + 1, deleted_at=now, deleted_by=actor)
        try:
            self._store.delete(old, gone)
        except Refused:
            raise Conflict(_CHANGED) from None
        self._forget(old)

    def restore(self, tenant_id: TenantId, site_id: str, canned_id: str, actor: str) -> CannedResponse:
        """Bring a deleted response back. Raises NotFound, Conflict."""
        gone = self._store.get(tenant_id, site_id, canned_id, deleted=True) if is_id(canned_id, "can") else None
        if gone is None or self._clock() - (gone.deleted_at or 0) >= RESTORABLE_SECONDS:
            self.get(tenant_id, site_id, canned_id)
            raise Conflict("This canned response is not deleted.", code="not_deleted")
        undeleted = replace(gone, deleted_at=None, deleted_by="")
        back = replace(undeleted, version=gone.version + 1, updated_at=self._clock(), updated_by=actor)
        try:
            self._store.restore(gone, back)
        except Refused as refused:
            raise _no_room(refused, count_at=2) from None
        self._forget(back)
        return back

    def _forget(self, response: CannedResponse) -> None:
        self._sets.drop((response.tenant_id, response.site_id))


def _check(response: CannedResponse) -> None:
    check_patterns(response.patterns)
    blank = [index for index, each in enumerate(response.questions) if not normalized(each)]
    if blank:
        raise BadRequest(errors=[{"field": f"questions.{index}", "message": "write words"} for index in blank])


def _no_room(refused: Refused, count_at: int) -> Conflict:
    return Conflict(_FULL, code="too_many") if refused.failed == (count_at,) else Conflict(_CHANGED)
