"""Deploys the very CDK app that goes to AWS onto the embedded cloud, and says where everything is.

`deploy(endpoint, settings)` is all that `local.up` and the tests need. It runs the real `cdk bootstrap` and
`cdk deploy --all -c stage=local`, applies the fix-ups, and returns `Outputs`. When neither the sources nor the settings
changed since the last deployment and the emulator still holds the stacks, it answers at once.

Where the emulator (MiniStack 1.5.33, at `E`) serves what AWS serves under names of its own:

- REST API: `E/restapis/{api_id}/{stage}/_user_request_/{path}`
- login pages: `E/oauth2/authorize`, which posts to `E/login`; tokens: `E/oauth2/token`; sign-out: `E/logout`
- keys: `E/{pool_id}/.well-known/jwks.json`; the issuer is AWS's: `https://cognito-idp.{region}.amazonaws.com/{pool_id}`
- sent mail: `GET E/_ministack/ses/messages` -> `{"messages": {account: [{To, Subject, BodyText, BodyHtml, …}]}}`
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3

from local import emulator, fixups

SOURCES = ("app.py", "cdk.json", "config", "stacks", "functions", "layers", "local/cloud.py", "local/fixups.py")
STACKS = ("Data", "Identity", "Inference", "Platform", "Workers")
PREFIX = "Noren-local-"


@dataclass(frozen=True)
class Outputs:
    """Where the deployed parts are. URLs have no slash at their end."""

    endpoint: str
    region: str
    platform_url: str
    """The platform's REST API itself, as the front door calls it."""
    inference_url: str
    """The inference REST API; locally nothing listens behind it but a function that can't stream."""
    user_pool_id: str
    client_id: str
    authorize_url: str
    token_url: str
    logout_url: str
    jwks_url: str
    tables: dict[str, str]
    """`tenants`, `quotas`, … to the table's name."""
    queues: dict[str, str]
    """`mail`, `summary`, `billing`, `webhook` to the queue's URL."""
    provider_secret_arn: str
    payment_secret_arn: str
    signing_secret_arn: str
    chat_function: str
    chat_role_arn: str

    def chat_environment(self) -> dict[str, str]:
        """The deployed chat function's variables and fresh credentials of its own role, for uvicorn."""
        configuration = _client("lambda", self.endpoint).get_function_configuration(FunctionName=self.chat_function)
        credentials = _client("sts", self.endpoint).assume_role(
            RoleArn=self.chat_role_arn, RoleSessionName="uvicorn", DurationSeconds=43_200
        )["Credentials"]
        return {
            **configuration["Environment"]["Variables"],
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }


def deploy(endpoint: str, settings: Mapping[str, str], *, work: Path = emulator.HOME / "deploy") -> Outputs:
    """Bring the emulator at `endpoint` to what the sources say. Idempotent.

    `settings` are fields of `config.Endpoints` (`console_url`, `inference_url`, `openai_base_url`, …, any case). `work`
    keeps the assembly and what was deployed. Raises RuntimeError with the log's path if the CDK fails.
    """
    context = {name.lower(): value for name, value in settings.items() if value} | {"aws_endpoint_url": endpoint}
    wanted = _digest(context)
    record = work / "deployed.json"
    known = _read(record)
    if known.get("digest") == wanted and _stands(endpoint, known["stacks"]):
        fixups.follow_streams_again(endpoint)
        return Outputs(**known["outputs"])
    work.mkdir(parents=True, exist_ok=True)
    _cdk(endpoint, work, "bootstrap", f"aws://{emulator.ACCOUNT}/{emulator.REGION}", cwd=work)
    fixups.allow_plain_http(endpoint)
    options = [f"{name}={value}" for name, value in {"stage": "local", **context}.items()]
    _cdk(
        endpoint,
        work,
        *("deploy", "--all", "--method=direct", "--require-approval=never", "--output", str(work / "cdk.out")),
        *("--app", f"{shlex.quote(sys.executable)} app.py", *(word for each in options for word in ("-c", each))),
        cwd=emulator.ROOT,
    )
    fixups.apply(endpoint, work / "cdk.out")
    outputs = _outputs(endpoint)
    record.write_text(json.dumps({"digest": wanted, "stacks": _stacks(endpoint), "outputs": asdict(outputs)}, indent=2))
    return outputs


def _cdk(endpoint: str, work: Path, *command: str, cwd: Path) -> None:
    """Run the CDK's command line against the emulator; its output goes to a log in `work`."""
    log = work / "cdk.log"
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    keep.pop("PYTHONDONTWRITEBYTECODE", None)  # it would leave the layers without bytecode
    environment = (
        keep
        | emulator.aws_env(endpoint)
        | {
            "CDK_DEFAULT_ACCOUNT": emulator.ACCOUNT,
            "CDK_DEFAULT_REGION": emulator.REGION,
            "CI": "true",
            "CDK_VALIDATION": "false",  # halves the time; the tests validate every stage, this one too
            "NO_PROXY": "127.0.0.1,localhost",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
            "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
        }
    )
    with log.open("ab") as out:
        done = subprocess.run(
            [str(_tool()), *command, "--no-notices"], cwd=cwd, env=environment, stdout=out, stderr=out
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise RuntimeError(f"cdk {command[0]} failed; the whole log: {log}\n{tail}")


def _tool() -> Path:
    return emulator.HOME / "node" / "node_modules" / ".bin" / "cdk"


def _client(service: Any, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=emulator.REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _outputs(endpoint: str) -> Outputs:
    formation = _client("cloudformation", endpoint)
    values: dict[str, str] = {}
    for name in STACKS:
        stack = formation.describe_stacks(StackName=PREFIX + name)["Stacks"][0]
        values |= {f"{name}.{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs", [])}
    resources = formation.describe_stack_resources(StackName=PREFIX + "Inference")["StackResources"]
    chat = next(each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::Lambda::Function")
    configuration = _client("lambda", endpoint).get_function_configuration(FunctionName=chat)

    def named(prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix).lower(): value for key, value in values.items() if key.startswith(prefix)}

    def rest_api(stack: str) -> str:
        (api_id,) = (value for key, value in values.items() if key.startswith(f"{stack}.") and "ApiId" in key)
        return f"{endpoint}/restapis/{api_id}/local/_user_request_"

    return Outputs(
        endpoint=endpoint,
        region=emulator.REGION,
        platform_url=rest_api("Platform"),
        inference_url=rest_api("Inference"),
        user_pool_id=values["Identity.UserPoolId"],
        client_id=values["Identity.ClientId"],
        authorize_url=f"{endpoint}/oauth2/authorize",
        token_url=f"{endpoint}/oauth2/token",
        logout_url=f"{endpoint}/logout",
        jwks_url=values["Identity.JwksUrl"],
        tables=named("Data.Table"),
        queues=named("Data.Queue"),
        provider_secret_arn=values["Data.ProviderSecret"],
        payment_secret_arn=values["Data.PaymentSecret"],
        signing_secret_arn=values["Data.SigningSecret"],
        chat_function=chat,
        chat_role_arn=configuration["Role"],
    )


def _stacks(endpoint: str) -> dict[str, str]:
    """The deployed stacks' ids: they tell one deployment from another."""
    described = _client("cloudformation", endpoint).describe_stacks()["Stacks"]
    return {
        each["StackName"]: each["StackId"]
        for each in described
        if each["StackName"].startswith(PREFIX) and each["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    }


def _stands(endpoint: str, stacks: Mapping[str, str]) -> bool:
    return bool(stacks) and _stacks(endpoint) == stacks


def _digest(context: Mapping[str, str]) -> str:
    """Of everything that decides what is deployed."""
    digest = hashlib.sha256(json.dumps(context, sort_keys=True).encode() + sys.version.encode())
    for path in _files():
        digest.update(f"{path.relative_to(emulator.ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _files() -> Iterable[Path]:
    for name in SOURCES:
        path = emulator.ROOT / name
        found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        yield from (each for each in found if each.suffix != ".pyc")


def _read(record: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return known
