"""A publication over the real ledger: what it is billed is on the job, in the records and off the month's quota."""

from __future__ import annotations

from decimal import Decimal

import pytest

from noren.ids import TenantId
from noren.knowledge.publish import Publisher
from noren.knowledge.site_vectors import SiteVectors
from noren.llm import embedder
from noren.sites.models import Site
from noren.tenants.models import Tenant
from tests.dynamodb import MemoryDynamoDB
from tests.unit.knowledge.test_embeddings import QUOTA, Bench
from tests.unit.knowledge.training_world import POOL, World


def test_the_bill_of_a_publication_is_the_same_everywhere(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "BATCH_TEXTS", 2)
    bench = Bench()
    bench.vectors.billed = lambda text: QUOTA * 2 // 10 if text.startswith("long") else 2
    world = World(MemoryDynamoDB(), tenant=bench.tenant.tenant_id)
    world.site = bench.site

    def whose(tenant_id: TenantId, site_id: str) -> tuple[Tenant, Site]:
        assert (tenant_id, site_id) == (bench.tenant.tenant_id, bench.site.site_id)
        return bench.tenant, bench.site

    vectors = SiteVectors(bench.rig.embeddings, whose, world.bucket, world.jobs, world.leases, POOL, world.clock)
    stores = world.jobs, world.documents, world.bucket
    world.publishing._publisher = Publisher(*stores, world.engine, vectors, POOL, world.clock)
    job = world.start(("a", "one"), ("b", "two"), ("c", "three"))
    world.drain()
    done = world.job(job)
    assert (done.status, done.embedded_chunks, done.embedding_tokens) == ("succeeded", 3, 6)
    records = bench.records
    assert [each.source for each in records] == ["training", "training"]
    assert done.cost_usd == sum((each.cost_usd for each in records), Decimal(0)) == Decimal("0.00000012")
    assert bench.used == 6
    long = world.start(*((f"t{number}", f"long {number} " + "word " * 250) for number in range(6)))
    world.drain()
    done = world.job(long)
    assert (done.status, done.error) == ("partial", "embedding_quota_spent")
    assert 0 < done.embedded_chunks < 6
    assert bench.used == 6 + sum(each.embedding_charged for each in bench.records[2:]) <= QUOTA
