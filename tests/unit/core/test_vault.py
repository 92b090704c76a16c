"""Secrets that customers are given: encrypted by KMS, bound to whose they are."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError

from noren.vault import REMEMBERED_SECONDS, Vault


def test_a_sealed_value_opens_for_its_owner_alone(aws: str) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    now = [0.0]
    vault = Vault(key, lambda: now[0])
    sealed = vault.seal(b"s3cret", tenant_id="ten_1", webhook_id="whk_1")
    assert b"s3cret" not in sealed
    assert sealed != vault.seal(b"s3cret", tenant_id="ten_1", webhook_id="whk_1")
    assert vault.open(sealed, webhook_id="whk_1", tenant_id="ten_1") == b"s3cret"
    for whose in ({"tenant_id": "ten_2", "webhook_id": "whk_1"}, {"tenant_id": "ten_1"}, {}):
        with pytest.raises(ClientError):
            vault.open(sealed, **whose)
    boto3.client("kms").disable_key(KeyId=key)
    assert vault.open(sealed, tenant_id="ten_1", webhook_id="whk_1") == b"s3cret", "remembered for minutes"
    now[0] += REMEMBERED_SECONDS
    with pytest.raises(ClientError):
        vault.open(sealed, tenant_id="ten_1", webhook_id="whk_1")
