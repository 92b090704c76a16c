"""The functions as Lambda calls them, and what they need from AWS, on the emulator."""

from __future__ import annotations

import base64
import importlib
import io
import json
import logging
from typing import Any

import boto3
import pytest

from local.emulator import REGION
from noren.edge.gateway import to_event, to_request
from noren.edge.http import Response
from noren.mail import Mailer, masked, write
from noren.secrets import Secrets
from noren.settings import Settings
from noren.tenants.directory import Directory
from tests.unit.platform_api import kit

EVENT = {
    "httpMethod": "POST",
    "path": "/api/v1/api-keys",
    "headers": {"Authorization": "Bearer x", "Content-Type": "application/json"},
    "multiValueHeaders": {"Authorization": ["Bearer x"], "Content-Type": ["application/json"], "X-Two": ["a", "b"]},
    "queryStringParameters": None,
    "requestContext": {"identity": {"sourceIp": "203.0.113.9"}},
    "body": '{"name": "鍵"}',
    "isBase64Encoded": False,
}


def test_an_event_becomes_a_request() -> None:
    request = to_request(EVENT)
    assert (request.method, request.path, request.source_ip) == ("POST", "/api/v1/api-keys", "203.0.113.9")
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["x-two"] == "a, b"
    assert json.loads(request.body) == {"name": "鍵"}
    assert len(request.trace_id) == 32
    coded = EVENT | {"body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}
    assert to_request(coded).body == b"\xff"
    assert to_request(EVENT | {"body": None}).body == b""
    assert to_event(Response("é".encode(), 201, {"a": "b"})) == {
        "statusCode": 201,
        "headers": {"a": "b"},
        "body": "é",
        "isBase64Encoded": False,
    }


def settings_env(monkeypatch: pytest.MonkeyPatch, platform: kit.Platform, **more: str) -> None:
    given = {name.upper(): str(value) for name, value in vars(platform.services.settings).items() if value}
    for name, value in (given | more).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def fresh_logging() -> Any:
    """`configure` replaces the root's handlers; put them back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_platform_function_answers(
    platform: kit.Platform, monkeypatch: pytest.MonkeyPatch, fresh_logging: None
) -> None:
    settings_env(monkeypatch, platform)
    main = importlib.reload(importlib.import_module("platform_api.main"))
    event = EVENT | {"httpMethod": "GET", "path": "/api/v1/plans", "headers": {}, "multiValueHeaders": {}, "body": None}
    answer = main.handler(event, None)
    assert answer["statusCode"] == 200
    assert len(json.loads(answer["body"])["items"]) == 4


def test_sign_up_makes_a_tenant_however_often_the_trigger_fires(
    platform: kit.Platform, monkeypatch: pytest.MonkeyPatch, fresh_logging: None
) -> None:
    settings_env(monkeypatch, platform)
    main = importlib.reload(importlib.import_module("cognito_triggers.main"))
    event = {
        "triggerSource": "PostConfirmation_ConfirmSignUp",
        "request": {
            "userAttributes": {"sub": "s-1", "email": "Aya@Example.jp", "email_verified": "true", "locale": "ko-KR"}
        },
    }
    for _ in range(3):
        assert main.handler(event, None) is event
    (membership,) = platform.services.tenants.memberships("s-1")
    tenant = platform.services.tenants.get(membership.tenant_id)
    assert (tenant.billing_email, tenant.locale, tenant.plan) == ("aya@example.jp", "ko", "free")
    forgot = event | {"triggerSource": "PostConfirmation_ConfirmForgotPassword"}
    forgot["request"] = {"userAttributes": {"sub": "s-2", "email": "b@example.jp"}}
    main.handler(forgot, None)
    assert platform.services.tenants.memberships("s-2") == []


def test_a_failing_trigger_does_not_undo_the_sign_up(
    platform: kit.Platform, monkeypatch: pytest.MonkeyPatch, fresh_logging: None
) -> None:
    settings_env(monkeypatch, platform, TENANTS_TABLE="missing")
    main = importlib.reload(importlib.import_module("cognito_triggers.main"))
    event = {
        "triggerSource": "PostConfirmation_ConfirmSignUp",
        "request": {"userAttributes": {"sub": "s-1", "email": "a@example.jp", "email_verified": "true"}},
    }
    assert main.handler(event, None) is event


def test_mails_are_sent_once_and_poison_blocks_nobody(
    aws: str, monkeypatch: pytest.MonkeyPatch, fresh_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("sesv2").create_email_identity(EmailIdentity="noreply@noren.example")
    queue = boto3.client("sqs").create_queue(QueueName="mail")["QueueUrl"]
    data = {
        "tenant": "のれん\r\nBcc: evil@example.jp",
        "inviter": "aya",
        "role": "viewer",
        "link": "https://x/invite?token=t",
    }
    Mailer(Settings(mail_queue_url=queue)).queue("guest@example.jp", "invitation", data, "ja")
    (queued,) = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]

    monkeypatch.setenv("MAIL_FROM", "noreply@noren.example")
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    main = importlib.reload(importlib.import_module("mail_worker.main"))
    sent: list[Any] = []
    real = boto3.client("sesv2", region_name=REGION)

    class Counting:
        def send_email(self, **given: Any) -> Any:
            sent.append(given)
            return real.send_email(**given)

    monkeypatch.setattr(main, "_ses", Counting)
    records = [
        {"messageId": "m1", "body": queued["Body"]},
        {"messageId": "m2", "body": "{not json"},
        {"messageId": "m3", "body": json.dumps({"to": "a@b.c", "template": "nope", "data": {}, "locale": "ja"})},
    ]
    for _ in range(2):
        answer = main.handler({"Records": records}, None)
        assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m2", "m3"]
    assert len(sent) == 1
    subject = sent[0]["Content"]["Simple"]["Subject"]["Data"]
    assert subject == "のれん Bcc: evil@example.jp への招待"
    assert "https://x/invite?token=t" in sent[0]["Content"]["Simple"]["Body"]["Text"]["Data"]
    log = out.getvalue()
    assert "g***@example.jp" in log
    assert "guest@example.jp" not in log
    assert "token=t" not in log


@pytest.mark.parametrize("locale", ["ja", "ko", "en", "fr"])
def test_mail_templates_are_whole(locale: str) -> None:
    text = write("invitation", locale, {"tenant": "T", "inviter": "I", "role": "admin", "link": "L"})
    assert all(part in text.body for part in ("T", "I", "admin", "L"))
    assert "{" not in text.subject + text.body
    assert masked("aya@example.jp") == "a***@example.jp"


def test_the_directory_knows_who_is_enabled_verified_and_enrolled(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    cognito = boto3.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="p", MfaConfiguration="OPTIONAL")["UserPool"]["Id"]
    cognito.create_group(UserPoolId=pool, GroupName="platform_admin")
    for name, verified in (("boss", "true"), ("guest", "false")):
        cognito.admin_create_user(
            UserPoolId=pool,
            Username=name,
            UserAttributes=[
                {"Name": "email", "Value": f"{name}@Example.jp"},
                {"Name": "email_verified", "Value": verified},
            ],
        )
    found = cognito.admin_get_user(UserPoolId=pool, Username="boss")["UserAttributes"]
    sub = next(each["Value"] for each in found if each["Name"] == "sub")
    clock = kit.Time()
    directory = Directory(Settings(user_pool_id=pool), clock)
    boss = directory.person("boss", sub)
    assert (boss.enabled, boss.email, boss.totp) == (True, "boss@example.jp", False)
    assert directory.person("guest", "").email == ""
    assert not directory.person("nobody", "n").enabled
    assert not directory.person("guest", "the-sub-of-a-deleted-namesake").enabled
    cognito.admin_add_user_to_group(UserPoolId=pool, Username="boss", GroupName="platform_admin")
    assert not directory.is_platform_admin("boss", sub)
    cognito.admin_set_user_mfa_preference(
        UserPoolId=pool, Username="boss", SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )
    clock.ahead += 31
    assert directory.is_platform_admin("boss", sub)
    cognito.admin_remove_user_from_group(UserPoolId=pool, Username="boss", GroupName="platform_admin")
    cognito.admin_disable_user(UserPoolId=pool, Username="boss")
    clock.ahead += 31
    assert not directory.person("boss", sub).enabled
    assert not directory.is_platform_admin("boss", sub)


def test_when_the_pool_cannot_be_asked_nobody_becomes_an_admin(aws: str) -> None:
    directory = Directory(Settings(user_pool_id="ap-northeast-1_missing"), kit.Time())
    assert directory.person("u1", "u1").enabled
    assert directory.person("u1", "u1").email == ""
    assert not directory.is_platform_admin("u1", "u1")


def test_provider_keys_are_refreshed_within_five_minutes(aws: str) -> None:
    client, clock = boto3.client("secretsmanager"), kit.Time()
    arn = client.create_secret(Name="keys", SecretString='{"openai_api_key": "first"}')["ARN"]
    secrets = Secrets(Settings(provider_secret_arn=arn), clock)
    assert secrets.provider_key("openai_api_key") == "first"
    assert secrets.provider_key("runpod_api_key") == ""
    client.put_secret_value(SecretId=arn, SecretString='{"openai_api_key": "second"}')
    assert secrets.provider_key("openai_api_key") == "first"
    clock.ahead = 301
    assert secrets.provider_key("openai_api_key") == "second"
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    clock.ahead = 700
    assert secrets.provider_key("openai_api_key") == "second"
    assert Secrets(Settings(), clock).provider_key("openai_api_key") == ""
