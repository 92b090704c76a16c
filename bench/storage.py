"""Storage as the benches see it: a platform of its own on the embedded cloud, and a client that counts its calls."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from local import emulator
from noren import tables
from noren.knowledge.blobs import index_key
from noren.knowledge.chunks import Section, chunks
from noren.knowledge.index_build import Document, build_index
from noren.knowledge.index_format import Identity
from noren.knowledge.models import IndexPointer
from noren.settings import Settings
from noren.tenants.models import Tenant
from noren.wiring import Services

TABLES = {
    "tenants": True,
    "quotas": False,
    "credits": False,
    "usage": False,
    "sites": False,
    "events": False,
    "knowledge": False,
    "runtime": False,
}
"""Table to whether it has `gsi1` (as `stacks/data.py` makes them)."""
NO_LIMITS = {
    "requests_per_minute": 10_000_000,
    "chats_per_month": 10_000_000,
    "requests_per_day_per_site": 10_000_000,
    "concurrent_chats": 1_000,
}


@dataclass
class Meter:
    """What storage calls took in this process. `around` makes each call: operation, parameters, the call itself."""

    calls: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    around: Callable[[str, dict[str, Any], Callable[[], Any]], Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, client: Any) -> Any:
        """The client, its calls metered from now on."""
        make = client._make_api_call

        def metered(operation: str, parameters: dict[str, Any]) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                if self.around:
                    return self.around(operation, parameters, lambda: make(operation, parameters))
                return make(operation, parameters)
            finally:
                with self._lock:
                    self.calls += 1
                    self.cpu += time.thread_time() - cpu
                    self.wall += time.perf_counter() - wall

        client._make_api_call = metered  # what all of its methods and paginators end in
        return client


@dataclass(frozen=True)
class MeteredServices(Services):
    """The product's services, with both storage clients metered."""

    meter: Meter = field(default_factory=Meter)

    @cached_property
    def dynamodb(self) -> Any:
        """See `Services`."""
        return self.meter.watch(tables.dynamodb())

    @cached_property
    def ledger_dynamodb(self) -> Any:
        """See `Services`."""
        return self.meter.watch(tables.dynamodb(single_attempt=True))


@contextmanager
def cloud(log: Path) -> Iterator[str]:
    """An embedded cloud for one bench; yields its endpoint, and points this process's boto3 at it."""
    port = emulator.free_port()
    process = emulator.start(port, log=log)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        os.environ.update(emulator.aws_env(endpoint))
        yield endpoint
    finally:
        emulator.stop(process)


def make_tables(prefix: str = "") -> None:
    """Make the tables, named by `prefix` and their own names."""
    client = boto3.client("dynamodb")
    for name, indexed in TABLES.items():
        keys = ["pk", "sk", *(["gsi1pk", "gsi1sk"] if indexed else [])]
        options: dict[str, Any] = {}
        if indexed:
            index = {"IndexName": "gsi1", "KeySchema": _schema("gsi1pk", "gsi1sk")}
            options["GlobalSecondaryIndexes"] = [index | {"Projection": {"ProjectionType": "ALL"}}]
        client.create_table(
            TableName=prefix + name,
            KeySchema=_schema("pk", "sk"),
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
            **options,
        )


def environment(upstream: str, prefix: str = "") -> dict[str, str]:
    """A chat function's variables over `make_tables`, with all model services at `upstream`; makes the secrets."""
    manager = boto3.client("secretsmanager")
    names = ("openai_api_key", "anthropic_api_key", "runpod_api_key", "local_llm_api_key")
    provider = manager.create_secret(Name=f"{prefix}provider", SecretString=json.dumps(dict.fromkeys(names, "bench")))
    signing = manager.create_secret(Name=f"{prefix}signing", SecretString="bench-" * 8)
    queue = boto3.client("sqs").create_queue(QueueName=f"{prefix}summary")["QueueUrl"]
    return {
        "STAGE": "local",
        **{f"{name.upper()}_TABLE": prefix + name for name in TABLES},
        "SUMMARY_QUEUE_URL": queue,
        "KNOWLEDGE_BUCKET": f"{prefix}knowledge",
        "PROVIDER_SECRET_ARN": provider["ARN"],
        "SIGNING_SECRET_ARN": signing["ARN"],
        "USER_POOL_ID": "ap-northeast-1_bench",
        "CLIENT_ID": "bench",
        "CONSOLE_URL": "http://127.0.0.1:1",
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "RUNPOD_BASE_URL": f"{upstream}/v2",
        "RUNPOD_PHI3_ENDPOINT": "phi3",
        "RUNPOD_MISTRAL_ENDPOINT": "mistral",
    }


def train(services: Services, tenant: Tenant, pages: Mapping[str, str]) -> None:
    """Make texts, by their addresses, what the tenant's default site answers from. Makes the bucket."""
    place: Any = {"LocationConstraint": services.settings.region}
    boto3.client("s3").create_bucket(Bucket=services.settings.knowledge_bucket, CreateBucketConfiguration=place)
    where = tenant.tenant_id, services.sites.default_id(tenant)
    documents = [
        (Document(f"doc_{number}", url, url, "en"), chunks([Section((), text)]))
        for number, (url, text) in enumerate(pages.items())
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        head = build_index(path, Identity(*where, "1"), documents)
        key = index_key(*where, 1, "0" * 16)
        services.blobs.put(key, path.read_bytes())
    pointer = IndexPointer(1, key, services.clock(), len(pages), head.chunks, ("en",), "", "")
    put = services.documents.moving(*where, None, pointer)["Put"]
    services.dynamodb.put_item(**put)


def tenant_with_key(services: Services, person: str, plan: str, **overrides: int | None) -> tuple[Tenant, str]:
    """A tenant on a plan, and an API key of it."""
    tenants = services.tenants
    tenant = tenants.ensure_tenant(person, f"{person}@noren.example")
    tenants.set_plan(tenant.tenant_id, plan, "bench")
    if overrides:
        tenants.set_overrides(tenant.tenant_id, overrides, "bench")
    _, secret = tenants.keys.create(tenant.tenant_id, "bench", frozenset({"chat"}), None, "bench")
    return tenants.fresh(tenant.tenant_id), secret


def services_of(env: dict[str, str]) -> MeteredServices:
    """Services over these variables."""
    return MeteredServices(Settings.from_env(env))


def _schema(partition: str, sort: str) -> Any:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
