"""The `noren` command: what it does on a deployment, what it never shows, how it exits."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from noren.cli import __main__ as cli
from noren.cli import commands, deployment, doctor
from noren.cli.deployment import Deployment
from noren.cli.output import CliError
from noren.tenants.models import PLATFORM_TENANT
from tests.unit.platform_api.kit import create_tables

ROOT = deployment.ROOT


@pytest.fixture
def deployed(aws: str) -> Deployment:
    """A stage with its tables, a secret and the mail queue with its dead letters."""
    create_tables()
    secret = boto3.client("secretsmanager").create_secret(Name="providers", SecretString="{}")["ARN"]
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="mail-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    mail = sqs.create_queue(QueueName="mail", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    outputs = {f"Table{name.title()}": name for name in deployment.TABLES}
    outputs |= dict.fromkeys((f"Queue{name.title()}" for name in deployment.QUEUES), mail)
    outputs |= dict.fromkeys(("ProviderSecret", "SigningSecret", "PaymentSecret"), secret)
    outputs |= {"UserPoolId": "pool", "ClientId": "client", "JwksUrl": "http://127.0.0.1/jwks", "dead": dead}
    return Deployment("local", "ap-northeast-1", outputs)


@pytest.fixture
def tenant(deployed: Deployment) -> str:
    deployed.services.plans.seed()
    made: str = deployed.services.tenants.ensure_tenant("sub-1", "mei@example.com", "Mei's shop").tenant_id
    return made


def test_a_tenant_is_shown_by_id_or_by_name(deployed: Deployment, tenant: str) -> None:
    shown = commands.show_tenant(deployed, tenant)
    assert shown["plan"] == "free"
    assert shown["admits"] is True
    assert shown["chats"].startswith("0 of ")
    assert commands.show_tenant(deployed, "mei's") == shown


def test_a_suspension_stops_admission_until_its_own_cause_is_lifted(deployed: Deployment, tenant: str) -> None:
    commands.suspend(deployed, tenant, "security", "stolen key")
    stopped = commands.suspend(deployed, tenant, "manual", "asked for")
    assert (stopped["stops"], stopped["admits"]) == (["manual", "security"], False)
    assert commands.resume(deployed, tenant, "manual")["admits"] is False
    assert commands.resume(deployed, tenant, "security")["admits"] is True
    with pytest.raises(CliError, match="has no stop `manual`"):
        commands.resume(deployed, tenant, "manual")


def test_what_an_operator_does_is_in_the_tenants_audit_trail(deployed: Deployment, tenant: str) -> None:
    commands.suspend(deployed, tenant, "security", "stolen key")
    commands.resume(deployed, tenant, "security")
    owner = commands.show_tenant(deployed, tenant)["tenant_id"]
    lifted, stopped = deployed.services.audit.records(owner, 10, None)[0]
    assert (stopped.action, lifted.action) == ("noren tenant suspend", "noren tenant resume")
    assert stopped.by_platform
    assert stopped.actor.startswith("cli:")
    assert stopped.after is not None
    assert stopped.after["stop_mode"] == "security"
    assert stopped.after["stops"]["security"]["reason"] == "stolen key"
    assert lifted.before == stopped.after
    assert lifted.after == stopped.before == {"stops": {}, "stop_mode": None}


def test_a_new_stage_is_seeded_once(deployed: Deployment) -> None:
    first, again = commands.seed(deployed), commands.seed(deployed)
    assert first["catalogue rows added"] > 10
    assert again == {"catalogue rows added": 0, "platform tenant": first["platform tenant"]}
    assert next(plan.plan for plan in deployed.services.plans.public_plans()) == "free"


def test_a_sweep_says_what_it_found(deployed: Deployment, tenant: str) -> None:
    report = commands.sweep(deployed)
    assert (report["finished"], report["holds"], report["failures"]) == (True, 0, 0)


def test_an_unknown_or_ambiguous_tenant_is_said_to_be_so(deployed: Deployment, tenant: str) -> None:
    with pytest.raises(CliError) as missing:
        commands.show_tenant(deployed, "nobody")
    assert missing.value.code == 3
    with pytest.raises(CliError) as unknown:
        commands.show_tenant(deployed, "ten_" + "0" * 32)
    assert unknown.value.code == 3
    deployed.services.tenants.ensure_tenant("sub-2", "mei@example.org", "Mei's temple")
    with pytest.raises(CliError, match="Several tenants"):
        commands.show_tenant(deployed, "mei's")


def test_keys_are_stored_one_by_one_and_never_shown(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "connect", lambda stage, region: deployed)
    for name, value in (("openai_api_key", "sk-planted-1"), ("runpod_api_key", "rp-planted-2")):
        monkeypatch.setattr("sys.stdin", io.StringIO(value + "\n"))
        assert cli.main(["secrets", "set", name, "--json"]) == 0
    first, both = (json.loads(part + "}") for part in capsys.readouterr().out.split("}")[:2])
    assert [first["openai_api_key"], first["runpod_api_key"]] == ["set", "not set"]
    assert [both["openai_api_key"], both["runpod_api_key"]] == ["set", "set"]
    assert cli.main(["secrets", "set", "openai_api_key", "--remove"]) == 0
    said = capsys.readouterr()
    assert "planted" not in said.out + said.err
    stored = boto3.client("secretsmanager").get_secret_value(SecretId=deployed["ProviderSecret"])["SecretString"]
    assert json.loads(stored) == {"runpod_api_key": "rp-planted-2"}


def test_seeding_again_keeps_what_an_operator_changed(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "connect", lambda stage, region: deployed)
    assert cli.main(["seed", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["catalogue rows added"] > 0
    assert deployed.services.plans.missing() == []
    deployed.services.plans.switch_policy("gpt-mini", "cli:test", enabled=False)
    deployed.services.tenants.stop(PLATFORM_TENANT, "manual", "not today", "cli:test")
    assert cli.main(["seed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first | {"catalogue rows added": 0}
    assert "gpt-mini" not in {each.id for each in deployed.services.plans.policies()}
    assert commands.show_tenant(deployed, first["platform tenant"])["admits"] is False


@pytest.mark.parametrize("value", ["", "short", "has space in it", "ゼロ幅の鍵です。"])
def test_what_cannot_be_a_key_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(value + "\n"))
    assert cli.main(["secrets", "set", "openai_api_key"]) == 1


def _letters(url: str) -> dict[str, Any]:
    sqs = boto3.client("sqs")
    found: dict[str, Any] = {}
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
        "Messages", []
    ):
        found |= {each["Body"]: each.get("MessageAttributes", {}) for each in batch}
    return found


def test_dead_letters_go_back_whole_and_no_faster_than_told(deployed: Deployment) -> None:
    sqs = boto3.client("sqs")
    for number in range(12):
        sqs.send_message(
            QueueUrl=deployed["dead"],
            MessageBody=f"letter {number}",
            MessageAttributes={"trace_id": {"DataType": "String", "StringValue": f"t{number}"}},
        )
    started = time.monotonic()
    assert commands.redrive(deployed, "mail", 20, 10) == {"queue": "mail", "moved": 10, "left": 2}
    assert time.monotonic() - started >= 0.45
    assert commands.redrive(deployed, "mail", 100, None) == {"queue": "mail", "moved": 2, "left": 0}
    back = _letters(deployed["QueueMail"])
    assert len(back) == 12
    assert back["letter 7"]["trace_id"]["StringValue"] == "t7"
    assert _letters(deployed["dead"]) == {}


def test_what_is_not_up_or_not_deployed_is_said_to_be_so(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deployment, "run_contract", lambda: None)
    assert cli.main(["tenant", "show", "x"]) == 4
    assert "make run" in capsys.readouterr().err
    assert cli.main(["tenant", "show", "x", "--stage", "prod"]) == 4
    assert "not deployed" in capsys.readouterr().err


def test_a_stage_is_found_by_its_stacks_outputs(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formation = boto3.client("cloudformation")
    for part, outputs in (("Data", {"TableTenants": "t1", "QueueMail": "q1"}), ("Identity", {"UserPoolId": "p1"})):
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        formation.create_stack(StackName=f"Noren-dev-{part}", TemplateBody=json.dumps(template))
    found = deployment.connect("dev", "ap-northeast-1")
    assert found.outputs == {"TableTenants": "t1", "QueueMail": "q1", "UserPoolId": "p1"}
    with pytest.raises(CliError, match="no output TableQuotas"):
        assert found.settings


def test_workers_need_a_key_and_use_the_stages_own(deployed: Deployment) -> None:
    with pytest.raises(CliError, match="No RunPod key"):
        commands.deploy_workers(deployed, "", stage="dev", image="i", dry_run=True)


@pytest.mark.parametrize("arguments", [[], ["tenant"], ["queue", "redrive", "nothing"], ["tenant", "suspend", "x"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_doctor_runs_on_a_bare_python_and_shows_no_key() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "layers/noren/python"), "OPENAI_API_KEY": "sk-planted"}
    command = [sys.executable, "-S", "-m", "noren.cli", "doctor", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["healthy"] is (done.returncode == 0)
    checks = {each["name"]: each for each in report["checks"]}
    assert checks["Python ≥ 3.11"]["state"] == "ok"
    assert checks["OPENAI_API_KEY"]["found"].startswith("set")
    assert "planted" not in done.stdout


def test_doctor_says_what_is_missing_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_node = tmp_path / "node"
    old_node.write_text("#!/bin/sh\necho v18.1.0\n")
    old_node.chmod(old_node.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setattr(doctor, "HOME", tmp_path)
    monkeypatch.setattr(doctor, "run_contract", lambda: None)
    assert doctor.main(as_json=False) == 1
    said = capsys.readouterr().out
    assert "✗ Node ≥ 20" in said
    assert "18.1.0  → https://nodejs.org" in said
    assert "✗ make" in said
    assert "· Chromium or Chrome" in said
    assert "make setup" in said


def test_doctor_finds_a_part_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = "http://127.0.0.1:9"
    run = {"console_url": dead, "platform_url": dead, "inference_url": dead, "aws_endpoint_url": dead, "logs": "logs"}
    monkeypatch.setattr(doctor, "run_contract", lambda: run)
    states = {each.name: each.state for each in doctor.running()}
    assert states["local run"] == "ok"
    assert {states[name] for name in states if name != "local run"} == {"missing"}


def test_the_launcher_works_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "bin" / "noren", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Exit codes" in done.stdout
