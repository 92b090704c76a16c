"""What is put on the training queue: a job's next step, named, not told."""

from __future__ import annotations

from typing import Any

from noren.knowledge.models import Job


def message(job: Job, what: str, page_id: str = "") -> dict[str, Any]:
    """Asks for a step of a job: `plan`, `publish`, or `page` of that id."""
    return {"tenant_id": job.tenant_id, "job_id": job.job_id, "what": what} | ({"page": page_id} if page_id else {})
