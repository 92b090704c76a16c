"""Texts, uploads and indexes in the `knowledge` bucket. Tenant and site are the start of every key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from threading import Lock
from typing import IO, TYPE_CHECKING, Protocol, TypedDict

from noren.ids import TenantId
from noren.knowledge.models import Document
from noren.tables import error_code

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

DELETED_AT_ONCE = 1000
COPIED_AT_ONCE = 1 << 20
"""Bytes."""


class BlobMissing(Exception):
    """There is nothing under that key."""


class Blobs(Protocol):
    """What a store of blobs can do."""

    def put(self, key: str, data: bytes) -> None:
        """Store, in place of what may be there."""

    def get(self, key: str) -> bytes:
        """What is there. Raises BlobMissing."""

    def copy(self, key: str, file: IO[bytes]) -> int:
        """Write what is there to a file; how many bytes. Raises BlobMissing."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove what is there; what is not there doesn't matter."""

    def listed(self, prefix: str) -> Iterator[tuple[str, float]]:
        """The keys that begin so, each with when it was stored (epoch seconds)."""

    def upload_form(self, key: str, most: int, seconds: int) -> UploadForm:
        """Lets somebody store at most so many bytes there, within so many seconds."""


class UploadForm(TypedDict):
    """Where and with which fields (ahead of the file, which comes last) a file is posted, as a browser's form does."""

    url: str
    fields: dict[str, str]


class S3Blobs:
    """A bucket, which encrypts by its own rules. The client is made when it is first needed."""

    def __init__(self, bucket: str, *, may_list: bool = True) -> None:
        """`may_list`: whether its user's role may list the bucket. If not, S3 forbids it what is not there."""
        self._bucket = bucket
        self._missing = ("NoSuchKey",) if may_list else ("NoSuchKey", "AccessDenied")
        self._made: S3Client | None = None
        self._making = Lock()

    @property
    def _client(self) -> S3Client:
        with self._making:  # chats run in threads, and boto3's making of clients is not safe in them
            if self._made is None:
                import boto3
                from botocore.config import Config

                # Left to itself botocore signs forms in a way that encrypted buckets refuse, for a host that redirects.
                config = Config(
                    connect_timeout=2,
                    read_timeout=10,
                    retries={"total_max_attempts": 3},
                    signature_version="s3v4",
                    s3={"addressing_style": "virtual"},
                )
                self._made = boto3.client("s3", config=config)
            return self._made

    def put(self, key: str, data: bytes) -> None:
        """Meets `Blobs`."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Meets `Blobs`."""
        return self._opened(key).read()

    def copy(self, key: str, file: IO[bytes]) -> int:
        """Meets `Blobs`. Never holds more of it in memory than a piece."""
        return sum(file.write(piece) for piece in self._opened(key).iter_chunks(COPIED_AT_ONCE))

    def _opened(self, key: str) -> StreamingBody:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        except self._client.exceptions.ClientError as error:
            if error_code(error) in self._missing:
                raise BlobMissing(key) from None
            raise

    def delete(self, keys: Iterable[str]) -> None:
        """Meets `Blobs`. Raises OSError where something could not be removed."""
        wanted = list(keys)
        for start in range(0, len(wanted), DELETED_AT_ONCE):
            some: list[ObjectIdentifierTypeDef] = [{"Key": each} for each in wanted[start : start + DELETED_AT_ONCE]]
            done = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
            if done.get("Errors"):
                raise OSError(f"{len(done['Errors'])} objects were not removed")

    def listed(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Meets `Blobs`."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for each in page.get("Contents", ()):
                modified: datetime = each["LastModified"]
                yield each["Key"], modified.timestamp()

    def upload_form(self, key: str, most: int, seconds: int) -> UploadForm:
        """Meets `Blobs`."""
        conditions = [["content-length-range", 1, most]]
        made = self._client.generate_presigned_post(self._bucket, key, Conditions=conditions, ExpiresIn=seconds)
        return {"url": made["url"], "fields": made["fields"]}


def site_prefix(tenant_id: TenantId, site_id: str) -> str:
    """Where all that is kept of a site is."""
    return f"{tenant_id}/{site_id}/"


def text_key(document: Document) -> str:
    """Where a document's text is. No two jobs write to one key: what one has removed no other has just stored."""
    prefix = texts_prefix(document.tenant_id, document.site_id)
    return f"{prefix}{document.document_id}/{document.content_hash}-{document.job_id}.json"


def links_key(tenant_id: TenantId, site_id: str, document_id: str) -> str:
    """Where it stands what a page led to when it was last read."""
    return f"{texts_prefix(tenant_id, site_id)}{document_id}/links.json"


def texts_prefix(tenant_id: TenantId, site_id: str) -> str:
    """Where the texts of a site are."""
    return f"{tenant_id}/{site_id}/docs/"


def index_key(tenant_id: TenantId, site_id: str, version: int, digest: str) -> str:
    """Where an index is that was built to become `version`; who builds another for that number has another key."""
    return f"{indexes_prefix(tenant_id, site_id)}{version:08d}-{digest}.idx"


def index_version(key: str) -> int:
    """The version that the index of that key was built to become."""
    return int(key.rsplit("/", 1)[1].partition("-")[0])


def indexes_prefix(tenant_id: TenantId, site_id: str) -> str:
    """Where the indexes of a site are."""
    return f"{tenant_id}/{site_id}/index/"


def vectors_prefix(tenant_id: TenantId, site_id: str) -> str:
    """Where the vectors of a site's chunks are."""
    return f"{tenant_id}/{site_id}/vectors/"


def upload_key(tenant_id: TenantId, site_id: str, upload_id: str) -> str:
    """Where what was sent in for training is."""
    return f"{uploads_prefix(tenant_id, site_id)}{upload_id}"


def uploads_prefix(tenant_id: TenantId, site_id: str) -> str:
    """Where the uploads of a site are."""
    return f"{tenant_id}/{site_id}/uploads/"
