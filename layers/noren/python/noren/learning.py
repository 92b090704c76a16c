"""What trains sites. A part of `noren.wiring`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from noren.admission import Admission

if TYPE_CHECKING:
    from noren.ids import TenantId
    from noren.knowledge.blobs import Blobs
    from noren.knowledge.crawl_store import CrawlStore
    from noren.knowledge.crawls import Crawls
    from noren.knowledge.document_store import DocumentStore
    from noren.knowledge.index_cache import IndexFiles
    from noren.knowledge.inputs import Inputs
    from noren.knowledge.job_store import JobStore
    from noren.knowledge.jobs import Training
    from noren.knowledge.messages import Steps
    from noren.knowledge.models import IndexPointer, Job
    from noren.knowledge.publish import Engine
    from noren.knowledge.publishing import Publishing
    from noren.knowledge.quote import Quotes, Surveys
    from noren.knowledge.retrieval import Retrieval, Searcher
    from noren.knowledge.schedules import Schedules
    from noren.knowledge.site_vectors import SiteVectors
    from noren.knowledge.worker import Worker
    from noren.queues import Queue
    from noren.sites.models import Site
    from noren.sites.purge import SitePurge
    from noren.tenants.models import Tenant


@dataclass(frozen=True)
class Learning(Admission):
    """Each part is made on first use."""

    @cached_property
    def documents(self) -> DocumentStore:
        from noren.knowledge.document_store import DocumentStore

        return DocumentStore(self.dynamodb, self.settings.knowledge_table)

    @cached_property
    def training_jobs(self) -> JobStore:
        from noren.knowledge.job_store import JobStore

        return JobStore(self.dynamodb, self.settings.knowledge_table, self.documents)

    @cached_property
    def crawl_store(self) -> CrawlStore:
        from noren.knowledge.crawl_store import CrawlStore

        return CrawlStore(self.dynamodb, self.settings.knowledge_table, self.training_jobs)

    @cached_property
    def blobs(self) -> Blobs:
        from noren.knowledge.blobs import S3Blobs

        return S3Blobs(self.settings.knowledge_bucket)

    @cached_property
    def unlisted_blobs(self) -> Blobs:
        """The same, for functions that read what they know the key of and may not list."""
        from noren.knowledge.blobs import S3Blobs

        return S3Blobs(self.settings.knowledge_bucket, may_list=False)

    @cached_property
    def retrieval(self) -> Retrieval:
        from noren.knowledge.retrieval import Retrieval

        engines = ("file", "s3_vectors") if self.settings.vector_bucket else ("file",)
        return Retrieval(self.documents, self._searcher, self.clock, engines)

    @cached_property
    def index_files(self) -> IndexFiles:
        from noren.knowledge.index_cache import IndexFiles

        return IndexFiles(self.unlisted_blobs, self.clock)

    @cached_property
    def s3_searcher(self) -> Searcher:
        from noren.knowledge.s3_searcher import S3VectorsSearcher
        from noren.knowledge.vector_indexes import VectorIndexes

        return S3VectorsSearcher(self.index_files, VectorIndexes(self.settings.vector_bucket, patient=False))

    def _searcher(self, pointer: IndexPointer) -> Searcher:
        """What reads an index of the pointer's kind; imported by the first site that has one."""
        if pointer.engine == "s3_vectors" and self.settings.vector_bucket:
            return self.s3_searcher
        return self.index_files

    @cached_property
    def search_engine(self) -> Engine:
        """What builds indexes."""
        from noren.knowledge.engine import FileEngine
        from noren.knowledge.s3_vectors import S3VectorsEngine
        from noren.knowledge.vector_indexes import VectorIndexes

        if bucket := self.settings.vector_bucket:
            return S3VectorsEngine(VectorIndexes(bucket, patient=True), self.clock)
        return FileEngine()

    @cached_property
    def training_inputs(self) -> Inputs:
        from noren.knowledge.inputs import Inputs

        return Inputs(self.unlisted_blobs)

    @cached_property
    def train_queue(self) -> Queue:
        from noren.queues import Queue

        return Queue(self.settings.train_queue_url)

    @cached_property
    def publish_queue(self) -> Queue:
        from noren.queues import Queue

        return Queue(self.settings.publish_queue_url)

    @cached_property
    def training_steps(self) -> Steps:
        from noren.knowledge.messages import Steps

        return Steps(self.train_queue, self.publish_queue)

    @cached_property
    def training(self) -> Training:
        from noren.knowledge.jobs import Training

        stores = self.training_jobs, self.documents, self.blobs, self.training_inputs
        return Training(*stores, self.crawls, self.training_steps, self.clock)

    @cached_property
    def schedules(self) -> Schedules:
        from noren.knowledge.schedule_store import ScheduleStore
        from noren.knowledge.schedules import Schedules

        store = ScheduleStore(self.dynamodb, self.settings.knowledge_table)
        return Schedules(store, self.crawls, self.sites, self.tenants.get, self.plans.entitlement, self.clock)

    @cached_property
    def crawls(self) -> Crawls:
        from noren.knowledge.crawls import Crawls

        stores = self.training_jobs, self.crawl_store, self.documents
        return Crawls(*stores, self.sites, self.training_steps, self.clock)

    @cached_property
    def quotes(self) -> Quotes:
        from noren.knowledge.quote import Quotes

        def owner(site: Site) -> Tenant:
            return self.tenants.get(site.tenant_id)

        stores = self.surveyor, self.documents, self.plans, self.embeddings
        return Quotes(*stores, owner, self.runtime, self.limiter, self.clock)

    @cached_property
    def surveyor(self) -> Surveys:
        if name := self.settings.surveyor_function:
            from noren.functions import Function
            from noren.knowledge.quote import RemoteSurveyor

            return RemoteSurveyor(Function(name, seconds=24))
        from noren.knowledge.survey.surveyor import Surveyor

        return Surveyor(self.fetcher)

    @cached_property
    def train_worker(self) -> Worker:
        """Reads what strangers send, in a function that has neither models nor the ledger (ADR 7)."""
        from noren.knowledge.crawling import Crawl
        from noren.knowledge.hosts import Hosts
        from noren.knowledge.worker import Worker
        from noren.pace import Pace

        blobs = self.unlisted_blobs
        stores = self.training_jobs, self.documents, blobs
        hosts = Hosts(self.fetcher, blobs, self.clock)
        pace, pages = Pace(self.runtime, self.clock), self.crawl_store
        crawl = Crawl(self.fetcher, hosts, pace, self.training_jobs, pages, self.documents, blobs, self.clock)
        return Worker(*stores, self.training_inputs, crawl, self.training_steps, self._stopped, self.clock)

    @cached_property
    def publishing(self) -> Publishing:
        from noren.knowledge.publish import Publisher
        from noren.knowledge.publishing import Publishing

        stores = self.training_jobs, self.documents
        publisher = Publisher(*stores, self.blobs, self.search_engine, self.site_vectors, self.pool, self.clock)
        return Publishing(*stores, publisher, self.training_steps, self._tell_of_training, self._stopped, self.clock)

    @cached_property
    def site_purge(self) -> SitePurge:
        """Removes deleted sites, with what they knew."""
        from noren.knowledge.purge import KnowledgePurge
        from noren.knowledge.purge_store import KnowledgePurgeStore
        from noren.knowledge.schedule_store import ScheduleStore
        from noren.knowledge.vector_indexes import VectorIndexes
        from noren.sites.purge import SitePurge
        from noren.sites.purge_store import PurgeStore

        table = self.dynamodb, self.settings.knowledge_table
        bucket = self.settings.vector_bucket
        indexes = VectorIndexes(bucket, patient=True) if bucket else None
        knowledge = KnowledgePurge(KnowledgePurgeStore(*table, ScheduleStore(*table)), self.blobs, indexes)
        return SitePurge(PurgeStore(self.dynamodb, self.settings.sites_table), knowledge.remove, self.clock)

    @cached_property
    def site_vectors(self) -> SiteVectors:
        from noren.knowledge.site_vectors import SiteVectors

        def whose(tenant_id: TenantId, site_id: str) -> tuple[Tenant, Site]:
            return self.tenants.get(tenant_id), self.sites.get(tenant_id, site_id)

        return SiteVectors(self.embeddings, whose, self.blobs, self.training_jobs, self.runtime, self.pool, self.clock)

    def _stopped(self, job: Job) -> str:
        """Why a training must not go on; "" where it may, and where its site is gone: that ends by itself."""
        from noren.errors import NotFound
        from noren.knowledge.standing import stopped

        try:
            return stopped(self.tenants.get(job.tenant_id), self.sites.get(job.tenant_id, job.site_id))
        except NotFound:
            return ""

    def _tell_of_training(self, job: Job) -> None:
        """An event for what has ended by itself, once for each attempt; and the site knows when it was last trained."""
        from noren.insight.events import Events

        if job.status == "cancelled":
            return
        if job.status != "failed" and job.kind != "refresh" and job.ended_at is not None:
            self.site_store.note_training(job.tenant_id, job.site_id, job.ended_at)
        kind = "training_failed" if job.status == "failed" else "training_completed"
        names = (
            "job_id",
            "site_id",
            "status",
            "attempt",
            "found",
            "changed",
            "unchanged",
            "removed",
            "failed",
            "error",
        )
        data = {name: getattr(job, name) for name in names} | {"job_kind": job.kind}
        Events(self.insight, self.clock).emit(job.tenant_id, kind, f"{job.job_id}#{job.attempt}", data)
