"""Amazon S3 Vectors as we use it: an index of vectors for one version of one site, each under the number of its chunk.

Tenant and site are in an index's name, hashed, so that no query can reach another's. Likeness is by angle alone: so an
int8 vector goes there as it is, and is never scaled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from noren.ids import TenantId
from noren.knowledge.blobs import index_version

PUT_VECTORS = 500
PUT_NUMBERS = 2_000_000
"""Of one request, which may have 20 MiB: an int8 takes at most five characters in it."""
MOST_NEAREST = 100
"""That a query may ask for."""
DISTANCE = "cosine"


class VectorIndexes:
    """The stage's vector bucket. `patient`: for whoever builds; a chat goes on without likeness after seconds."""

    def __init__(self, bucket: str, *, patient: bool) -> None:
        self._bucket, self._patient = bucket, patient

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        seconds, attempts = (20, 6) if self._patient else (2, 2)
        retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
        return boto3.client("s3vectors", config=Config(connect_timeout=1, read_timeout=seconds, retries=retries))

    def create(self, name: str, dimensions: int) -> bool:
        """Make an index; False where there is one of that name, which stays as it is."""
        try:
            self._client.create_index(
                vectorBucketName=self._bucket,
                indexName=name,
                dataType="float32",
                dimension=dimensions,
                distanceMetric=DISTANCE,
            )
        except self._client.exceptions.ConflictException:
            return False
        return True

    def put(self, name: str, vectors: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Store the vectors of chunks (at most `at_once`), in place of what is there under their numbers."""
        rows = [{"key": str(chunk), "data": {"float32": list(numbers)}} for chunk, numbers in vectors]
        self._client.put_vectors(vectorBucketName=self._bucket, indexName=name, vectors=rows)

    def has(self, name: str, chunk: int) -> bool:
        """Whether there is a vector of a chunk."""
        found = self._client.get_vectors(vectorBucketName=self._bucket, indexName=name, keys=[str(chunk)])
        return bool(found["vectors"])

    def nearest(self, name: str, vector: Sequence[float], count: int) -> dict[int, float]:
        """The chunks that are most like a vector, with their cosines, the most like first."""
        found = self._client.query_vectors(
            vectorBucketName=self._bucket,
            indexName=name,
            topK=min(count, MOST_NEAREST),
            queryVector={"float32": list(vector)},
            returnDistance=True,
            returnMetadata=False,
        )
        return {int(each["key"]): 1 - float(each["distance"]) for each in found["vectors"]}

    def delete(self, name: str) -> None:
        """Remove an index; one that is not there doesn't matter."""
        try:
            self._client.delete_index(vectorBucketName=self._bucket, indexName=name)
        except self._client.exceptions.NotFoundException:
            return

    def listed(self, prefix: str) -> Iterator[str]:
        """The names of the indexes that begin so."""
        pages = self._client.get_paginator("list_indexes").paginate(vectorBucketName=self._bucket, prefix=prefix)
        for page in pages:
            yield from (each["indexName"] for each in page["indexes"])


def at_once(dimensions: int) -> int:
    """How many vectors one `put` takes."""
    return max(1, min(PUT_VECTORS, PUT_NUMBERS // dimensions))


def prefix_of(tenant_id: TenantId, site_id: str) -> str:
    """With what the names of a site's indexes begin."""
    return hashlib.sha256(f"{tenant_id}\0{site_id}".encode()).hexdigest()[:32] + "-"


def name_of(tenant_id: TenantId, site_id: str, key: str) -> str:
    """The index that belongs to the index file of that key, which is of that site."""
    return prefix_of(tenant_id, site_id) + key.rsplit("/", 1)[1].removesuffix(".idx")


def version_of(name: str) -> int:
    """The version that an index was made for."""
    return index_version(f"/{name.partition('-')[2]}")
