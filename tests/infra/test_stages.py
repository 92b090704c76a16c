"""The templates of every stage: what is promised about data, grants, secrets and queues, read from what is deployed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from aws_cdk import Stack
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

import app
import config
from local import emulator
from noren import metrics
from noren.ledger.models import Reason
from noren.settings import Settings
from stacks import environment, observability
from stacks.data import STREAMS
from stacks.local import LEFT_OUT
from tests.infra.conftest import STAGES, Resource, Synthesized, context, synthesize

Synthesize = Callable[[str], Synthesized]

RUNTIME_NAMES = {
    "AWS_LAMBDA_EXEC_WRAPPER",
    "AWS_LWA_INVOKE_MODE",
    "AWS_LWA_PORT",
    "AWS_LWA_READINESS_CHECK_PATH",
    "PORT",
}
"""Variables for Lambda and the Web Adapter; all others are fields of Settings."""

TABLES = {"tenants", "quotas", "credits", "billing", "usage", "sites", "events", "webhooks", "knowledge", "runtime"}
RECOVERABLE = TABLES - {"runtime"}
EXPIRING = {"billing", "sites", "runtime", "usage", "events", "webhooks", "knowledge"}

STARS_ALLOWED = {
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",  # tracing knows no resources
}

OBJECT_ACTIONS = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
"""Of a bucket's objects, which no template can name."""


def statements(resource: Resource) -> Iterator[dict[str, Any]]:
    """The statements of a policy, actions and resources as lists."""
    for each in resource.properties["PolicyDocument"]["Statement"]:
        listed = {key: value if isinstance(value, list) else [value] for key, value in each.items()}
        yield each | {"Action": listed["Action"], "Resource": listed.get("Resource", [])}


def own_policies(stage: Synthesized) -> list[Resource]:
    """The policies of our functions' roles (CDK's own deployment helpers are answered in stacks/web.py)."""
    roles = {json.dumps(each.properties["Role"]) for each in stage.functions()}
    ids = {match for role in roles for match in re.findall(r'"(\w+Role\w+)"', role)}
    return [
        each
        for each in stage.of("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        if any(role.get("Ref") in ids for role in each.properties.get("Roles", []))
    ]


@pytest.mark.parametrize("name", [None, "", "production", "LOCAL"])
def test_an_unknown_stage_is_refused_in_plain_words(name: str | None) -> None:
    with pytest.raises(ValueError, match="cdk deploy --all -c stage=dev"):
        config.load(name)


def test_synthesis_needs_a_stage() -> None:
    with pytest.raises(ValueError, match="Which stage"):
        app.build()


def test_context_moves_endpoints_and_nothing_else() -> None:
    plain = config.load("dev")
    moved = config.load("dev", {"openai_base_url": "http://127.0.0.1:1/v1", "retain": "yes", "name": "x"}.get)
    assert moved.endpoints.openai_base_url == "http://127.0.0.1:1/v1"
    assert (moved.name, moved.retain) == (plain.name, plain.retain)


def test_a_broken_rule_stops_synthesis(tmp_path: Any) -> None:
    """The fixtures below pass because nothing is broken, not because nothing is checked."""
    broken = app.build(context=context("dev"), outdir=str(tmp_path))
    stack = Stack(broken, "Broken")
    s3.Bucket(stack, "Open")
    sqs.Queue(stack, "Plain")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        broken.synth()


def test_every_variable_is_a_setting(stage: Synthesized) -> None:
    known = {field.name.upper() for field in fields(Settings)} | RUNTIME_NAMES
    assert stage.functions()
    for function in stage.functions():
        variables = function.properties["Environment"]["Variables"]
        assert set(variables) <= known, function.id
        assert variables["STAGE"] == stage.stage
        assert all(variables.values()), f"{function.id} has an empty variable"


def test_no_variable_holds_a_secret(stage: Synthesized) -> None:
    for function in stage.functions():
        for name, value in function.properties["Environment"]["Variables"].items():
            if re.search("SECRET|KEY|TOKEN|PASSWORD", name):
                assert name.endswith("_ARN"), name
            assert "resolve:secretsmanager" not in json.dumps(value), name


def test_indexes_are_built_where_there_is_room_and_snapshots_are_small(stage: Synthesized) -> None:
    functions = {each.properties["Description"].split()[1]: each.properties for each in stage.functions()}
    disks = {name: each.get("EphemeralStorage", {}).get("Size", 512) for name, each in functions.items()}
    assert disks["publisher"] >= 2048
    snapped = [name for name, each in functions.items() if "SnapStart" in each]
    assert all(disks[each] <= 512 for each in snapped), "Lambda refuses SnapStart with more"


def test_what_trains_may_have_its_messages_back_soon(stage: Synthesized) -> None:
    for function, queue in (("TrainWorker", "TrainQueue"), ("Publisher", "PublishQueue")):
        (policy,) = [each for each in own_policies(stage) if each.id.startswith(function)]
        granted = [each for each in statements(policy) if "sqs:ChangeMessageVisibility" in each["Action"]]
        assert [queue in json.dumps(each["Resource"]) for each in granted] == [True]


def test_who_reads_what_strangers_send_has_neither_money_nor_keys_nor_people(stage: Synthesized) -> None:
    """ADR 7. A parser's bug must not reach them, whatever else is granted."""
    extracting = {each.id for each in stage.of("AWS::Lambda::LayerVersion") if "Extracting" in each.id}
    readers = [each for each in stage.functions() if extracting & set(re.findall(r"\w+", json.dumps(each.properties)))]
    names = sorted(each.id.partition("Function")[0] for each in readers)
    assert names == ["Surveyor", "TrainWorker"]
    for name in names:
        policies = [each for each in own_policies(stage) if each.id.startswith(f"{name}Role")]
        written = {table for table, actions in granted(policies).items() if actions - ACTIONS["r"]}
        assert written <= {"knowledge", "runtime"}
        assert not set().union(*granted(policies).values()) & {"DeleteItem", "BatchWriteItem", "Scan"}
        assert set(granted(policies)) <= {"tenants", "sites", "knowledge", "runtime"}
        actions = {action for policy in policies for each in statements(policy) for action in each["Action"]}
        assert not {each for each in actions if each.startswith(("secretsmanager:", "s3vectors:", "ses:", "lambda:"))}
        assert not actions & {"s3:DeleteObject", "s3:ListBucket"}
    for each in readers:
        variables = set(each.properties["Environment"]["Variables"])
        assert not [name for name in variables if name.endswith(("_ARN", "_BASE_URL", "_ENDPOINT", "VECTOR_BUCKET"))]


def test_each_function_has_a_role_of_its_own(stage: Synthesized) -> None:
    roles = [json.dumps(each.properties["Role"]) for each in stage.functions()]
    assert len(set(roles)) == len(roles) == FUNCTIONS


def test_no_policy_has_a_star_beyond_the_list(stage: Synthesized) -> None:
    assert len(own_policies(stage)) >= FUNCTIONS
    for policy in own_policies(stage):
        for statement in statements(policy):
            if any("*" in action for action in statement["Action"]) or "*" in statement["Resource"]:
                assert set(statement["Action"]) <= STARS_ALLOWED, (policy.id, statement)
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            for resource in statement["Resource"]:
                named = json.dumps(resource).replace('", {"Ref": "AWS::AccountId"}, "', "123456789012")
                if resource == "*" or "*" not in named:
                    continue
                things = re.search(rf'"arn:aws:s3:::noren-{stage.stage}-knowledge-[0-9]+-[a-z0-9-]+/([*/a-z]+)"', named)
                assert things, (policy.id, named)
                assert things[1] in ("*", "*/*/index/*", "*/*/uploads/*", "*/*/docs/*")
                assert set(statement["Action"]) <= OBJECT_ACTIONS, (policy.id, statement)


def test_objects_are_touched_in_our_bucket_alone(stage: Synthesized) -> None:
    ours = re.compile(
        rf'noren-{stage.stage}-knowledge-(", {{"Ref": "AWS::AccountId"}}, "|[0-9]+)-[a-z0-9-]+(/[*/a-z]+)?"'
    )
    using: dict[str, set[str]] = {}
    for policy in own_policies(stage):
        for statement in statements(policy):
            if actions := {each for each in statement["Action"] if each.startswith("s3:")}:
                assert actions <= OBJECT_ACTIONS | {"s3:ListBucket"}
                for resource in statement["Resource"]:
                    assert ours.search(json.dumps(resource)), (policy.id, resource)
                    is_objects = json.dumps(resource).endswith('*"]]}')
                    assert is_objects is ("s3:ListBucket" not in actions), statement
                using.setdefault(policy.id.partition("Role")[0], set()).update(actions)
    assert using == {
        "Chat": {"s3:GetObject"},
        "PlatformApi": {"s3:PutObject", "s3:DeleteObject"},
        "Scheduler": {"s3:DeleteObject", "s3:ListBucket"},
        "TrainWorker": {"s3:GetObject", "s3:PutObject"},
        "Publisher": OBJECT_ACTIONS | {"s3:ListBucket"},
    }


def test_files_are_posted_to_the_bucket_by_the_console_alone(stage: Synthesized) -> None:
    (bucket,) = [each for each in stage.of("AWS::S3::Bucket") if each.stack.endswith("-Data")]
    (rule,) = bucket.properties["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedMethods"] == ["POST"]
    (origin,) = rule["AllowedOrigins"]
    assert "*" not in json.dumps(origin)
    assert "*" not in json.dumps(rule["AllowedHeaders"])
    if stage.stage == "local":
        assert origin == "http://127.0.0.1:8080"


VECTOR_ACTIONS = {
    "Chat": {"QueryVectors"},
    "Scheduler": {"DeleteIndex", "ListIndexes"},
    "Publisher": {"CreateIndex", "PutVectors", "GetVectors", "QueryVectors", "DeleteIndex", "ListIndexes"},
}


def test_a_stage_has_a_bucket_of_vectors_only_where_it_wants_one(
    synthesized: Synthesize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synthesized("dev").of("AWS::S3Vectors::VectorBucket") == []
    assert config.load("dev", {"s3_vectors": "true"}.get).s3_vectors
    monkeypatch.setitem(config._STAGES, "dev", replace(config.load("dev"), s3_vectors=True))
    made = synthesize("dev", tmp_path)
    (bucket,) = made.of("AWS::S3Vectors::VectorBucket")
    assert bucket.properties["EncryptionConfiguration"]["SseType"] == "aws:kms"
    granted: dict[str, set[str]] = {}
    for policy in own_policies(made):
        for statement in statements(policy):
            actions = {each for each in statement["Action"] if each.startswith("s3vectors:")}
            if actions:
                for resource in statement["Resource"]:
                    assert re.search(r':bucket/noren-dev-vectors-.*ap-northeast-1(/index/\*)?"', json.dumps(resource))
                named = granted.setdefault(policy.id.partition("Role")[0], set())
                named.update(each.partition(":")[2] for each in actions)
    assert granted == VECTOR_ACTIONS
    named_to = {
        each.id.partition("Function")[0]
        for each in made.functions()
        if "VECTOR_BUCKET" in each.properties["Environment"]["Variables"]
    }
    assert named_to == set(VECTOR_ACTIONS)


def test_only_the_scheduler_scans(stage: Synthesized) -> None:
    scanning = {
        policy.id
        for policy in own_policies(stage)
        for statement in statements(policy)
        if "dynamodb:Scan" in statement["Action"]
    }
    assert [name[:9] for name in scanning] == ["Scheduler"]


FUNCTIONS = 15

GRANTS = {
    "Chat": {
        "tenants": "ru",
        "quotas": "rw",
        "credits": "rw",
        "usage": "rw",
        "sites": "rwd",
        "events": "w",
        "knowledge": "r",
        "runtime": "rwd",
    },
    "PlatformApi": {
        "tenants": "rwd",
        "quotas": "rw",
        "credits": "rw",
        "billing": "rw",
        "usage": "r",
        "sites": "rwd",
        "events": "rw",
        "webhooks": "rwd",
        "knowledge": "rwd",
        "runtime": "rwd",
    },
    "CognitoTriggers": {"tenants": "rw", "quotas": "rw", "credits": "rw", "sites": "rw"},
    "MailWorker": {},
    "SummaryWorker": {"tenants": "r", "usage": "w", "sites": "rw", "runtime": "rwd"},
    "StripeWebhook": {"billing": "w", "events": "w"},
    "StripeWorker": {
        "tenants": "rw",
        "quotas": "rw",
        "credits": "rw",
        "billing": "rw",
        "usage": "r",
        "sites": "rw",
        "events": "rw",
    },
    "Scheduler": {
        "tenants": "r",
        "quotas": "rws",
        "credits": "rw",
        "usage": "rw",
        "sites": "rwd",
        "knowledge": "rwd",
    },
    "QuotaStream": {
        "tenants": "ru",
        "quotas": "rw",
        "credits": "rw",
        "usage": "rw",
        "sites": "rw",
        "events": "rw",
    },
    "UsageStream": {"tenants": "r", "usage": "rw"},
    "EventStream": {"webhooks": "rw"},
    "WebhookSender": {"tenants": "r", "events": "rw", "webhooks": "rwd", "runtime": "rwd"},
    "Surveyor": {},
    "TrainWorker": {"tenants": "r", "sites": "r", "knowledge": "rwb", "runtime": "rw"},
    "Publisher": {
        "tenants": "r",
        "quotas": "rw",
        "credits": "rw",
        "usage": "rw",
        "sites": "rw",
        "events": "rw",
        "knowledge": "rwd",
        "runtime": "rwd",
    },
}
"""What each function may do with which table: nobody deletes accounts or records."""

ACTIONS = {
    "r": {"GetItem", "Query"},
    "w": {"PutItem", "UpdateItem"},
    "u": {"UpdateItem"},
    "b": {"BatchGetItem"},
    "d": {"DeleteItem", "BatchGetItem", "BatchWriteItem"},
    "s": {"Scan"},
}


def granted(policies: list[Resource]) -> dict[str, set[str]]:
    """Table to the DynamoDB actions that the policies grant on it."""
    found: dict[str, set[str]] = {}
    tables = "|".join(each.title() for each in TABLES)
    for policy in policies:
        for statement in statements(policy):
            actions = {action.removeprefix("dynamodb:") for action in statement["Action"]}
            for resource in statement["Resource"]:
                if table := re.search(rf"GetAtt({tables})\w{{8}}Arn", json.dumps(resource)):
                    found.setdefault(table[1].lower(), set()).update(actions)
    return found


@pytest.mark.parametrize("name", GRANTS)
def test_tables_are_granted_as_said(stage: Synthesized, name: str) -> None:
    policies = [each for each in own_policies(stage) if each.id.startswith(f"{name}Role")]
    wanted = {table: set().union(*(ACTIONS[kind] for kind in kinds)) for table, kinds in GRANTS[name].items()}
    assert granted(policies) == wanted


def test_chats_read_indexes_alone_and_list_nothing(stage: Synthesized) -> None:
    (allowed,) = [
        statement
        for policy in own_policies(stage)
        if policy.id.startswith("ChatRole")
        for statement in statements(policy)
        if any(action.startswith("s3:") for action in statement["Action"])
    ]
    assert allowed["Action"] == ["s3:GetObject"]
    (resource,) = allowed["Resource"]
    assert re.search(r'-knowledge-.*/\*/\*/index/\*"', json.dumps(resource))


def test_the_platform_stores_uploads_and_deletes_texts_alone(stage: Synthesized) -> None:
    allowed = [
        statement
        for policy in own_policies(stage)
        if policy.id.startswith("PlatformApiRole")
        for statement in statements(policy)
        if any(action.startswith("s3:") for action in statement["Action"])
    ]
    found = {
        (action, re.sub(r'.*-knowledge-[^/]*/([*/a-z]+)".*', r"\1", json.dumps(resource)))
        for each in allowed
        for action in each["Action"]
        for resource in each["Resource"]
    }
    assert found == {("s3:PutObject", "*/*/uploads/*"), ("s3:DeleteObject", "*/*/docs/*")}


def test_the_reader_of_pages_touches_texts_and_uploads_alone(stage: Synthesized) -> None:
    found = {
        (action, re.sub(r'.*-knowledge-[^/]*/([*/a-z]+)".*', r"\1", json.dumps(resource)))
        for policy in own_policies(stage)
        if policy.id.startswith("TrainWorkerRole")
        for each in statements(policy)
        for action in each["Action"]
        if action.startswith("s3:")
        for resource in each["Resource"]
    }
    objects = ("*/*/docs/*", "*/*/uploads/*")
    assert found == {(action, each) for action in ("s3:GetObject", "s3:PutObject") for each in objects}


def test_tables_are_encrypted_recoverable_and_expire(stage: Synthesized) -> None:
    tables = {re.sub(r"\w{8}$", "", each.id).lower(): each for each in stage.of("AWS::DynamoDB::GlobalTable")}
    assert set(tables) == TABLES
    assert not stage.of("AWS::DynamoDB::Table")
    for name, table in tables.items():
        (replica,) = table.properties["Replicas"]
        assert table.properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
        assert replica["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": [stage.of("AWS::KMS::Key")[0].id, "Arn"]}
        assert table.properties["BillingMode"] == "PAY_PER_REQUEST"
        recovery = replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert recovery is (name in RECOVERABLE)
        expiry = table.properties.get("TimeToLiveSpecification", {})
        assert expiry == ({"AttributeName": "expires_at", "Enabled": True} if name in EXPIRING else {})
        protected = stage.stage == "prod"
        assert replica.get("DeletionProtectionEnabled", False) is protected
        assert table.whole["DeletionPolicy"] == ("Retain" if protected else "Delete")


def test_prod_keeps_what_holds_data_and_dev_keeps_nothing(synthesized: Synthesize) -> None:
    stateful = (
        "AWS::KMS::Key",
        "AWS::SecretsManager::Secret",
        "AWS::Cognito::UserPool",
        "AWS::SQS::Queue",
        "AWS::S3::Bucket",
    )
    for name, policy in (("prod", "Retain"), ("dev", "Delete")):
        found = synthesized(name).of(*stateful)
        assert {each.type for each in found} == set(stateful)
        assert {each.whole["DeletionPolicy"] for each in found} == {policy}
    (pool,) = synthesized("prod").of("AWS::Cognito::UserPool")
    assert pool.properties["DeletionProtection"] == "ACTIVE"


def test_queues_retry_then_set_aside(stage: Synthesized) -> None:
    queues = {each.id: each for each in stage.of("AWS::SQS::Queue")}
    working = [each for each in queues.values() if "RedrivePolicy" in each.properties]
    assert len(queues) == 2 * len(working) + 1 == 13  # and one for what streams gave up on
    for queue in queues.values():
        assert queue.properties["KmsMasterKeyId"]
    for queue in working:
        assert queue.properties["RedrivePolicy"]["maxReceiveCount"] == 5
    denying = json.dumps([each.properties for each in stage.of("AWS::SQS::QueuePolicy")])
    assert denying.count('"aws:SecureTransport": "false"') == (0 if stage.stage == "local" else len(queues))


WORKERS = {
    "MailWorker": "Mail",
    "SummaryWorker": "Summary",
    "StripeWorker": "Billing",
    "WebhookSender": "Webhook",
    "TrainWorker": "Train",
    "Publisher": "Publish",
}
"""Function to its queue."""


def test_workers_answer_for_each_message_and_have_time(stage: Synthesized) -> None:
    timeouts = {each.id: each.properties["Timeout"] for each in stage.functions()}
    sources = stage.of("AWS::Lambda::EventSourceMapping")
    assert len(sources) == len(WORKERS) + len(STREAMS)
    for source in sources:
        assert source.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        target = json.dumps(source.properties["FunctionName"])
        if "StartingPosition" in source.properties:
            assert source.properties["StartingPosition"] == "TRIM_HORIZON"
            assert source.properties["DestinationConfig"]["OnFailure"]["Destination"]
            assert source.properties["MaximumRecordAgeInSeconds"] < 86_400  # a stream keeps a day
            assert source.properties["BisectBatchOnFunctionError"] is True
            continue
        worker, queue = next(pair for pair in WORKERS.items() if pair[0] in target)
        (timeout,) = (value for name, value in timeouts.items() if name.startswith(worker))
        (made,) = (each for each in stage.of("AWS::SQS::Queue") if each.id.startswith(f"{queue}Queue"))
        assert made.properties["VisibilityTimeout"] >= 6 * timeout


def test_summaries_dont_call_the_function_that_writes_them(stage: Synthesized) -> None:
    (source,) = (
        each.properties
        for each in stage.of("AWS::Lambda::EventSourceMapping")
        if "UsageStream" in json.dumps(each.properties["FunctionName"])
    )
    (only,) = (json.loads(each["Pattern"]) for each in source["FilterCriteria"]["Filters"])
    assert only == {
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "USE#"}]}}},
    }


def test_webhooks_are_made_of_new_events_alone(stage: Synthesized) -> None:
    (source,) = (
        each.properties
        for each in stage.of("AWS::Lambda::EventSourceMapping")
        if "EventStream" in json.dumps(each.properties["FunctionName"])
    )
    (only,) = (json.loads(each["Pattern"]) for each in source["FilterCriteria"]["Filters"])
    assert only == {"eventName": ["INSERT"], "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "EVT#"}]}}}}


@pytest.mark.parametrize("name", STAGES)
def test_only_a_local_run_may_fetch_from_its_own_machine(name: str) -> None:
    asked = config.load(name, {"fetch_allow": "127.0.0.1:8086"}.get)
    assert environment.fetching(asked) == ({"FETCH_ALLOW": "127.0.0.1:8086"} if name == "local" else {})
    naming = [path.name for path in Path("stacks").glob("*.py") if "FETCH_ALLOW" in path.read_text()]
    assert naming == ["environment.py"]


def test_apis_are_regional_throttled_logged_and_traced(stage: Synthesized) -> None:
    apis = stage.of("AWS::ApiGateway::RestApi")
    assert [each.properties["EndpointConfiguration"] for each in apis] == [{"Types": ["REGIONAL"]}] * 2
    for each in stage.of("AWS::ApiGateway::Stage"):
        assert each.properties["TracingEnabled"] is True
        assert each.properties["AccessLogSetting"]["DestinationArn"]
        (settings,) = each.properties["MethodSettings"]
        assert 0 < settings["ThrottlingRateLimit"] <= settings["ThrottlingBurstLimit"]
        assert settings["DataTraceEnabled"] is False


def test_the_platform_api_knows_where_it_is(stage: Synthesized) -> None:
    """Snippets hold its address. Taken from the deployed stage, it would be a cycle."""
    (function,) = (each for each in stage.functions() if each.id.startswith("PlatformApi"))
    address = function.properties["Environment"]["Variables"]["PLATFORM_URL"]
    if stage.stage == "local":
        assert address == "http://127.0.0.1:8080"
        return
    parts = address["Fn::Join"][1]
    assert parts[0] == "https://"
    assert "Ref" in parts[1]
    assert parts[-1].endswith(f"/{stage.stage}")


def test_deleted_sites_are_purged_once_a_day(stage: Synthesized) -> None:
    jobs = {
        json.loads(target["Input"])["job"]: each.properties["ScheduleExpression"]
        for each in stage.of("AWS::Events::Rule")
        for target in each.properties["Targets"]
    }
    assert jobs["purge"] == "cron(40 18 * * ? *)"


def test_the_inference_api_streams_where_it_can(stage: Synthesized) -> None:
    modes = {
        (each.stack.split("-")[-1], each.properties["Integration"].get("ResponseTransferMode"))
        for each in stage.of("AWS::ApiGateway::Method")
    }
    streamed = None if stage.stage == "local" else "STREAM"
    assert modes == {("Platform", None), ("Inference", streamed)}


def test_the_console_signs_in_without_a_secret(stage: Synthesized) -> None:
    (client,) = stage.of("AWS::Cognito::UserPoolClient")
    assert client.properties["GenerateSecret"] is False
    assert client.properties["AllowedOAuthFlows"] == ["code"]
    flows = {"ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}
    extra = {"ALLOW_USER_PASSWORD_AUTH"} if stage.stage == "local" else set()
    assert set(client.properties["ExplicitAuthFlows"]) == flows | extra
    (pool,) = stage.of("AWS::Cognito::UserPool")
    assert pool.properties["MfaConfiguration"] == "OPTIONAL"
    assert pool.properties["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
    assert set(pool.properties["LambdaConfig"]) == {"PostConfirmation"}


def test_buckets_are_private_and_pages_guarded(synthesized: Synthesize) -> None:
    prod = synthesized("prod")
    for bucket in prod.of("AWS::S3::Bucket"):
        assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
    (policy,) = [each for each in prod.of("AWS::CloudFront::ResponseHeadersPolicy") if not each.id.startswith("Widget")]
    headers = policy.properties["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    content = json.dumps(headers["ContentSecurityPolicy"]["ContentSecurityPolicy"])
    assert "unsafe-inline" not in content
    assert "{connect}" not in content
    assert "noren-prod-knowledge-" in content, "files are posted to the bucket by the page"
    assert "frame-ancestors 'none'" in content
    assert headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31_536_000


def test_the_widgets_scripts_load_into_any_page_and_stay(synthesized: Synthesize) -> None:
    prod = synthesized("prod")
    (policy,) = [
        each for each in prod.of("AWS::CloudFront::ResponseHeadersPolicy") if each.id.startswith("WidgetHeaders")
    ]
    settings = policy.properties["ResponseHeadersPolicyConfig"]
    assert settings["CorsConfig"]["AccessControlAllowOrigins"] == {"Items": ["*"]}
    assert settings["CorsConfig"]["AccessControlAllowCredentials"] is False
    custom = {each["Header"]: each["Value"] for each in settings["CustomHeadersConfig"]["Items"]}
    assert custom == {"Cross-Origin-Resource-Policy": "cross-origin"}
    (distribution,) = prod.of("AWS::CloudFront::Distribution")
    (behaviour,) = distribution.properties["DistributionConfig"]["CacheBehaviors"]
    assert behaviour["PathPattern"] == "/widget/*"
    assert behaviour["ResponseHeadersPolicyId"] == {"Ref": policy.id}
    page, widget = sorted(
        prod.of("Custom::CDKBucketDeployment"), key=lambda each: "DestinationBucketKeyPrefix" in each.properties
    )
    assert page.properties["Exclude"] == ["widget/*"], "the page's deployment would remove the widget"
    assert widget.properties["DestinationBucketKeyPrefix"] == "widget/"
    assert widget.properties["Prune"] is False, "pages name older scripts by their hash"
    assert widget.properties["SystemMetadata"] == {"cache-control": "public, max-age=31536000, immutable"}


def test_the_widgets_scripts_are_there_before_anything_names_them(synthesized: Synthesize) -> None:
    prod = synthesized("prod")
    artifacts = json.loads((prod.folder / "manifest.json").read_text())["artifacts"]
    assert "Noren-prod-Widget" in artifacts["Noren-prod-Platform"]["dependencies"]


def test_the_platform_api_takes_the_widgets_manifest_along(synthesized: Synthesize) -> None:
    dev = synthesized("dev")
    manifests = [path.relative_to(dev.folder) for path in dev.folder.glob("asset.*/platform_api/widget.json")]
    assert len(manifests) == 1


def test_prod_has_a_firewall_before_all_that_is_public(synthesized: Synthesize) -> None:
    guarded = {each.stack.split("-")[-1] for each in synthesized("prod").of("AWS::WAFv2::WebACLAssociation")}
    assert guarded == {"Identity", "Inference", "Platform"}


def test_prod_rolls_back_and_wakes_somebody(synthesized: Synthesize) -> None:
    prod = synthesized("prod")
    groups = prod.of("AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == len(prod.functions())
    assert all(each.properties["AlarmConfiguration"]["Alarms"] for each in groups)
    alarms = [each for each in prod.of("AWS::CloudWatch::Alarm") if each.stack.endswith("Observability")]
    assert len(alarms) == 3 * len(prod.functions()) + len(STREAMS) + 6 + 2 + len(WORKERS) + 1
    assert all(each.properties["AlarmActions"] for each in alarms)
    assert prod.of("AWS::CloudWatch::Dashboard")


def test_every_own_metric_that_is_looked_at_is_one_that_is_written(synthesized: Synthesize) -> None:
    """An alarm on a misspelt metric is silent for ever."""
    prod = synthesized("prod")
    (board,) = prod.of("AWS::CloudWatch::Dashboard")
    shown = re.findall(
        r'"Noren","(\w+)",(?:"reason","\w+",)?"stage","prod"', json.dumps(board.properties).replace("\\", "")
    )
    alarmed = [
        each.properties["MetricName"]
        for each in prod.of("AWS::CloudWatch::Alarm")
        if each.properties.get("Namespace") == metrics.NAMESPACE
        and each.properties.get("Dimensions") == [{"Name": "stage", "Value": "prod"}]
    ]
    looked_at = ["AuditLost", "BooksDiffer", "BreakerOpened", "IndexUnavailable", "LateSettlements", "PaymentsDiffer"]
    assert sorted(alarmed) == looked_at
    assert set(shown) == set(metrics.UNITS)
    sources = "".join(path.read_text() for path in Path("layers/noren/python/noren").rglob("*.py"))
    for name in metrics.UNITS:
        assert re.search(rf"measured\([^()]*\b{name}=", sources), name
    assert set(observability.REASONS) | {"embedding"} == {*get_args(Reason), "rate"}


def test_no_log_keeps_whole_addresses(stage: Synthesized) -> None:
    formats = [each.properties["AccessLogSetting"]["Format"] for each in stage.of("AWS::ApiGateway::Stage")]
    assert len(formats) == 2
    assert not any("sourceIp" in each for each in formats)


def emulator_types() -> set[str]:
    """What the emulator's CloudFormation can make."""
    code = "from ministack.services.cloudformation import provisioners as p; print(*p._RESOURCE_HANDLERS)"
    python = emulator.HOME / "emu" / "bin" / "python"
    return set(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_emulator_can_make_everything_local(synthesized: Synthesize) -> None:
    known = emulator_types()
    missing = {each.type for each in synthesized("local").resources} - known
    assert not missing - {"AWS::CDK::Metadata"}


def test_local_lacks_only_what_is_listed(synthesized: Synthesize) -> None:
    local, prod = ({each.type for each in synthesized(name).resources} for name in ("local", "prod"))
    in_other_stacks = {
        each.type
        for each in synthesized("prod").resources
        if not each.stack.endswith(("-Web", "-Widget", "-Page", "-Observability", "-Firewall"))
    }
    assert in_other_stacks - local == {
        "AWS::CloudWatch::Alarm",  # of the canary
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::Cognito::ManagedLoginBranding",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Version",
        "AWS::S3::BucketPolicy",  # which denies plain HTTP, like the next
        "AWS::SQS::QueuePolicy",
        "AWS::WAFv2::WebACLAssociation",
    }
    assert local <= prod
    assert all(LEFT_OUT.values())


def test_every_stage_is_tested() -> None:
    assert set(config._STAGES) == set(STAGES)


def test_the_gateways_own_errors_are_ours_and_readable(stage: Synthesized) -> None:
    import noren.errors

    codes = {each.code: each.status for each in vars(noren.errors).values() if hasattr(each, "code")}
    answers = stage.of("AWS::ApiGateway::GatewayResponse")
    assert len(answers) == 2 * 6
    for each in answers:
        headers = each.properties["ResponseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        template = each.properties["ResponseTemplates"]["application/json"]
        body = json.loads(template.replace("$context.error.messageString", '"Too many"'))
        assert codes[body["code"]] == body["status"] == int(each.properties["StatusCode"])
        assert {"type", "title", "detail", "trace_id"} < set(body)
        assert body["error"]["code"] == body["code"]  # what OpenAI's SDKs read
        assert body["error"]["message"] == "Too many"


def test_every_option_together_is_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Own domains, mail through SES, threat protection, somebody to wake."""
    certificate = "arn:aws:acm:us-east-1:123456789012:certificate/0"
    domains = config.Domains("api.noren.example", "chat.noren.example", certificate, "noren.example", certificate)
    endpoints = config.Endpoints(mail_from="Noren <no-reply@noren.example>")
    full = replace(
        config.load("prod"),
        domains=domains,
        endpoints=endpoints,
        ses_sign_up_mail=True,
        threat_protection=True,
        alarm_email="ops@noren.example",
    )
    monkeypatch.setitem(config._STAGES, "prod", full)
    made = synthesize("prod", tmp_path)
    names = {each.properties["DomainName"] for each in made.of("AWS::ApiGateway::DomainName")}
    assert names == {domains.platform, domains.inference}
    (page,) = made.of("AWS::CloudFront::Distribution")
    assert page.properties["DistributionConfig"]["Aliases"] == [domains.console]
    assert page.properties["DistributionConfig"]["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    (policy,) = [each for each in made.of("AWS::CloudFront::ResponseHeadersPolicy") if not each.id.startswith("Widget")]
    assert "execute-api" not in json.dumps(policy.properties)
    (pool,) = made.of("AWS::Cognito::UserPool")
    assert pool.properties["EmailConfiguration"]["EmailSendingAccount"] == "DEVELOPER"
    assert pool.properties["UserPoolAddOns"] == {"AdvancedSecurityMode": "ENFORCED"}
    (mail,) = made.of("AWS::SNS::Subscription")
    assert mail.properties["Endpoint"] == "ops@noren.example"
    (platform,) = (each for each in made.functions() if each.id.startswith("PlatformApi"))
    variables = platform.properties["Environment"]["Variables"]
    assert variables["CONSOLE_URL"] == "https://noren.example"
    assert variables["INFERENCE_URL"] == "https://chat.noren.example"
