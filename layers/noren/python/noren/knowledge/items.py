"""How what a site knows lies in the `knowledge` table.

`DOC#<tenant>#<site>` / `doc_…`: documents. `IDX#<tenant>#<site>` / `CURRENT`: the published index.
`JOB#<tenant>` / `job_…`: jobs. `JOBP#<tenant>#<job>` / page: their pages, kept for 90 days, and `plan`.
`IDX#…` / `CRAWL`: the site's latest crawl. `JOBV#<tenant>#<job>` / digest: how many queries of one path a crawl has.
`OPENJOBS` / `<tenant>#<job>`: jobs to be looked after until they have ended and that has been told.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any, TypeVar

from noren.ids import TenantId
from noren.knowledge.models import Document, IndexPointer, Job, JobPage, plain
from noren.tables import Item, platform_key, tenant_key

PAGES_KEPT_SECONDS = 90 * 86400
GONE_KEPT_SECONDS = 90 * 86400
"""Of a document that is gone."""

T = TypeVar("T")


def documents_key(tenant_id: TenantId, site_id: str) -> str:
    """The partition of a site's documents."""
    return tenant_key(tenant_id, "DOC", site_id)


def jobs_key(tenant_id: TenantId) -> str:
    """The partition of a tenant's jobs."""
    return tenant_key(tenant_id, "JOB")


def pages_key(job: Job) -> str:
    """The partition of a job's pages."""
    return tenant_key(job.tenant_id, "JOBP", job.job_id)


def open_key() -> str:
    """The partition of the jobs to be looked after."""
    return platform_key("OPENJOBS")


def document_key(document: Document) -> Item:
    """Where a document lies."""
    return {"pk": documents_key(document.tenant_id, document.site_id), "sk": document.document_id}


def job_key(job: Job) -> Item:
    """Where a job lies."""
    return {"pk": jobs_key(job.tenant_id), "sk": job.job_id}


def page_key(job: Job, page_id: str) -> Item:
    """Where a page of a job lies."""
    return {"pk": pages_key(job), "sk": page_id}


def pointer_key(tenant_id: TenantId, site_id: str) -> Item:
    """Where it stands which index is current."""
    return {"pk": tenant_key(tenant_id, "IDX", site_id), "sk": "CURRENT"}


def crawl_key(tenant_id: TenantId, site_id: str) -> Item:
    """Where it stands which is a site's latest crawl."""
    return {"pk": tenant_key(tenant_id, "IDX", site_id), "sk": "CRAWL"}


def variants_key(job: Job, path: str) -> Item:
    """Where a job counts the queries that it has of a path."""
    return {"pk": tenant_key(job.tenant_id, "JOBV", job.job_id), "sk": hashlib.sha256(path.encode()).hexdigest()[:32]}


def refused_key(job: Job, page_id: str) -> Item:
    """Where a job notes that it has left a page out."""
    return {"pk": tenant_key(job.tenant_id, "JOBV", job.job_id), "sk": f"REFUSED#{page_id}"}


def document_item(document: Document) -> Item:
    """A document as it is stored."""
    ends = {"expires_at": int(document.checked_at or 0) + GONE_KEPT_SECONDS} if document.status == "gone" else {}
    return document_key(document) | _stored(document) | ends


def job_item(job: Job) -> Item:
    """A job as it is stored."""
    return job_key(job) | _stored(job)


def open_item(job: Job) -> Item:
    """The note that a job is to be looked after."""
    names = ("tenant_id", "job_id", "attempt")
    sk = f"{job.tenant_id}#{job.job_id}"
    return {"pk": open_key(), "sk": sk} | {name: getattr(job, name) for name in names}


def page_item(job: Job, page: JobPage) -> Item:
    """A page of a job as it is stored."""
    return page_key(job, page.page_id) | _stored(page) | {"expires_at": pages_end(job)}


def pages_end(job: Job) -> int:
    """When what is kept of a job's pages expires."""
    return int(job.created_at) + PAGES_KEPT_SECONDS


def pointer_item(tenant_id: TenantId, site_id: str, pointer: IndexPointer) -> Item:
    """A pointer as it is stored, with the one before it."""
    before = {"previous": _pointer_fields(pointer.previous)} if pointer.previous else {}
    return pointer_key(tenant_id, site_id) | _pointer_fields(pointer) | before


def pointer_of(item: Item) -> IndexPointer:
    """The reverse of `pointer_item`."""
    own = {name: value for name, value in item.items() if name != "previous"}
    made = made_of(IndexPointer, own)
    previous = pointer_of(item["previous"]) if "previous" in item else None
    return replace(made, previous=previous)


def made_of(kind: type[T], item: Item) -> T:
    """A document, job or page of what is stored. Lists are tuples."""
    known: Any = kind
    values = {each.name: item[each.name] for each in fields(known) if each.name in item}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _pointer_fields(pointer: IndexPointer) -> Item:
    return plain(pointer) | {"built_at": int(pointer.built_at)}


def _stored(thing: Any) -> Item:
    """Fields that are None are left out; times are whole seconds."""
    values = {each.name: getattr(thing, each.name) for each in fields(thing)}
    return {
        name: int(value) if isinstance(value, float) else value for name, value in values.items() if value is not None
    }
