"""What the emulator's CloudFormation leaves undone, done after a deployment with the values of the templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import boto3

from local import emulator

_KEPT_OF_MAPPINGS = (
    "EventSourceArn",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "FilterCriteria",
    "FunctionResponseTypes",
    "DestinationConfig",
)


def apply(endpoint: str, assembly: Path) -> None:
    """Bring deployed resources to what their templates (in the cloud assembly) say. Idempotent."""
    formation = _client("cloudformation", endpoint)
    for path in sorted(assembly.glob("*.template.json")):
        stack = path.name.removesuffix(".template.json")
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack)
        physical = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        }
        for logical_id, resource in json.loads(path.read_text())["Resources"].items():
            _resource(endpoint, resource["Type"], resource.get("Properties", {}), logical_id, physical)


def allow_plain_http(endpoint: str) -> None:
    """Lift the denial of plain HTTP from the CDK's own bucket: with AUTH=true it would refuse every asset."""
    s3 = _client("s3", endpoint)
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith("cdk-"):
            s3.delete_bucket_policy(Bucket=bucket["Name"])


def follow_streams_again(endpoint: str) -> None:
    """After a restart a table's stream is empty, but whoever follows it waits at the place where they were before.

    Changes that nobody had taken when it stopped are gone: `noren usage rebuild` finds what they left out.
    """
    functions = _client("lambda", endpoint)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if ":dynamodb:" in mapping["EventSourceArn"]:
            kept = {name: mapping[name] for name in _KEPT_OF_MAPPINGS if mapping.get(name)}
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
            functions.create_event_source_mapping(
                FunctionName=mapping["FunctionArn"], StartingPosition="TRIM_HORIZON", **kept
            )


def _resource(
    endpoint: str, kind: str, properties: dict[str, Any], logical_id: str, physical: Mapping[str, str]
) -> None:
    match kind:
        case "AWS::DynamoDB::GlobalTable" | "AWS::DynamoDB::Table":
            _time_to_live(endpoint, properties, physical[logical_id])
        case "AWS::Lambda::Function":
            _mail_identity(endpoint, properties)
        case "AWS::IAM::Policy":
            _send_mail(endpoint, properties, physical)


def _time_to_live(endpoint: str, properties: dict[str, Any], table: str) -> None:
    """CloudFormation drops a table's time-to-live."""
    wanted = properties.get("TimeToLiveSpecification")
    if not wanted:
        return
    dynamodb = _client("dynamodb", endpoint)
    if dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"] != "ENABLED":
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": wanted["AttributeName"]}
        )


def _mail_identity(endpoint: str, properties: dict[str, Any]) -> None:
    """On AWS the operator verifies the sender's address or domain; here nobody can."""
    sender = parseaddr(properties.get("Environment", {}).get("Variables", {}).get("MAIL_FROM", ""))[1]
    if sender:
        _client("ses", endpoint).verify_domain_identity(Domain=sender.partition("@")[2])


def _send_mail(endpoint: str, properties: dict[str, Any], physical: Mapping[str, str]) -> None:
    """With AUTH=true `ses:SendEmail` is judged on `*`: a policy that grants it on an identity is repeated on that."""
    if "ses:SendEmail" not in json.dumps(properties["PolicyDocument"]):
        return
    allowed = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    for role in properties["Roles"]:
        name = physical[role["Ref"]]
        _client("iam", endpoint).put_role_policy(RoleName=name, PolicyName="judged-on-star", PolicyDocument=document)


def _client(service: Any, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=emulator.REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
