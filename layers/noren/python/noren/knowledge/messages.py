"""Which queue a job's next step is asked for on, and how: named, not told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from noren.knowledge.models import Job, JobPage
from noren.queues import Queue

Step = Literal["plan", "page", "publish"]

MOST_TRIES = 5
"""Who takes up a page or a publication for the sixth time gives it up: it kills workers, or storage refuses it."""


class Steps:
    """Those that read what strangers send are done by one function, and `publish`, which spends money, by another: each
    has a queue and rights of its own (ADR 7).
    """

    def __init__(self, reading: Queue, publishing: Queue) -> None:
        self._reading, self._publishing = reading, publishing

    def ask(self, job: Job, step: Step, page_id: str = "", *, delay: int = 0) -> None:
        """Ask for a step of a job, a `page` by its id, to be done after `delay` seconds."""
        queue = self._publishing if step == "publish" else self._reading
        queue.send(_message(job, step, page_id), delay=delay)

    def ask_for_pages(self, job: Job, pages: Iterable[JobPage]) -> None:
        """Ask for those pages of a job that are waiting."""
        self._reading.send_all(_message(job, "page", each.page_id) for each in pages if each.status == "waiting")


def _message(job: Job, step: Step, page_id: str) -> dict[str, Any]:
    return {"tenant_id": job.tenant_id, "job_id": job.job_id, "what": step} | ({"page": page_id} if page_id else {})
