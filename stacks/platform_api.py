"""The platform API: identity, tenants, plans, usage, administration."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from config import Stage
from stacks.api import ProxyApi
from stacks.data import DataStack
from stacks.environment import fetching, payments, surroundings
from stacks.function import PythonFunction
from stacks.identity import IdentityStack
from stacks.local import has

TABLES = ("tenants", "quotas", "credits", "billing", "usage", "sites", "events", "webhooks", "knowledge", "runtime")


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
            payments=True,
            environment=data.variables(tables=TABLES, queues=("mail", "webhook", "train", "publish"))
            | identity.variables()
            | surroundings(stage)
            | payments(stage)
            | fetching(stage)
            | {
                "KNOWLEDGE_BUCKET": data.bucket_name,
                "DATA_KEY_ARN": data.key.key_arn,
                "SIGNING_SECRET_ARN": data.signing_secret.attr_id,
                "PROVIDER_SECRET_ARN": data.provider_secret.attr_id,
                "PAYMENT_SECRET_ARN": data.payment_secret.attr_id,
                "INFERENCE_URL": inference_url,
                "CONSOLE_URL": console_url,
            },
        )
        data.grant(
            function, tenants="rwd", quotas="rw", credits="rw", usage="r", sites="rwd", events="rw", runtime="rwd"
        )
        data.grant_send(function, "mail", "webhook", "train", "publish")
        data.grant(function, billing="rw", webhooks="rwd", knowledge="rwd")
        data.grant_blobs(function, "w", objects="*/*/uploads/*")
        data.grant_blobs(function, "d", objects="*/*/docs/*")  # a deleted document's text
        data.grant_secrets(function, data.signing_secret, data.provider_secret, data.payment_secret)
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
        # Locally the front door is the one origin of all.
        function.function.add_environment("PLATFORM_URL", stage.endpoints.console_url or self.proxy.own_url)
        # Strangers' pages are read where there is nothing to steal: this one has no rights at all.
        surveyor = PythonFunction(
            self,
            "surveyor",
            stage=stage,
            timeout=Duration.seconds(25),
            memory=2048,
            extracting=True,
            environment=fetching(stage),
        )
        function.function.add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[surveyor.target.function_arn])
        )
        function.function.add_environment("SURVEYOR_FUNCTION", surveyor.target.function_arn)
        webhook = PythonFunction(
            self,
            "stripe_webhook",
            stage=stage,
            timeout=Duration.seconds(15),
            memory=512,
            payments=True,
            environment=data.variables(tables=("billing", "events"), queues=("billing",))
            | {"PAYMENT_SECRET_ARN": data.payment_secret.attr_id, "CONSOLE_URL": console_url},
        )
        data.grant(webhook, billing="w", events="w")
        data.grant_send(webhook, "billing")
        data.grant_secrets(webhook, data.payment_secret)
        self.proxy.add("webhook/stripe", "POST", webhook, Duration.seconds(15))
        self.functions = [function, webhook, surveyor]
