"""`cdk deploy --all` of the very app on the embedded cloud, and what a person does first: sign up, sign in, call."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import boto3
import jwt
import pytest
import requests

from local import cloud, emulator
from noren import wiring
from noren.clock import day_of
from noren.ids import TenantId, new_id
from noren.insight.events import Events
from noren.settings import Settings
from noren.usage.models import UsageRecord
from noren.usage.reports import UsageReports, Wanted
from noren.usage.store import UsageStore
from noren.usage.summary_store import SummaryStore
from noren.webhooks import signing
from noren.webhooks.models import Endpoint
from stacks.data import STREAMS


def client(service: Any, deployed: cloud.Outputs, **credentials: str) -> Any:
    keys: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **credentials}
    return boto3.client(service, endpoint_url=deployed.endpoint, region_name=deployed.region, **keys)


@pytest.fixture(scope="package")
def catalogue(deployed: cloud.Outputs) -> None:
    """The plans, which an operator seeds once a stage."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.aws_env(deployed.endpoint).items():
            patch.setenv(name, value)
        wiring.build(Settings.from_env(deployed.chat_environment())).plans.seed()


@pytest.fixture(scope="package")
def tokens(deployed: cloud.Outputs) -> dict[str, str]:
    """Of somebody who just signed up."""
    cognito = client("cognito-idp", deployed)
    email, password = f"{secrets.token_hex(4)}@example.com", f"Aa1!{secrets.token_hex(8)}"
    attributes = [{"Name": "email", "Value": email}]
    cognito.sign_up(ClientId=deployed.client_id, Username=email, Password=password, UserAttributes=attributes)
    cognito.confirm_sign_up(ClientId=deployed.client_id, Username=email, ConfirmationCode="123456")
    answer = cognito.initiate_auth(
        ClientId=deployed.client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    signed_in: dict[str, str] = answer["AuthenticationResult"]
    return signed_in


def test_sign_in_gives_a_token_of_our_pool(deployed: cloud.Outputs, tokens: dict[str, str]) -> None:
    keys = {each["kid"]: each for each in requests.get(deployed.jwks_url, timeout=5).json()["keys"]}
    token = tokens["AccessToken"]
    key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]])
    claims = jwt.decode(token, key.key, algorithms=["RS256"])
    assert claims["iss"] == f"https://cognito-idp.{deployed.region}.amazonaws.com/{deployed.user_pool_id}"
    assert (claims["client_id"], claims["token_use"]) == (deployed.client_id, "access")


def test_a_weak_password_is_refused(deployed: cloud.Outputs) -> None:
    cognito = client("cognito-idp", deployed)
    with pytest.raises(cognito.exceptions.InvalidPasswordException):
        cognito.sign_up(ClientId=deployed.client_id, Username="weak@example.com", Password="short")


def test_the_platform_function_answers_through_its_api(deployed: cloud.Outputs) -> None:
    answer = requests.get(f"{deployed.platform_url}/health", timeout=30)
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("catalogue")
def test_me_is_somebody_with_a_tenant(deployed: cloud.Outputs, tokens: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens['AccessToken']}"}
    answer = requests.get(f"{deployed.platform_url}/api/v1/me", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["plan"]
    assert requests.get(f"{deployed.platform_url}/api/v1/me", timeout=30).status_code == 401


def test_tables_expire_and_have_their_index(deployed: cloud.Outputs) -> None:
    dynamodb = client("dynamodb", deployed)
    for name, table in deployed.tables.items():
        expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        expires = name in ("billing", "sites", "runtime", "usage", "events", "webhooks", "knowledge")
        assert expiry["TimeToLiveStatus"] == ("ENABLED" if expires else "DISABLED")
        indexes = dynamodb.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes", [])
        assert [each["IndexName"] for each in indexes] == (["gsi1"] if name == "tenants" else [])


def test_secrets_are_named_by_arn_and_hold_what_they_should(deployed: cloud.Outputs) -> None:
    manager = client("secretsmanager", deployed)
    for arn in (deployed.provider_secret_arn, deployed.signing_secret_arn):
        assert arn.startswith("arn:aws:secretsmanager:")
    assert json.loads(manager.get_secret_value(SecretId=deployed.provider_secret_arn)["SecretString"]) == {}
    assert len(manager.get_secret_value(SecretId=deployed.signing_secret_arn)["SecretString"]) == 64


def test_uvicorn_gets_the_chat_functions_variables_and_role(deployed: cloud.Outputs) -> None:
    environment = deployed.chat_environment()
    assert environment["QUOTAS_TABLE"] == deployed.tables["quotas"]
    credentials = {name.lower(): environment[name] for name in environment if name.startswith("AWS_") and "KEY" in name}
    caller = client("sts", deployed, **credentials, aws_session_token=environment["AWS_SESSION_TOKEN"])
    assert deployed.chat_role_arn.rsplit("/", 1)[-1] in caller.get_caller_identity()["Arn"]


def test_the_consoles_page_may_post_files_to_the_bucket(deployed: cloud.Outputs) -> None:
    store, bucket = client("s3", deployed), deployed.chat_environment()["KNOWLEDGE_BUCKET"]
    (rule,) = store.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["http://127.0.0.1:8080"], ["POST"])
    key = "ten_1/site_1/uploads/upl_1"
    form = store.generate_presigned_post(bucket, key, ExpiresIn=60)
    assert requests.post(form["url"], form["fields"], files={"file": b"text"}).status_code == 204
    store.delete_object(Bucket=bucket, Key=key)


def test_mail_can_be_sent(deployed: cloud.Outputs) -> None:
    """The sender that functions are told is one that the (emulated) SES accepts."""
    sender = "Noren <no-reply@noren.localhost>"
    message = {"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "There"}}}
    client("sesv2", deployed).send_email(
        FromEmailAddress=sender, Destination={"ToAddresses": ["a@example.com"]}, Content={"Simple": message}
    )
    sent = requests.get(f"{deployed.endpoint}/_ministack/ses/messages", timeout=5).json()["messages"]
    assert any(mail["Subject"] == "Hello" and mail["To"] == ["a@example.com"] for mail in sent[emulator.ACCOUNT])


def test_queues_and_the_clock_reach_their_functions(deployed: cloud.Outputs) -> None:
    mappings = client("lambda", deployed).list_event_source_mappings()["EventSourceMappings"]
    assert len(mappings) == len(deployed.queues) + len(STREAMS)
    assert all(each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in mappings)
    rules = client("events", deployed).list_rules()["Rules"]
    assert [each["ScheduleExpression"] for each in rules if "Sweep" in each["Name"]] == ["rate(5 minutes)"]
    assert [each["ScheduleExpression"] for each in rules if "Reconcile" in each["Name"]] == ["cron(0/10 18-20 * * ? *)"]


def test_a_record_becomes_a_summary_by_the_stream(deployed: cloud.Outputs) -> None:
    dynamodb, table = client("dynamodb", deployed), deployed.tables["usage"]
    tenant_id, now = TenantId(new_id("ten")), time.time()
    record = UsageRecord(new_id("req"), tenant_id, new_id("site"), now, chats=1, model="phi")
    UsageStore(dynamodb, table).put_first(record)
    reports, until = UsageReports(SummaryStore(dynamodb, table)), time.monotonic() + 60
    today = day_of(now, "UTC")
    wanted = Wanted(tenant_id, "UTC", "day", today, today, "site")
    while not (rows := list(reports.rows(wanted))):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert [(row.group, row.tally.chats) for row in rows] == [(record.site_id, 1)]


def test_an_event_becomes_a_webhook_by_stream_and_queue(
    deployed: cloud.Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the guarded client, which calls nobody on this machine: at this deployment nothing is allowed."""
    for name, value in emulator.aws_env(deployed.endpoint).items():
        monkeypatch.setenv(name, value)
    described = client("lambda", deployed).list_functions()["Functions"]
    (sender,) = (each for each in described if "-WebhookSenderFunction" in each["FunctionName"])
    variables = sender["Environment"]["Variables"]
    assert "FETCH_ALLOW" not in variables
    services = wiring.build(Settings.from_env(variables))
    tenant_id, now = TenantId(new_id("ten")), time.time()
    webhook_id = new_id("whk")
    sealed = services.vault.seal(signing.new_secret(), tenant_id=tenant_id, webhook_id=webhook_id)
    endpoint = Endpoint(webhook_id, tenant_id, "https://127.0.0.1/", ("feedback",), sealed, created_at=now)
    services.webhook_endpoints.add(endpoint, 10)
    Events(services.insight, time.time).emit(tenant_id, "feedback", "session", {"rating": 1})
    until = time.monotonic() + 60
    found = services.webhook_deliveries.page(tenant_id, webhook_id, 9, None)[0]
    while not found or not found[0].attempts:
        assert time.monotonic() < until, found
        time.sleep(0.2)
        found = services.webhook_deliveries.page(tenant_id, webhook_id, 9, None)[0]
    (delivery,) = found
    assert (delivery.event_type, delivery.status, delivery.last_error) == ("feedback", "pending", "unreachable")


def test_deploying_the_same_again_is_a_look(deployed: cloud.Outputs) -> None:
    work = emulator.HOME / "deploy-test"
    assert cloud.deploy(deployed.endpoint, {}, work=work) == deployed  # deploys if a source changed since the fixture
    log, before = (work / "cdk.log").stat().st_size, time.monotonic()
    assert cloud.deploy(deployed.endpoint, {}, work=work) == deployed
    assert (work / "cdk.log").stat().st_size == log
    assert time.monotonic() - before < 60
