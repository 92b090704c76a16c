"""A bucket of Amazon S3 Vectors for the vectors of very large sites, where a stage wants one."""

from __future__ import annotations

from typing import Any, Literal, cast

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3vectors as s3vectors

from config import Stage
from stacks import nag
from stacks.function import PythonFunction
from stacks.local import has

Use = Literal["query", "build", "remove"]

_ACTIONS: dict[Use, tuple[str, ...]] = {
    "query": ("QueryVectors",),
    "build": ("CreateIndex", "PutVectors", "GetVectors", "QueryVectors", "DeleteIndex"),
    "remove": ("DeleteIndex",),
}


class VectorBucket:
    """Made in the stateful stack; nothing at all where the stage goes without."""

    def __init__(self, scope: Stack, stage: Stage, key: kms.Key, removal: RemovalPolicy) -> None:
        self._is_there = stage.s3_vectors and has(stage, "s3_vectors")
        # A name that all stacks know, like the other bucket's.
        self._name = f"noren-{stage.name}-vectors-{scope.account}-{stage.region}"
        self._arn = f"arn:aws:s3vectors:{stage.region}:{scope.account}:bucket/{self._name}"
        if not self._is_there:
            return
        made = s3vectors.CfnVectorBucket(
            scope,
            "Vectors",
            vector_bucket_name=self._name,
            encryption_configuration=s3vectors.CfnVectorBucket.EncryptionConfigurationProperty(
                sse_type="aws:kms", kms_key_arn=key.key_arn
            ),
        )
        made.apply_removal_policy(removal)
        key.add_to_resource_policy(  # indexes are kept up behind the calls
            iam.PolicyStatement(
                principals=[cast(iam.IPrincipal, iam.ServicePrincipal("indexing.s3vectors.amazonaws.com"))],
                actions=["kms:Decrypt"],
                resources=["*"],  # in a key's own policy: this key
                conditions={
                    "StringEquals": {"aws:SourceAccount": scope.account},
                    "ArnLike": {"aws:SourceArn": self._arn},
                },
            )
        )

    @property
    def variables(self) -> dict[str, str]:
        """What names the bucket to a function."""
        return {"VECTOR_BUCKET": self._name} if self._is_there else {}

    def grant(self, made: PythonFunction, use: Use) -> None:
        """Let a function search indexes, build them, or only remove them."""
        if not self._is_there:
            return
        indexes = f"{self._arn}/index/*"
        actions = [f"s3vectors:{each}" for each in _ACTIONS[use]]
        made.function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=[indexes]))
        if use != "query":
            listing = iam.PolicyStatement(actions=["s3vectors:ListIndexes"], resources=[self._arn])
            made.function.add_to_role_policy(listing)
        finding = indexes
        account: Any = Stack.of(made.function).account
        if Token.is_unresolved(account):
            finding = finding.replace(account, "<AWS::AccountId>")
        reason = "Indexes are named by a hash of tenant and site; the functions' code keeps them apart"
        nag.acknowledge(made, {f"IAM5[Resource::{finding}]": reason})
