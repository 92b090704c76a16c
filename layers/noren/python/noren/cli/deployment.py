"""A deployed stage as the command line sees it: the outputs of its stacks, on AWS or of the local run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noren.cli.output import UNREACHABLE, CliError
from noren.settings import Settings

if TYPE_CHECKING:
    from noren.wiring import Services

ROOT = Path(__file__).resolve().parents[5]
HOME = ROOT / ".noren"
TABLES = ("tenants", "quotas", "credits", "billing", "usage", "sites", "events", "webhooks", "knowledge", "runtime")
QUEUES = ("mail", "summary", "billing", "webhook", "train", "publish")
STAGES = ("local", "dev", "staging", "prod")


@dataclass(frozen=True)
class Deployment:
    """One stage's outputs by name (`TableTenants`, `QueueMail`, `ProviderSecret`, …)."""

    stage: str
    region: str
    outputs: Mapping[str, str]

    def __getitem__(self, output: str) -> str:
        try:
            return self.outputs[output]
        except KeyError:
            raise CliError(f"The stacks of `{self.stage}` have no output {output}: deploy them again.") from None

    @cached_property
    def settings(self) -> Settings:
        """The settings that the deployed functions have, as far as the outputs tell."""
        tables = {f"{name}_table": f"Table{name.title()}" for name in TABLES}
        queues = {f"{name}_queue_url": f"Queue{name.title()}" for name in QUEUES}
        rest = {"user_pool_id": "UserPoolId", "client_id": "ClientId", "jwks_url": "JwksUrl"}
        secrets = {"provider_secret_arn": "ProviderSecret", "signing_secret_arn": "SigningSecret"}
        secrets |= {"payment_secret_arn": "PaymentSecret"}
        wanted = tables | queues | rest | secrets
        return Settings(
            stage=self.stage, region=self.region, **{field: self[output] for field, output in wanted.items()}
        )

    @cached_property
    def services(self) -> Services:
        """The platform's own services on that stage's tables."""
        from noren import wiring

        return wiring.build(self.settings)


def run_contract() -> dict[str, Any] | None:
    """`.noren/run.json` of the local run (NOREN_HOME: another folder's), or None if it is not up."""
    try:
        run: dict[str, Any] = json.loads(Path(os.environ.get("NOREN_HOME", HOME), "run.json").read_text())
    except (OSError, ValueError):
        return None
    return run


def connect(stage: str, region: str) -> Deployment:
    """Find a stage's stacks. At `local` the AWS SDK is pointed at the embedded cloud; elsewhere it finds its own way.

    Raises CliError if the stage is not up, not deployed or can't be reached.
    """
    if stage == "local":
        run = run_contract()
        if run is None:
            raise CliError("The local run is not up: `make run`.", UNREACHABLE)
        region = run["region"]
        os.environ.update(
            AWS_ENDPOINT_URL=run["aws_endpoint_url"],
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 (the embedded cloud's)
        )
    os.environ.update(AWS_REGION=region, AWS_DEFAULT_REGION=region)
    return Deployment(stage, region, stack_outputs(stage, "Data") | stack_outputs(stage, "Identity"))


def stack_outputs(stage: str, part: str) -> dict[str, str]:
    """The outputs of one of a stage's stacks (`Data`, `Platform`, …). Raises CliError if it is not there."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        stack = boto3.client("cloudformation").describe_stacks(StackName=f"Noren-{stage}-{part}")["Stacks"][0]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise CliError(
            f"The stage `{stage}` is not deployed here, or you may not see it ({code}).", UNREACHABLE
        ) from None
    except BotoCoreError as error:
        raise CliError(f"AWS can't be reached: {error}", UNREACHABLE) from None
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
