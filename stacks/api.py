"""A REST API that hands every request to one function: both APIs are made here."""

from __future__ import annotations

from typing import cast

from aws_cdk import CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigw
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from config import Stage
from stacks import nag
from stacks.function import RETENTION, PythonFunction

GATEWAY_ERRORS = (
    (apigw.ResponseType.THROTTLED, 429, "rate_limited"),
    (apigw.ResponseType.REQUEST_TOO_LARGE, 413, "too_large"),
    (apigw.ResponseType.WAF_FILTERED, 403, "forbidden"),
    (apigw.ResponseType.INTEGRATION_TIMEOUT, 504, "timed_out"),
    (apigw.ResponseType.INTEGRATION_FAILURE, 502, "upstream_failed"),
    (apigw.ResponseType.DEFAULT_5_XX, 503, "busy"),
)
"""Kind, status and our code (`noren.errors`)."""


class ProxyApi(Construct):
    """Regional, throttled, logged, traced. Paths, methods, CORS and authentication are the function's business."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        handler: PythonFunction,
        timeout: Duration,
        stream: bool = False,
        domain: str = "",
        web_acl_arn: str = "",
        account_log_role: bool = False,
    ) -> None:
        super().__init__(scope, name)
        access_log = logs.LogGroup(
            self,
            "AccessLog",
            retention=RETENTION[stage.log_days],
            removal_policy=RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY,
        )
        self.api = apigw.RestApi(
            self,
            "Api",
            rest_api_name=f"noren-{stage.name}-{name.lower()}",
            endpoint_configuration=apigw.EndpointConfiguration(types=[apigw.EndpointType.REGIONAL]),
            # One role an account and region: the first API of a stage brings it, and it stays when the stage goes.
            cloud_watch_role=account_log_role,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN if account_log_role else None,
            deploy_options=apigw.StageOptions(
                stage_name=stage.name,
                throttling_rate_limit=stage.requests_per_second,
                throttling_burst_limit=2 * stage.requests_per_second,
                access_log_destination=cast(apigw.IAccessLogDestination, apigw.LogGroupLogDestination(access_log)),
                access_log_format=apigw.AccessLogFormat.json_with_standard_fields(
                    caller=False,
                    http_method=True,
                    ip=False,  # visitors' addresses are kept truncated, and in usage records alone
                    protocol=False,
                    request_time=True,
                    resource_path=True,
                    response_length=True,
                    status=True,
                    user=False,
                ),
                logging_level=apigw.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                metrics_enabled=True,
                tracing_enabled=True,
            ),
        )
        integration = apigw.LambdaIntegration(
            handler.target,
            proxy=True,
            allow_test_invoke=False,
            timeout=timeout,
            response_transfer_mode=apigw.ResponseTransferMode.STREAM if stream else None,
        )
        self.api.root.add_method("ANY", integration)
        self.api.root.add_resource("{proxy+}").add_method("ANY", integration)
        self._own_errors()
        self.url = self._domain(stage, domain) if domain else self.api.url.rstrip("/")
        host = domain or f"{self.api.rest_api_id}.execute-api.{self.api.stack.region}.{self.api.stack.url_suffix}"
        self.own_url = f"https://{host}" + ("" if domain else f"/{stage.name}")
        """The same, put together: the handler may know this one, since it does not wait for the deployment."""
        if web_acl_arn:
            wafv2.CfnWebACLAssociation(
                self, "Firewall", resource_arn=self.api.deployment_stage.stage_arn, web_acl_arn=web_acl_arn
            )
        CfnOutput(self, "Url", value=self.url)
        CfnOutput(self, "ApiId", value=self.api.rest_api_id)
        self._acknowledge()

    def add(self, path: str, method: str, handler: PythonFunction, timeout: Duration) -> None:
        """Give one path a function of its own."""
        resource = self.api.root.resource_for_path(path)
        integration = apigw.LambdaIntegration(handler.target, proxy=True, allow_test_invoke=False, timeout=timeout)
        resource.add_method(method, integration)

    def _own_errors(self) -> None:
        """What the gateway itself refuses (throttled, too large, no answer) looks like any other error of ours.

        One document for all callers: a problem document with OpenAI's envelope as its member `error`. Any origin may
        read it: it says nothing about anybody, and without the header a browser shows a network failure.
        """
        for kind, status, code in GATEWAY_ERRORS:
            headers = {
                "Access-Control-Allow-Origin": "'*'",
                "Cache-Control": "'no-store'",
                "Content-Type": "'application/problem+json'",
            }
            if status == 429:
                headers["Retry-After"] = "'1'"
            said = "$context.error.messageString"  # in quotes already
            kind_of_error = (
                "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
            )
            error = f'"message": {said}, "type": "{kind_of_error}", "param": null, "code": "{code}"'
            problem = (
                f'"type": "urn:noren:problem:{code}", "title": {said}, "status": {status}, "code": "{code}", '
                f'"detail": {said}, "trace_id": "$context.requestId", "error": {{{error}}}'
            )
            self.api.add_gateway_response(
                "".join(word.title() for word in code.split("_")),
                type=kind,
                status_code=str(status),
                response_headers=headers,
                templates={"application/json": f"{{{problem}}}"},
            )

    def _domain(self, stage: Stage, domain: str) -> str:
        certificate = acm.Certificate.from_certificate_arn(self, "Certificate", stage.domains.regional_certificate_arn)
        self.api.add_domain_name(
            "Domain",
            domain_name=domain,
            certificate=certificate,
            endpoint_type=apigw.EndpointType.REGIONAL,
            security_policy=apigw.SecurityPolicy.TLS_1_2,
        )
        return f"https://{domain}"

    def _acknowledge(self) -> None:
        nag.acknowledge(
            self,
            {
                "APIG2": "The function validates every request against its pydantic model before anything costs",
                "APIG3": "WAF is the stage option `waf`; without it, throttling and reserved concurrency bound a flood",
                "APIG4": nag.AUTHENTICATES,
                "COG4": nag.AUTHENTICATES,
                nag.managed_policy("AmazonAPIGatewayPushToCloudWatchLogs"): (
                    "The role that API Gateway prescribes for writing logs, one an account"
                ),
            },
        )
