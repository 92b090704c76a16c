"""What only crawls store: pages that were found on pages, within a job's bounds, and whose turn it is on a site.

`JOBV#<tenant>#<job>` / digest: how many queries of one path a job has; / `REFUSED#` and a page's id: one that is
therefore left out. `IDX#<tenant>#<site>` / `CRAWL`: the site's latest crawl, of which one at a time may be open.
`EXPIRIES` / day, tenant and site: when documents expire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.knowledge.crawl.scope import MAX_VARIANTS, variant_key
from noren.knowledge.items import crawl_key, page_item, page_key, pages_end, refused_key, variants_key
from noren.knowledge.job_store import AT_ONCE, JobStore, counted
from noren.knowledge.models import Job, JobPage
from noren.knowledge.row_store import RowStore
from noren.tables import batch_get, platform_key, to_item
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

JOBS_REMEMBERED = 8
"""Of which one process remembers the pages."""
DAY = 86_400
ROUNDS = 20
"""How often to look again because others have added pages meanwhile."""


class CrawlStore:
    """Reads and writes; decides nothing but what keeps a job within its bounds."""

    def __init__(self, client: DynamoDBClient, table: str, jobs: JobStore) -> None:
        self._client, self._rows, self._jobs = client, RowStore(client, table), jobs
        self._met: dict[str, set[str]] = {}

    def add_pages(self, job: Job, pages: Sequence[JobPage], *, listed: bool = False) -> list[JobPage]:
        """Add those pages that the job does not have, while there is room for more; those that were added.

        Only so many queries of one path are added; those `listed` (known before, or in a sitemap) count as such, but
        all of them are. Raises Refused where the job is not running any more.
        """
        added, met = list[JobPage](), self._met_of(job)
        once: dict[str, JobPage] = {}
        for each in pages:
            once.setdefault(each.page_id, each)  # a transaction may write to an item only once
        new = [each for each in once.values() if each.page_id not in met]
        for start in range(0, len(new), AT_ONCE):
            added += self._add(job, new[start : start + AT_ONCE], listed)
        return added

    def narrow(self, job: Job, max_pages: int) -> None:
        """Give a running job room for so many pages only. Raises Refused where it is not running any more."""
        transact(self._client, [self._jobs.counting(job, "SET #max_pages = :most", {":most": max_pages})])

    def leave_out(self, job: Job, page: JobPage, reason: str) -> None:
        """Count a page that was learnt as skipped after all. Raises Refused where it is counted otherwise already."""
        through = self._rows.update(
            page_key(job, page.page_id),
            "SET #status = :skipped, #reason = :reason, #chunks = :none, #tokens = :none",
            "#status = :read",
            {":skipped": "skipped", ":reason": reason, ":none": 0, ":read": page.status},
        )
        values = {":one": 1, ":minus": -1, ":zero": 0, ":chunks": -page.chunks, ":tokens": -page.tokens}
        update = f"ADD #{page.status} :minus, #skipped :one, #chunks :chunks, #tokens :tokens"
        update += f" SET {counted(reason, ':one')}"
        transact(self._client, [{"Update": through}, self._jobs.counting(job, update, values)])

    def forgive(self, job: Job, page: JobPage, restoring: Any) -> None:
        """Count a page that was missed as skipped, and restore its document. Raises Refused: (0,) that is done,
        (1,) the job has moved on, (2,) the document has changed.
        """
        values = {":read": page.status, ":skipped": "skipped", ":document": page.document_id, ":blank": ""}
        update = "SET #status = :skipped, #document_id = :blank"
        condition = "#status = :read AND #document_id = :document"
        through = self._rows.update(page_key(job, page.page_id), update, condition, values)
        removed = int(page.status == "removed")
        counting = self._jobs.counting(
            job, "ADD #removed :minus, #skipped :removed", {":minus": -removed, ":removed": removed}
        )
        transact(self._client, [{"Update": through}, counting, restoring])

    def note_expiries(self, job: Job, times: Iterable[float]) -> None:
        """Note that documents of a job's site expire then, each on the day after."""
        for day in sorted({int(each // DAY + 1) * DAY for each in times}):
            key = {"pk": _expiries_key(), "sk": f"{day:012d}#{job.tenant_id}#{job.site_id}"}
            item = key | {"tenant_id": job.tenant_id, "site_id": job.site_id}
            self._client.put_item(TableName=self._rows.table, Item=to_item(item))

    def expired(self, now: float) -> Iterator[Expiry]:
        """The notes whose time has come, the oldest first."""
        for item in self._rows.until(_expiries_key(), f"{int(now) + 1:012d}"):
            yield Expiry(TenantId(item["tenant_id"]), item["site_id"], item["sk"])

    def forgetting(self, expiry: Expiry) -> dict[str, Any]:
        """The removal of a note that is still there, as a part of a transaction."""
        return self._rows.delete({"pk": _expiries_key(), "sk": expiry.sk}, "attribute_exists(pk)", {})

    def forget(self, expiry: Expiry) -> None:
        """Remove a note of which nothing follows."""
        transact(self._client, [self._rows.delete({"pk": _expiries_key(), "sk": expiry.sk}, "", {})])

    def latest(self, tenant_id: TenantId, site_id: str) -> str:
        """The id of the site's latest crawl, "" where there was none."""
        item = self._rows.get(crawl_key(tenant_id, site_id))
        return str(item["job_id"]) if item else ""

    def taking_turn(self, job: Job, after: str) -> dict[str, Any]:
        """The put, as a part of a transaction, of a job as its site's latest crawl, after the one that was read."""
        item = crawl_key(job.tenant_id, job.site_id) | {"job_id": job.job_id}
        return self._rows.put(item, "job_id = :read", {":read": after}) if after else self._rows.new(item)

    def _add(self, job: Job, some: Sequence[JobPage], listed: bool) -> list[JobPage]:
        for _ in range(ROUNDS):
            met = self._met_of(job)
            keys = [page_key(job, each.page_id) for each in some]
            met |= {each["sk"] for each in batch_get(self._client, self._rows.table, keys)}
            some = [each for each in some if each.page_id not in met]
            if not some:
                return []
            now = self._jobs.get(job.tenant_id, job.job_id)
            if now is None or now.status != "running" or now.attempt != job.attempt:
                raise Refused((0,))
            admitted = self._admitted(job, some, listed)
            self._count_refused(job, [each for each in some if each not in admitted.pages])
            room = max(now.max_pages - now.found, 0)
            if len(admitted.pages) > room:
                if not now.is_cut:
                    transact(self._client, [self._jobs.counting(job, "SET #is_cut = :true", {":true": True})])
                some = admitted.pages[:room]
                admitted = self._admitted(job, some, listed)
            if not admitted.pages:
                return []
            count = len(admitted.pages)
            values = {":by": count, ":most": now.max_pages - count}
            counting = self._jobs.counting(job, "ADD #found :by, #left :by", values, "#found <= :most")
            puts = [self._rows.new(page_item(job, each)) for each in admitted.pages]
            try:
                transact(self._client, [counting, *puts, *admitted.counts])
            except Refused as refused:
                others = {admitted.pages[at - 1].page_id for at in refused.failed if 1 <= at <= count}
                some = [each for each in some if each.page_id not in others]
                continue
            return admitted.pages
        raise RuntimeError("the pages of a job do not stand still")

    def _admitted(self, job: Job, pages: Sequence[JobPage], listed: bool) -> _Admitted:
        """Those of the pages that are within their path's number of queries, or all that are listed."""
        groups: defaultdict[str, list[JobPage]] = defaultdict(list)
        for each in pages:
            groups[variant_key(each.source) or ""].append(each)
        keys = {path: variants_key(job, path) for path in groups if path}
        counts = {each["sk"]: each["seen"] for each in batch_get(self._client, self._rows.table, list(keys.values()))}
        kept, updates = groups.pop("", []), list[Any]()
        for path, those in groups.items():
            room = len(those) if listed else max(MAX_VARIANTS - counts.get(keys[path]["sk"], 0), 0)
            if some := those[:room]:
                kept += some
                values = {":by": len(some), ":end": pages_end(job)}
                values |= {} if listed else {":most": MAX_VARIANTS - len(some)}
                update = "ADD #seen :by SET #expires_at = :end"
                condition = "" if listed else "attribute_not_exists(pk) OR #seen <= :most"
                updates.append({"Update": self._rows.update(keys[path], update, condition, values)})
        return _Admitted(kept, updates)

    def _count_refused(self, job: Job, pages: Sequence[JobPage]) -> None:
        """Count pages that their path's number of queries leaves out: each once, however often it is linked. Raises
        Refused where the job is not running any more.
        """
        met = self._met_of(job)
        keys = {each.page_id: refused_key(job, each.page_id) for each in pages}
        known = {each["sk"] for each in batch_get(self._client, self._rows.table, list(keys.values()))}
        new = [self._rows.new(key | {"expires_at": pages_end(job)}) for key in keys.values() if key["sk"] not in known]
        if new:
            values = {":by": len(new), ":zero": 0}
            counting = self._jobs.counting(job, f"SET {counted('too_many_queries', ':by')}", values)
            try:
                transact(self._client, [counting, *new])
            except Refused as refused:
                if 0 in refused.failed:
                    raise
                return  # others count some of them now; the rest when they are met again
        met |= keys.keys()

    def _met_of(self, job: Job) -> set[str]:
        """Pages that a job is known to have, which it keeps: on most sites every page links to the same others."""
        if job.job_id not in self._met and len(self._met) >= JOBS_REMEMBERED:
            del self._met[next(iter(self._met))]
        return self._met.setdefault(job.job_id, set())


@dataclass(frozen=True, slots=True)
class Expiry:
    """A note that documents of a site expire."""

    tenant_id: TenantId
    site_id: str
    sk: str


@dataclass(frozen=True, slots=True)
class _Admitted:
    pages: list[JobPage]
    counts: list[Any]
    """What is counted with them."""


def _expiries_key() -> str:
    return platform_key("EXPIRIES")
