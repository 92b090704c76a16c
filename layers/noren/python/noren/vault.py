"""Secrets that we make for customers and must be able to read again: in a table only as KMS has encrypted them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noren.cache import TtlCache
from noren.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

REMEMBERED_SECONDS = 300


class Vault:
    """Encrypts small values by the stage's key. `whose` binds each to its owner: under other names it doesn't open."""

    def __init__(self, key_arn: str, clock: Clock) -> None:
        self._key_arn = key_arn
        self._opened: TtlCache[tuple[bytes, tuple[tuple[str, str], ...]], bytes] = TtlCache(REMEMBERED_SECONDS, clock)
        self._kms: KMSClient | None = None

    def seal(self, value: bytes, **whose: str) -> bytes:
        """The encrypted value."""
        sealed = self._client.encrypt(KeyId=self._key_arn, Plaintext=value, EncryptionContext=whose)
        return sealed["CiphertextBlob"]

    def open(self, sealed: bytes, **whose: str) -> bytes:
        """What was sealed; remembered for minutes. Raises ClientError, also where `whose` is not as it was."""
        return self._opened.get((sealed, tuple(sorted(whose.items()))), lambda: self._decrypted(sealed, whose))

    def _decrypted(self, sealed: bytes, whose: dict[str, str]) -> bytes:
        opened = self._client.decrypt(KeyId=self._key_arn, CiphertextBlob=sealed, EncryptionContext=whose)
        return opened["Plaintext"]

    @property
    def _client(self) -> KMSClient:
        if self._kms is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
            self._kms = boto3.client("kms", config=config)
        return self._kms
