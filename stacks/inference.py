"""The inference API: chats, sessions, feedback, `/v1/*`, streamed as the model writes."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from config import Stage
from stacks.api import ProxyApi
from stacks.data import Access, DataStack
from stacks.environment import vendors
from stacks.function import PythonFunction
from stacks.identity import IdentityStack
from stacks.local import has

TABLES = ("tenants", "quotas", "credits", "usage", "sites", "events", "knowledge", "runtime")
PORT = "8080"


class InferenceStack(Stack):
    """One REST API in streaming mode before a web application that the Lambda Web Adapter runs."""

    def __init__(
        self,
        scope: Construct,
        stage: Stage,
        *,
        data: DataStack,
        identity: IdentityStack,
        console_url: str,
        web_acl_arn: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Inference", **kwargs)
        adapter = has(stage, "web_adapter")
        limit = Duration.seconds(stage.chat_seconds)
        environment = (
            data.variables(tables=TABLES, queues=("summary", "billing"))
            | identity.variables()
            | vendors(stage)
            | {
                "PROVIDER_SECRET_ARN": data.provider_secret.attr_id,
                "SIGNING_SECRET_ARN": data.signing_secret.attr_id,
                "KNOWLEDGE_BUCKET": data.bucket_name,
                **data.vectors.variables,
                "CONSOLE_URL": console_url,
                "CHAT_SECONDS": str(stage.chat_seconds),
            }
        )
        function = PythonFunction(
            self,
            "chat",
            stage=stage,
            timeout=limit,
            handler="chat/run.sh" if adapter else "",
            snap_start=stage.snap_start and has(stage, "versions"),
            reserved_concurrency=stage.chat_concurrency,
            extra_layers=(self._adapter(stage),) if adapter else (),
            environment=environment | (_adapter_environment() if adapter else {}),
        )
        ledger: dict[str, Access] = {"quotas": "rw", "credits": "rw", "usage": "rw"}
        data.grant(function, tenants="update", sites="rwd", events="w", runtime="rwd", **ledger)
        data.grant(function, knowledge="r")
        data.grant_blobs(function, "r", objects="*/*/index/*")  # neither texts nor uploads
        data.vectors.grant(function, "query")
        data.grant_send(function, "summary", "billing")
        data.grant_secrets(function, data.provider_secret, data.signing_secret)
        identity.grant_look_up(function)
        streams = has(stage, "response_streaming")
        self.proxy = ProxyApi(
            self,
            "Inference",
            stage=stage,
            handler=function,
            timeout=limit if streams else Duration.seconds(29),
            stream=streams,
            domain=stage.domains.inference,
            web_acl_arn=web_acl_arn,
            account_log_role=True,
        )
        self.url = stage.endpoints.inference_url or self.proxy.url
        self.functions = [function]

    def _adapter(self, stage: Stage) -> lambda_.ILayerVersion:
        arn = stage.web_adapter_layer.format(region=stage.region)
        return lambda_.LayerVersion.from_layer_version_arn(self, "WebAdapter", arn)


def _adapter_environment() -> dict[str, str]:
    return {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": PORT,
        "AWS_LWA_READINESS_CHECK_PATH": "/health",
        "PORT": PORT,
    }
