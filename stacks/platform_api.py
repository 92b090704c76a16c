"""The platform API: identity, tenants, plans, usage, administration."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from constructs import Construct

from config import Stage
from stacks.api import ProxyApi
from stacks.data import DataStack
from stacks.environment import surroundings
from stacks.function import PythonFunction
from stacks.identity import IdentityStack
from stacks.local import has

TABLES = ("tenants", "quotas", "credits", "usage", "sites", "events", "runtime")


class PlatformApiStack(Stack):
    """One REST API, one function."""

    def __init__(
        self,
        scope: Construct,
        stage: Stage,
        *,
        data: DataStack,
        identity: IdentityStack,
        inference_url: str,
        console_url: str,
        web_acl_arn: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Platform", **kwargs)
        function = PythonFunction(
            self,
            "platform_api",
            stage=stage,
            timeout=Duration.seconds(29),
            snap_start=stage.snap_start and has(stage, "versions"),
            reserved_concurrency=stage.platform_concurrency,
            environment=data.variables(tables=TABLES, queues=("mail",))
            | identity.variables()
            | surroundings(stage)
            | {
                "SIGNING_SECRET_ARN": data.signing_secret.attr_id,
                "PROVIDER_SECRET_ARN": data.provider_secret.attr_id,
                "PURCHASED_CREDITS_VALID_DAYS": str(stage.purchased_credits_valid_days),
                "INFERENCE_URL": inference_url,
                "CONSOLE_URL": console_url,
            },
        )
        data.grant(function, tenants="rwd", quotas="rw", credits="rw", usage="r", sites="rw", events="rw", runtime="rwd")
        data.grant_send(function, "mail")
        data.grant_secrets(function, data.signing_secret, data.provider_secret)
        identity.grant_look_up(function)
        self.proxy = ProxyApi(
            self,
            "Platform",
            stage=stage,
            handler=function,
            timeout=Duration.seconds(29),
            domain=stage.domains.platform,
            web_acl_arn=web_acl_arn,
        )
        self.functions = [function]
