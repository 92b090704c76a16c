"""The bucket, as S3 answers."""

from __future__ import annotations

import base64
import io
import json
import time

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from noren.ids import TenantId, new_id
from noren.knowledge import blobs as keys
from noren.knowledge.blobs import BlobMissing, S3Blobs

TENANT, SITE = TenantId(new_id("ten")), new_id("site")


def test_what_is_stored_is_found_listed_and_removed(aws: str) -> None:
    boto3.client("s3").create_bucket(
        Bucket="things", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    blobs = S3Blobs("things")
    names = [keys.upload_key(TENANT, SITE, f"upl_{at}") for at in range(3)]
    for name in names:
        blobs.put(name, name.encode())
    assert blobs.get(names[1]) == names[1].encode()
    listed = dict(blobs.listed(keys.uploads_prefix(TENANT, SITE)))
    assert sorted(listed) == names
    assert all(abs(stored - time.time()) < 3600 for stored in listed.values())
    assert not list(blobs.listed(keys.uploads_prefix(TENANT, new_id("site"))))
    file = io.BytesIO()
    assert blobs.copy(names[1], file) == len(names[1])
    assert file.getvalue() == names[1].encode()
    blobs.delete([*names[:2], "was never there"])
    assert [key for key, _ in blobs.listed("")] == names[2:]
    for read in (blobs.get, lambda key: blobs.copy(key, file)):
        with pytest.raises(BlobMissing):
            read(names[0])


@pytest.mark.parametrize("may_list", [True, False])
def test_what_is_forbidden_counts_as_missing_only_for_who_may_not_list(may_list: bool) -> None:
    """S3 answers so, of what is not there, who may read a bucket and not list it."""
    blobs = S3Blobs("things", may_list=may_list)
    client = boto3.client("s3", "ap-northeast-1", aws_access_key_id="k", aws_secret_access_key="s")
    blobs._made = client
    with Stubber(client) as s3:
        for _ in range(2):
            s3.add_client_error("get_object", "AccessDenied", http_status_code=403)
        for read in (blobs.get, lambda key: blobs.copy(key, io.BytesIO())):
            with pytest.raises(ClientError if may_list else BlobMissing):
                read("gone")


def test_a_form_stores_one_file_of_a_bounded_size(aws: str) -> None:
    boto3.client("s3").create_bucket(Bucket="forms", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    key = keys.upload_key(TENANT, SITE, "upl_form")
    form = S3Blobs("forms").upload_form(key, 10, 60)
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert ["content-length-range", 1, 10] in policy["conditions"]
    assert {"key": key} in policy["conditions"]
    requests.post(form["url"], data=form["fields"], files={"file": b"nine byte"}, timeout=60).raise_for_status()
    assert S3Blobs("forms").get(key) == b"nine byte"


def test_an_indexs_key_tells_its_version() -> None:
    key = keys.index_key(TENANT, SITE, 12, "abc")
    assert keys.index_version(key) == 12
    assert key.startswith(f"{TENANT}/{SITE}/")


def test_a_form_is_signed_as_encrypted_buckets_want_it_and_leads_to_their_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in (("DEFAULT_REGION", "ap-northeast-1"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    form = S3Blobs("forms").upload_form("ten_1/site_1/uploads/upl_1", 10, 60)
    assert form["url"] == "https://forms.s3.ap-northeast-1.amazonaws.com/"
    assert form["fields"]["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
