"""Rows of a site that is removed for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from noren.ids import TenantId
from noren.knowledge.items import documents_key, job_key, jobs_key, made_of, open_item, pages_key, pointer_key
from noren.knowledge.models import Job
from noren.knowledge.row_store import Position, RowStore
from noren.knowledge.schedule_store import ScheduleStore
from noren.tables import Item, batch_write, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT_ONCE = 25
JOBS_AT_ONCE = 100


class KnowledgePurgeStore:
    """Each removal may be repeated."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        schedules: ScheduleStore,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._rows, self._schedules, self._sleep = client, RowStore(client, table), schedules, sleep

    def remove_documents(self, tenant_id: TenantId, site_id: str) -> None:
        """Remove which index is current, and the documents: from now on the site knows nothing."""
        for pk in (pointer_key(tenant_id, site_id)["pk"], documents_key(tenant_id, site_id)):
            self._empty(pk)

    def remove_schedules(self, tenant_id: TenantId, site_id: str) -> None:
        """Remove what would train it again."""
        position: Position | None = None
        while True:
            some, position = self._schedules.some(tenant_id, site_id, JOBS_AT_ONCE, position)
            for each in some:
                self._schedules.delete(each)
            if position is None:
                return

    def remove_jobs(self, tenant_id: TenantId, site_id: str) -> None:
        """Remove its jobs with their pages; a job goes after what is found by it."""
        position: Position | None = None
        while True:
            some, position = self._rows.page(jobs_key(tenant_id), JOBS_AT_ONCE, position, only={"site_id": site_id})
            for job in (made_of(Job, each) for each in some):
                self._empty(pages_key(job))
                self._empty(tenant_key(tenant_id, "JOBV", job.job_id))
                note = open_item(job)
                self._delete([{"pk": note["pk"], "sk": note["sk"]}, job_key(job)])
            if position is None:
                return

    def _empty(self, pk: str) -> None:
        self._delete({"pk": each["pk"], "sk": each["sk"]} for each in self._rows.every(pk))

    def _delete(self, keys: Iterable[Item]) -> None:
        requests = [{"DeleteRequest": {"Key": to_item(key)}} for key in keys]
        for start in range(0, len(requests), AT_ONCE):
            batch_write(self._client, self._rows.table, requests[start : start + AT_ONCE], sleep=self._sleep)
