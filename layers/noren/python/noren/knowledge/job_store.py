"""Jobs and their pages.

Each step is one transaction with the job's own counters, and each page leaves `waiting` once. So a message that comes
twice, late or out of order changes nothing a second time, and `left` is the number of waiting pages always. Whoever
works for an attempt that is over changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from time import sleep
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId, is_id
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.items import (
    job_item,
    job_key,
    jobs_key,
    made_of,
    open_item,
    open_key,
    page_item,
    page_key,
    pages_key,
)
from noren.knowledge.models import PLAN, Document, IndexPointer, Job, JobPage, JobStatus, PageEnd
from noren.knowledge.row_store import Position, RowStore
from noren.tables import Item, batch_get, from_item, insistently, is_conflict, is_refused
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT_ONCE = 49
"""Pages added or revived in one transaction, which may have a hundred writes: of each, and of what counts them."""
_OPEN = "#status IN (:queued, :running, :publishing)"
_OPEN_VALUES = {f":{each}": each for each in ("queued", "running", "publishing")}


class JobStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str, documents: DocumentStore) -> None:
        self._client, self._rows, self._documents = client, RowStore(client, table), documents

    # Jobs

    def start(self, job: Job, also: Sequence[Any] = ()) -> None:
        """Store a new job with its plan still to be made, and `also` what goes with it: all or none. Raises Refused
        where a condition of that fails.
        """
        plan = page_item(job, JobPage(PLAN, job.source, ""))
        made = self._rows.new(job_item(job)), self._rows.new(plan), self._rows.put(open_item(job))
        transact(self._client, [*made, *also])

    def begin_refresh(self, job: Job, also: Sequence[Any]) -> bool:
        """Store a job that publishes what there is, and `also` what goes with it; False where a condition fails."""
        try:
            transact(self._client, [self._rows.new(job_item(job)), self._rows.put(open_item(job)), *also])
        except Refused:
            return False
        return True

    def remove_document(self, document: Document, job: Job) -> bool:
        """Delete a document and store the job that publishes without it; False where the document has changed."""
        return self.begin_refresh(job, [self._documents.removing(document)])

    def get(self, tenant_id: TenantId, job_id: str) -> Job | None:
        """The job as it is now, or None."""
        item = self._rows.get({"pk": jobs_key(tenant_id), "sk": job_id}) if is_id(job_id, "job") else None
        return made_of(Job, item) if item else None

    def some(
        self, tenant_id: TenantId, site_id: str | None, limit: int, position: Position | None
    ) -> tuple[list[Job], Position | None]:
        """Some jobs, of a site or of all, the newest first, and where to go on."""
        only = {"site_id": site_id} if site_id else None
        items, following = self._rows.page(jobs_key(tenant_id), limit, position, newest=True, only=only)
        return [made_of(Job, each) for each in items], following

    def unfinished(self) -> Iterator[tuple[TenantId, str]]:
        """Jobs to be looked after."""
        for item in self._rows.every(open_key()):
            yield TenantId(item["tenant_id"]), item["job_id"]

    def begin(self, job: Job, now: float) -> bool:
        """A job is at work; False where it has ended."""
        update = "SET #status = :running, #started_at = if_not_exists(#started_at, :now), #moved_at = :now"
        values = {":queued": "queued", ":running": "running", ":now": int(now)}
        return self._change(job, update, "#status IN (:queued, :running)", values) is not None

    def touch(self, job: Job, now: float) -> bool:
        """Note that a job has been asked for again; False where it has moved or ended meanwhile."""
        values = {":read": int(job.moved_at), ":now": int(now)} | _OPEN_VALUES
        return self._change(job, "SET #moved_at = :now", f"#moved_at = :read AND {_OPEN}", values) is not None

    def cancel(self, job: Job, now: float, error: str = "") -> bool:
        """End a job where it stands, with an `error` where it was not its owner's wish; False where it has ended."""
        values = {":cancelled": "cancelled", ":now": int(now), ":error": error} | _OPEN_VALUES
        update = "SET #status = :cancelled, #ended_at = :now, #moved_at = :now, #error = :error"
        return self._change(job, update, _OPEN, values) is not None

    def retry(self, job: Job, now: float, also: Sequence[Any] = ()) -> bool:
        """Have an ended job do, in a further attempt, what it did not, and `also` what goes with it; False where it has
        gone on already, or a condition of that fails.
        """
        plan = self.page(job, PLAN)
        if plan is None:
            return False
        values = {":one": 1, ":queued": "queued", ":now": int(now), ":read": job.attempt, ":blank": "", ":none": 0}
        values |= {":status": job.status, ":more": 0 if plan.status == "waiting" else 1}
        again = self._rows.update(
            job_key(job),
            "SET #status = :queued, #attempt = #attempt + :one, #left = #left + :more, #tries = :none,"
            " #moved_at = :now, #error = :blank REMOVE #ended_at",
            "#attempt = :read AND #status = :status",
            values,
        )
        planned = self._rows.update(
            page_key(job, PLAN),
            "SET #status = :waiting, #attempts = :none, #due_at = :none",
            "#status = :read",
            {":waiting": "waiting", ":none": 0, ":read": plan.status},
        )
        following = self._rows.put(open_item(replace(job, attempt=job.attempt + 1)))
        try:
            transact(self._client, [{"Update": again}, {"Update": planned}, following, *also])
        except Refused:
            return False
        return True

    def forget(self, job: Job) -> None:
        """A job has ended, and that has been told: unless it goes on, nobody need look after it."""
        key = {name: open_item(job)[name] for name in ("pk", "sk")}
        try:
            deletion: Any = self._rows.delete(key, "attempt = :mine", {":mine": job.attempt})["Delete"]
            self._client.delete_item(**deletion)
        except Exception as error:
            if not is_refused(error):
                raise

    # Pages

    def page(self, job: Job, page_id: str) -> JobPage | None:
        """The page as it is now, or None."""
        item = self._rows.get(page_key(job, page_id))
        return made_of(JobPage, item) if item else None

    def pages(self, job: Job) -> Iterator[JobPage]:
        """All pages of a job as they are now, its plan left out."""
        for item in self._rows.every(pages_key(job)):
            if item["sk"] != PLAN:
                yield made_of(JobPage, item)

    def some_pages(self, job: Job, limit: int, position: Position | None) -> tuple[list[JobPage], Position | None]:
        """Some pages of a job, and where to go on."""
        items, following = self._rows.page(pages_key(job), limit, position)
        return [made_of(JobPage, each) for each in items if each["sk"] != PLAN], following

    def unasked(self, job: Job, after: str) -> JobPage | None:
        """The next page by its id, and round again, that waits and was never put off; None where there is none. It may
        have been asked for just now.
        """
        for position in ({"sk": after}, None):
            some, _ = self._rows.page(pages_key(job), 2, position, only={"status": "waiting", "due_at": 0})
            for item in some:
                if item["sk"] != PLAN:
                    return made_of(JobPage, item)
        return None

    def add_pages(self, job: Job, pages: Sequence[JobPage]) -> None:
        """Add those pages that the job does not have. Raises Refused (0,) where it is not running any more."""
        for start in range(0, len(pages), AT_ONCE):
            some = pages[start : start + AT_ONCE]
            keys = [page_key(job, each.page_id) for each in some]
            known = {each["sk"] for each in batch_get(self._client, self._rows.table, keys)}
            new = [self._rows.new(page_item(job, each)) for each in some if each.page_id not in known]
            if new:
                count = self.counting(job, "ADD #found :by, #left :by", {":by": len(new)})
                transact(self._client, [count, *new])

    def revive(self, job: Job, pages: Sequence[JobPage]) -> None:
        """Have failed pages done again. Raises Refused: (0,) the job is not running, else a page has not failed."""
        values = {":waiting": "waiting", ":failed": "failed", ":none": 0, ":blank": ""}
        update = "SET #status = :waiting, #attempts = :none, #reason = :blank, #due_at = :none"
        for start in range(0, len(pages), AT_ONCE):
            some = pages[start : start + AT_ONCE]
            reasons = Counter(each.reason for each in some)
            fewer = ", ".join(counted(each, f":fewer_{each}") for each in reasons)
            counts = {":by": len(some), ":minus": -len(some), ":zero": 0}
            counts |= {f":fewer_{each}": -count for each, count in reasons.items()}
            count = self.counting(job, f"ADD #left :by, #failed :minus SET {fewer}", counts)
            again = [
                self._rows.update(page_key(job, each.page_id), update, "#status = :failed", values) for each in some
            ]
            transact(self._client, [count, *({"Update": each} for each in again)])

    def take_page(self, job: Job, page: JobPage) -> int | None:
        """Count one more attempt at a page; how many there have been. None where it is not waiting any more."""
        values = {":one": 1, ":waiting": "waiting"}
        done = self._updated(page_key(job, page.page_id), "ADD #attempts :one", "#status = :waiting", values)
        return int(done["attempts"]) if done else None

    def end_page(self, job: Job, page: JobPage, end: PageEnd, now: float) -> None:
        """Note what has become of a page, once, with its document and the job's counters: all or none.

        Raises Refused: (0,) the page was not waiting, (1,) the job is not running, (2,) the document has changed.
        """
        document = end.document
        chunks, tokens = (document.chunk_count, document.token_count) if document else (0, 0)
        through = self._rows.update(
            page_key(job, page.page_id),
            "SET #status = :outcome, #reason = :reason, #chunks = :chunks, #tokens = :tokens, #document_id = :document",
            "#status = :waiting",
            {":waiting": "waiting", ":outcome": end.outcome, ":reason": end.reason, ":chunks": chunks}
            | {":tokens": tokens, ":document": end.document_id},
        )
        counts = {":one": 1, ":minus": -1, ":chunks": chunks, ":tokens": tokens, ":now": int(now)}
        update = f"ADD #{end.outcome} :one, #left :minus, #chunks :chunks, #tokens :tokens SET #moved_at = :now"
        if end.reason:
            counts[":zero"] = 0
            update += f", {counted(end.reason, ':one')}"
        writes = [{"Update": through}, self.counting(job, update, counts)]
        if document:
            writes.append(self._documents.next_version(document))
        elif end.noted:
            writes.append(self._documents.noting(end.noted))
        transact(self._client, writes)

    def postpone(self, job: Job, page: JobPage, due_at: float, *, has_slot: bool = False, reason: str = "") -> bool:
        """Note that nobody need look at a page before; False where it is not waiting any more."""
        values = {":due": int(due_at), ":slot": has_slot, ":reason": reason, ":waiting": "waiting"}
        update = "SET #due_at = :due, #has_slot = :slot, #reason = :reason"
        return self._updated(page_key(job, page.page_id), update, "#status = :waiting", values) is not None

    def end_plan(self, job: Job, now: float, error: str = "") -> None:
        """A job's pages are known; with an `error` they could not be.

        Raises Refused: (0,) that was noted already, (1,) the job is not running.
        """
        values = {":waiting": "waiting", ":through": "failed" if error else "changed"}
        through = self._rows.update(page_key(job, PLAN), "SET #status = :through", "#status = :waiting", values)
        update = "ADD #left :minus SET #moved_at = :now, #error = :error"
        counting = self.counting(job, update, {":minus": -1, ":now": int(now), ":error": error})
        transact(self._client, [{"Update": through}, counting])

    # Publishing

    def begin_publishing(self, job: Job, now: float, error: str) -> bool:
        """All pages are through, with an `error` where the job will have failed; False where that is not so, or
        somebody else has seen it first.
        """
        values = {":publishing": "publishing", ":running": "running", ":now": int(now), ":none": 0, ":error": error}
        update = "SET #status = :publishing, #moved_at = :now, #error = :error"
        return self._change(job, update, "#status = :running AND #left = :none", values) is not None

    def try_publishing(self, job: Job, now: float, seconds: float) -> int | None:
        """Count one more try of publishing; how many there have been.

        None where the job is not at it, or somebody has begun a try less than `seconds` ago.
        """
        values = {":one": 1, ":now": int(now), ":publishing": "publishing", ":none": 0, ":before": int(now - seconds)}
        condition = "#status = :publishing AND (#tries = :none OR #tried_at <= :before)"
        done = self._change(job, "ADD #tries :one SET #moved_at = :now, #tried_at = :now", condition, values)
        return int(done["tries"]) if done else None

    def count_vectors(self, job: Job, chunks: int, tokens: int, cost_usd: Decimal, now: float) -> bool:
        """Count vectors that a publication was billed for. It has come on by them: its tries begin anew.

        False where the job is not at it any more.
        """
        counts = {":chunks": chunks, ":tokens": tokens, ":cost": cost_usd, ":now": int(now), ":one": 1, ":zero": 0}
        update = "ADD #embedded_chunks :chunks, #embedding_tokens :tokens, #cost_usd :cost"
        update += " SET #tries = :one, #moved_at = :now"
        self._change(job, update, "#tries >= :zero", counts)
        now_is = self.get(job.tenant_id, job.job_id)
        return now_is is not None and (now_is.status, now_is.attempt) == ("publishing", job.attempt)

    def put_off(self, job: Job, now: float) -> bool:
        """A publication is to be gone on with by whoever comes next; False where the job is not at it any more."""
        values = {":publishing": "publishing", ":never": 0, ":now": int(now)}
        update = "SET #tried_at = :never, #moved_at = :now"
        return self._change(job, update, "#status = :publishing", values) is not None

    def take_back_try(self, job: Job) -> None:
        """A try of publishing was none. The first one stays: none at all would be begun at once."""
        self._change(job, "ADD #tries :minus", "#tries > :one", {":minus": -1, ":one": 1})

    def end(self, job: Job, status: JobStatus, now: float, *, error: str = "", index_version: int) -> bool:
        """End a job that publishes, with the index that is current; False where it has ended."""
        try:
            transact(self._client, [self._ending(job, status, now, error, index_version)])
        except Refused:
            return False
        return True

    def publish(
        self, job: Job, old: IndexPointer | None, new: IndexPointer, status: JobStatus, now: float, *, error: str
    ) -> None:
        """Make an index current in place of the one that was read, and end the job: both or neither.

        Raises Refused: (0,) another index has become current, (1,) the job has ended.
        """
        moving = self._documents.moving(job.tenant_id, job.site_id, old, new)
        transact(self._client, [moving, self._ending(job, status, now, error, new.version)])

    # Parts of transactions

    def counting(self, job: Job, update: str, values: Item, condition: str = "") -> dict[str, Any]:
        """A change of a running job's counters, where a condition holds."""
        values = values | {":running": "running", ":attempt": job.attempt}
        is_running = "#status = :running AND #attempt = :attempt" + (f" AND {condition}" if condition else "")
        return {"Update": self._rows.update(job_key(job), update, is_running, values)}

    def _ending(self, job: Job, status: JobStatus, now: float, error: str, index_version: int) -> dict[str, Any]:
        values = {":status": status, ":publishing": "publishing", ":now": int(now), ":error": error}
        values |= {":version": index_version, ":attempt": job.attempt}
        update = "SET #status = :status, #ended_at = :now, #moved_at = :now, #error = :error, #index_version = :version"
        condition = "#status = :publishing AND #attempt = :attempt"
        return {"Update": self._rows.update(job_key(job), update, condition, values)}

    def _change(self, job: Job, update: str, condition: str, values: Item) -> Item | None:
        """Change a job, in this attempt, where a condition holds; what was changed, or None."""
        values = values | {":attempt": job.attempt}
        return self._updated(job_key(job), update, f"#attempt = :attempt AND {condition}", values)

    def _updated(self, key: Item, update: str, condition: str, values: Item) -> Item | None:
        try:
            options = self._rows.update(key, update, condition, values)
            done = insistently(
                lambda: self._client.update_item(**options, ReturnValues="UPDATED_NEW"), cures=is_conflict, sleep=sleep
            )
        except Exception as error:
            if is_refused(error):
                return None
            raise
        return from_item(done["Attributes"])


def counted(reason: str, by: str) -> str:
    """The part of an update that counts pages under a reason; needs the value `:zero`."""
    return f"#reasons.#{reason} = if_not_exists(#reasons.#{reason}, :zero) + {by}"
