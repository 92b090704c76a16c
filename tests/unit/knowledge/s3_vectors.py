"""Amazon S3 Vectors in memory, behind boto3's own client: that checks each request and reads each answer by the
service's description, and the limits that the description leaves out are kept here.
"""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import boto3

MOST_VECTORS, MOST_BYTES, MOST_NEAREST = 500, 20 * 1024 * 1024, 100


class Refusal(Exception):
    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class S3Vectors:
    """One vector bucket."""

    def __init__(self, bucket: str = "vectors") -> None:
        self.bucket = bucket
        self.indexes: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.faults: dict[str, Refusal] = {}
        """By operation: what it answers instead."""
        self.page = 500

    def client(self) -> Any:
        made = boto3.client("s3vectors", region_name="ap-northeast-1", aws_access_key_id="a", aws_secret_access_key="b")
        made.meta.events.register_last("before-call.s3vectors", self._answer)
        return made

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, Any]:
        self.calls.append(model.name)
        body = params["body"] or b"{}"
        try:
            if fault := self.faults.get(model.name):
                raise fault
            if len(body) > MOST_BYTES:
                raise Refusal("ValidationException", 400)
            given = json.loads(body)
            assert given["vectorBucketName"] == self.bucket
            return SimpleNamespace(status_code=200), getattr(self, model.name)(given)
        except Refusal as refusal:
            answer = {"Error": {"Code": refusal.code}, "ResponseMetadata": {"HTTPStatusCode": refusal.status}}
            return SimpleNamespace(status_code=refusal.status), answer

    def CreateIndex(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["indexName"] in self.indexes:
            raise Refusal("ConflictException", 409)
        name = given["indexName"]
        assert 3 <= len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert given["distanceMetric"] == "cosine"
        self.indexes[name] = {"dimension": given["dimension"], "vectors": {}}
        return {"indexArn": f"arn:aws:s3vectors:ap-northeast-1:123456789012:bucket/{self.bucket}/index/{name}"}

    def PutVectors(self, given: dict[str, Any]) -> dict[str, Any]:
        index = self._index(given)
        if len(given["vectors"]) > MOST_VECTORS:
            raise Refusal("ValidationException", 400)
        for each in given["vectors"]:
            values = each["data"]["float32"]
            if len(values) != index["dimension"] or not any(values):
                raise Refusal("ValidationException", 400)
            index["vectors"][each["key"]] = values
        return {}

    def GetVectors(self, given: dict[str, Any]) -> dict[str, Any]:
        known = self._index(given)["vectors"]
        return {"vectors": [{"key": each} for each in given["keys"] if each in known]}

    def QueryVectors(self, given: dict[str, Any]) -> dict[str, Any]:
        index, asked = self._index(given), given["queryVector"]["float32"]
        if len(asked) != index["dimension"] or given["topK"] > MOST_NEAREST:
            raise Refusal("ValidationException", 400)
        found = sorted((1 - _cosine(asked, each), key) for key, each in index["vectors"].items())[: given["topK"]]
        rows = [{"key": key, "distance": distance} for distance, key in found]
        return {"vectors": rows, "distanceMetric": "cosine"}

    def DeleteIndex(self, given: dict[str, Any]) -> dict[str, Any]:
        self._index(given)
        del self.indexes[given["indexName"]]
        return {}

    def ListIndexes(self, given: dict[str, Any]) -> dict[str, Any]:
        names = sorted(each for each in self.indexes if each.startswith(given.get("prefix", "")))
        start = int(given.get("nextToken", "0"))
        rows = [{"vectorBucketName": self.bucket, "indexName": each} for each in names[start : start + self.page]]
        more = {"nextToken": str(start + self.page)} if len(names) > start + self.page else {}
        return {"indexes": rows, **more}

    def _index(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["indexName"] not in self.indexes:
            raise Refusal("NotFoundException", 404)
        return self.indexes[given["indexName"]]


def _cosine(left: list[float], right: list[float]) -> float:
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return product / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))
