"""The vectors of one publication: kept ones by the hash of their text, and new ones for texts that have none.

Each batch is stored before the next is begun, and counted on its job, which has come on by that: whoever dies, runs out
of time, or finds the model away loses no more than one batch.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from typing import Literal, Protocol

from noren.clock import Clock
from noren.errors import BadRequest, Busy, Forbidden, NotFound, RateLimited, UpstreamFailed
from noren.ids import TenantId
from noren.knowledge.blobs import Blobs, vectors_prefix
from noren.knowledge.embeddings import EmbeddingQuotaSpent, Embeddings, batches
from noren.knowledge.job_store import JobStore
from noren.knowledge.models import Job
from noren.knowledge.vector_packs import VectorPacks
from noren.knowledge.vectors import Compact, compact
from noren.llm.models import Embedded, numbers
from noren.plans.models import ModelPolicy
from noren.sites.models import Site
from noren.tenants.models import Tenant

EMBEDDING_SECONDS = 200.0
"""No batch is begun later, unless it is a function's first: one may take 50 s of what is left."""
BUILDING_SECONDS = 60.0
"""Where vectors were made and more was spent, the index is left to a fresh function."""
LEASE_SECONDS = 300.0
"""Of the site's vectors: nobody publishes for longer, whoever has not given it back by then is dead."""
TAKEN_SECONDS = 15
"""After so long whoever found it taken looks again."""
PATIENT_TRIES = 3
"""A publication that finds the model away so often, and no vector in between, goes on without."""
CROWDED_SECONDS = 5
"""While visitors chat, as many at once as the plan lets, a batch waits its turn for so long each time."""
CROWDED_TRIES = 6
PAUSE_SECONDS = 60, 600
"""Between such tries, at least and at most."""
UNUSED_SECONDS = 86400
"""Vectors stored since are kept whatever they are of: another publication may be about to use them."""

Notice = Literal["", "embedding_quota_spent", "embedding_unavailable", "embedding_refused"]

_log = logging.getLogger("noren.knowledge")


class Later(Exception):
    """A publication goes on after some seconds: with a fresh function, or when the model is there again.

    `is_try`: whether this one counts; who only waits for another's publication has not tried.
    """

    def __init__(self, seconds: int = 0, *, is_try: bool = True) -> None:
        super().__init__(seconds)
        self.seconds, self.is_try = seconds, is_try


class Stopped(Exception):
    """The job is not at it any more."""


class Leases(Protocol):
    """What one at a time may have."""

    def lease(self, key: str, owner: str, now: float, until: float) -> float | None:
        """Take the lease if nobody has it. Returns None if taken, else until when somebody else has it."""

    def give_up_lease(self, key: str, owner: str) -> None:
        """End the lease if `owner` still has it."""


class SiteVectors:
    """What makes the vectors of a publication. `whose` finds a job's tenant and site, or raises NotFound."""

    def __init__(
        self,
        embeddings: Embeddings,
        whose: Callable[[TenantId, str], tuple[Tenant, Site]],
        blobs: Blobs,
        jobs: JobStore,
        leases: Leases,
        pool: Executor,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._embeddings, self._whose, self._blobs, self._leases = embeddings, whose, blobs, leases
        self._jobs, self._pool, self._clock, self._sleep = jobs, pool, clock, sleep

    def begin(self, job: Job) -> Vectors | None:
        """The vectors of a job's publication, which nobody else makes until its `end`; None where its plan has none.

        Raises Later while another publication makes the site's: two would pay for the same texts.
        """
        try:
            tenant, site = self._whose(job.tenant_id, job.site_id)
            policy = self._embeddings.policy(tenant)
        except (Forbidden, NotFound):
            return None
        now = self._clock()
        if self._leases.lease(_lease_of(job), job.job_id, now, now + LEASE_SECONDS) is not None:
            raise Later(TAKEN_SECONDS, is_try=False)
        parts = self._jobs, self._blobs, self._pool, self._clock, self._sleep
        return Vectors(self._embeddings, tenant, site, policy, job, *parts)

    def end(self, job: Job) -> None:
        """A job's publication is over, or goes on later. What is not given back expires."""
        try:
            self._leases.give_up_lease(_lease_of(job), job.job_id)
        except Exception as error:
            _log.warning("a lease was left to expire: %s", type(error).__name__)


class Vectors:
    """Of one publication."""

    def __init__(
        self,
        embeddings: Embeddings,
        tenant: Tenant,
        site: Site,
        policy: ModelPolicy,
        job: Job,
        jobs: JobStore,
        blobs: Blobs,
        pool: Executor,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._embeddings, self._tenant, self._site, self._policy = embeddings, tenant, site, policy
        self._job, self._jobs, self._clock, self._sleep = job, jobs, clock, sleep
        self._name = hashlib.sha256(f"{policy.provider}\0{policy.model}".encode()).hexdigest()[:16]
        self._packs = VectorPacks(blobs, f"{vectors_prefix(job.tenant_id, job.site_id)}{self._name}/", pool)
        self._started, self._has_made = clock(), False
        self._missing = set[str]()
        self.notice: Notice = ""
        """Why some texts have no vectors."""

    @property
    def model(self) -> str:
        """The id of the embedding model's policy."""
        return self._policy.id

    @property
    def dimensions(self) -> int:
        """Of each vector; 0 while there are none."""
        return self._packs.dimensions

    @property
    def wanted_state(self) -> str:
        """`state`, if nothing is missing."""
        return f"{self._name}:0:"

    @property
    def state(self) -> str:
        """Which vectors there are: two publications that say the same have the same."""
        return f"{self._name}:{len(self._missing)}:{self.notice}"

    def get(self, hash: str) -> Compact | None:
        """The vector of a text, by its hash."""
        return self._packs.get(hash)

    def make(self, texts: Mapping[str, str], fresh: Collection[str] = (), *, are_chunks: bool = True) -> int:
        """Have vectors for texts, by their hashes; how many have none nevertheless. `notice` says why.

        Those of `fresh` must be of this job. What are no chunks is paid, but not counted among them. Raises Later and
        Stopped, and what storage raises.
        """
        self._packs.read()
        lacking = [each for each in texts if not self._has(each, each in fresh)]
        place = 0
        for batch in batches([texts[each] for each in lacking]):
            some = lacking[place : place + len(batch)]
            place += len(batch)
            if self._has_made and self._clock() - self._started > EMBEDDING_SECONDS:
                raise Later
            if not self._made(dict(zip(some, batch, strict=True)), are_chunks):
                break
        missing = {each for each in texts if self._packs.get(each) is None}
        self._missing = self._missing.difference(texts) | missing
        return len(missing)

    def is_late(self) -> bool:
        """Whether so much time was spent that an index had better be built by a fresh function: which need not make
        what was made. Where nothing was made it would only spend the same again.
        """
        return self._has_made and self._clock() - self._started > BUILDING_SECONDS

    def tidy(self, wanted: Collection[str], *, at_once: bool) -> None:
        """Drop vectors of texts that there are no more; recent ones too if it is to be `at_once`."""
        self._packs.join(wanted, self._clock() - (0 if at_once else UNUSED_SECONDS))

    def _bought(self, texts: list[str]) -> Embedded:
        """The vectors of a batch, once there is room for it beside the chats. Raises what `Embeddings.vectors` does."""
        for tries_left in reversed(range(CROWDED_TRIES)):
            try:
                return self._embeddings.vectors(
                    self._tenant, self._site, texts, purpose="training", model=self._policy.id
                )
            except RateLimited as error:
                seconds = int(error.extra.get("retry_after", 1))
                if not tries_left or seconds > CROWDED_SECONDS:
                    raise
                self._sleep(CROWDED_SECONDS)
        raise AssertionError("unreachable")

    def _has(self, hash: str, must_be_fresh: bool) -> bool:
        return self._packs.get(hash, self._job.created_at if must_be_fresh else 0.0) is not None

    def _made(self, texts: Mapping[str, str], are_chunks: bool) -> bool:
        """Embed one batch, store and count it; False where no more can be had."""
        try:
            made = self._bought(list(texts.values()))
        except EmbeddingQuotaSpent:
            self.notice = "embedding_quota_spent"
            return False
        except BadRequest as error:
            _log.error("texts were not embedded: %s", error.code)
            self.notice = "embedding_refused"
            return True
        except Forbidden:
            self.notice = "embedding_refused"
            return False
        except (RateLimited, Busy, UpstreamFailed) as error:
            now = self._jobs.get(self._job.tenant_id, self._job.job_id)
            if now and now.tries < PATIENT_TRIES:
                least, most = PAUSE_SECONDS
                raise Later(min(most, max(least, int(error.extra.get("retry_after", 0))))) from error
            _log.error("an index is published without new vectors: %s", error.code)
            self.notice = "embedding_unavailable"
            return False
        try:
            vectors = {hash: compact(numbers(each)) for hash, each in zip(texts, made.vectors, strict=True)}
        except ValueError:
            _log.error("a model gave vectors without a direction")
            self.notice = "embedding_refused"
            return True
        self._packs.add(vectors, self._clock())
        self._has_made = True
        chunks = len(texts) if are_chunks else 0
        if not self._jobs.count_vectors(self._job, chunks, made.tokens, made.cost_usd, self._clock()):
            raise Stopped
        return True


def _lease_of(job: Job) -> str:
    return f"vectors#{job.tenant_id}#{job.site_id}"
