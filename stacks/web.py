"""The page and the widget: a private bucket behind CloudFront. Static files alone; both APIs are called directly."""

from __future__ import annotations

import json
from typing import Any, cast

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from config import Stage
from stacks import nag
from stacks.bundling import ROOT
from stacks.data import knowledge_bucket
from stacks.function import RETENTION

PAGE = ROOT / "web" / "page"
WIDGET = ROOT / ".noren" / "widget"
"""What `web/widget/build.mjs` makes: scripts whose names carry their hash."""
HEADERS = ROOT / "web" / "headers.json"
"""The security headers, shared with the local front door; `{connect}` stands for the origins that the page may call."""
WIDGET_HEADERS = ROOT / "web" / "widget" / "headers.json"
"""Of the widget's scripts, which pages of any origin load; shared with the local front door too."""

ROUTES = {"/billing": "/billing.html", "/training": "/training.html", "/invite": "/index.html"}
"""Paths that are not files, and the page that answers them."""


class WebStack(Stack):
    """Bucket and distribution. Made before the APIs, since they and the user pool want to know the page's origin."""

    def __init__(self, scope: Construct, stage: Stage, **kwargs: Any) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Web", **kwargs)
        self.bucket = s3.Bucket(
            self,
            "Page",
            bucket_name=_bucket_name(stage, self.account),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=stage.retain,
            removal_policy=RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY,
            auto_delete_objects=not stage.retain,
        )
        own = stage.domains.console
        files = origins.S3BucketOrigin.with_origin_access_control(cast(s3.IBucket, self.bucket))
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"Noren {stage.name}: the page",
            default_root_object="index.html",
            domain_names=[own] if own else None,
            certificate=self._certificate(stage) if own else None,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if own else None,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_200,
            default_behavior=cloudfront.BehaviorOptions(
                origin=files,
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
                cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
                response_headers_policy=cast(cloudfront.IResponseHeadersPolicy, self._headers(stage)),
                function_associations=[
                    cloudfront.FunctionAssociation(
                        event_type=cloudfront.FunctionEventType.VIEWER_REQUEST,
                        function=cast(cloudfront.IFunction, self._routes()),
                    )
                ],
            ),
            additional_behaviors={
                "/widget/*": cloudfront.BehaviorOptions(
                    origin=files,
                    viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                    allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
                    cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
                    response_headers_policy=cast(cloudfront.IResponseHeadersPolicy, self._widget_headers()),
                )
            },
        )
        self.url = f"https://{own or self.distribution.distribution_domain_name}"
        CfnOutput(self, "ConsoleUrl", value=self.url)
        nag.acknowledge(
            self,
            {
                "S1": "Holds the published page alone, which CloudFront serves to everybody",
                "CFR1": "The page is meant for every country",
                "CFR2": "Static files cost the same with a firewall as without; what can be flooded has one: the APIs",
                "CFR3": "Access to static files is no security event; the APIs' accesses are logged",
                "CFR4": "CloudFront's own certificate fixes the policy; with the stage's domain TLS 1.2 is the minimum",
            },
        )

    def _certificate(self, stage: Stage) -> acm.ICertificate:
        return acm.Certificate.from_certificate_arn(self, "Certificate", stage.domains.console_certificate_arn)

    def _headers(self, stage: Stage) -> cloudfront.ResponseHeadersPolicy:
        headers: dict[str, str] = json.loads(HEADERS.read_text())
        apis = [name for name in (stage.domains.platform, stage.domains.inference) if name]
        hosts = {*apis, f"*.auth.{stage.region}.amazoncognito.com"}
        hosts.add(f"{knowledge_bucket(stage, self.account)}.s3.{stage.region}.amazonaws.com")  # files are posted there
        hosts.add(f"{knowledge_bucket(stage, self.account)}.s3.amazonaws.com")
        if len(apis) < 2:
            hosts.add(f"*.execute-api.{stage.region}.amazonaws.com")
        policy = headers.pop("Content-Security-Policy").replace(
            "{connect}", " ".join(f"https://{host}" for host in sorted(hosts))
        )
        behaviour = cloudfront.ResponseSecurityHeadersBehavior(
            content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                content_security_policy=policy, override=True
            ),
            content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
            frame_options=cloudfront.ResponseHeadersFrameOptions(
                frame_option=cloudfront.HeadersFrameOption(headers.pop("X-Frame-Options")), override=True
            ),
            referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                referrer_policy=cloudfront.HeadersReferrerPolicy(
                    headers.pop("Referrer-Policy").upper().replace("-", "_")
                ),
                override=True,
            ),
            strict_transport_security=_transport_security(headers.pop("Strict-Transport-Security")),
        )
        headers.pop("X-Content-Type-Options")
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            security_headers_behavior=behaviour,
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(header=name, value=value, override=True)
                    for name, value in headers.items()
                ]
            ),
        )

    def _widget_headers(self) -> cloudfront.ResponseHeadersPolicy:
        headers: dict[str, str] = json.loads(WIDGET_HEADERS.read_text())
        headers.pop("X-Content-Type-Options")
        return cloudfront.ResponseHeadersPolicy(
            self,
            "WidgetHeaders",
            cors_behavior=cloudfront.ResponseHeadersCorsBehavior(
                access_control_allow_origins=[headers.pop("Access-Control-Allow-Origin")],
                access_control_allow_methods=["GET", "HEAD"],
                access_control_allow_headers=["*"],
                access_control_allow_credentials=False,
                origin_override=True,
            ),
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                strict_transport_security=_transport_security(headers.pop("Strict-Transport-Security")),
            ),
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(header=name, value=value, override=True)
                    for name, value in headers.items()
                ]
            ),
        )

    def _routes(self) -> cloudfront.Function:
        code = f"""
function handler(event) {{
  const pages = {json.dumps(ROUTES)};
  event.request.uri = pages[event.request.uri] || event.request.uri;
  return event.request;
}}"""
        return cloudfront.Function(
            self,
            "Routes",
            code=cloudfront.FunctionCode.from_inline(code.strip()),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            comment="Paths that the page itself answers",
        )


class PageStack(Stack):
    """The page's files, and `/config.json` that tells them where everything is."""

    def __init__(
        self,
        scope: Construct,
        stage: Stage,
        *,
        web: WebStack,
        login_url: str,
        client_id: str,
        platform_url: str,
        inference_url: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Page", **kwargs)
        self.add_stack_dependency(web)
        bucket = s3.Bucket.from_bucket_name(self, "Bucket", _bucket_name(stage, self.account))
        settings = {
            "authority": login_url,
            "token_url": f"{login_url}/oauth2/token",
            "signup_url": f"{login_url}/signup",
            "client_id": client_id,
            "platform_url": platform_url,
            "inference_url": inference_url,
            "mailbox_url": "",
        }
        log_group = logs.LogGroup(
            self, "Logs", retention=RETENTION[stage.log_days], removal_policy=RemovalPolicy.DESTROY
        )
        deployment.BucketDeployment(
            self,
            "Files",
            destination_bucket=bucket,
            exclude=["widget/*"],
            sources=[
                deployment.Source.asset(str(PAGE)),
                deployment.Source.json_data("config.json", settings),
            ],
            # File names carry no version: browsers ask each time, CloudFront is told of every deployment.
            cache_control=[deployment.CacheControl.no_cache()],
            distribution=cast(Any, web.distribution),
            distribution_paths=["/*"],
            log_group=log_group,
        )
        _acknowledge(self, stage)


class WidgetStack(Stack):
    """The widget's scripts. Deployed ahead of the function that names them: a page never asks for what is not there."""

    def __init__(self, scope: Construct, stage: Stage, *, web: WebStack, **kwargs: Any) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Widget", **kwargs)
        self.add_stack_dependency(web)
        deployment.BucketDeployment(
            self,
            "Widget",
            destination_bucket=s3.Bucket.from_bucket_name(self, "Bucket", _bucket_name(stage, self.account)),
            destination_key_prefix="widget/",
            sources=[deployment.Source.asset(str(WIDGET))],
            cache_control=[deployment.CacheControl.from_string("public, max-age=31536000, immutable")],
            prune=False,  # pages that name an older script by its hash go on working
            log_group=logs.LogGroup(
                self, "Logs", retention=RETENTION[stage.log_days], removal_policy=RemovalPolicy.DESTROY
            ),
        )
        _acknowledge(self, stage)


def _acknowledge(stack: Stack, stage: Stage) -> None:
    """CDK's own deployment function: its policies and runtime are not ours to choose."""
    account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
    assets = f"arn:aws:s3:::cdk-hnb659fds-assets-{account}-{stage.region}/*"
    page = f"arn:aws:s3:::{_bucket_name(stage, account)}/*"
    reads_and_writes = ("GetBucket*", "GetObject*", "List*", "Abort*", "DeleteObject*")
    rules = [nag.managed_policy("AWSLambdaBasicExecutionRole"), "L1"]
    rules += [f"IAM5[Action::s3:{action}]" for action in reads_and_writes]
    rules += [f"IAM5[Resource::{resource}]" for resource in ("*", assets, page)]
    whose = "CDK's BucketDeployment: it runs only while deploying, on CDK's assets, the page's bucket and its cache"
    nag.acknowledge(stack, dict.fromkeys(rules, whose))


def _bucket_name(stage: Stage, account: str) -> str:
    """A name that both stacks know: a reference would show up in CDK's policies under a name nobody can foretell."""
    return f"noren-{stage.name}-page-{account}-{stage.region}"


def _transport_security(value: str) -> cloudfront.ResponseHeadersStrictTransportSecurity:
    """`max-age=63072000; includeSubDomains` as CloudFront wants it."""
    age, *flags = (part.strip() for part in value.split(";"))
    return cloudfront.ResponseHeadersStrictTransportSecurity(
        access_control_max_age=Duration.seconds(int(age.removeprefix("max-age="))),
        include_subdomains="includeSubDomains" in flags,
        preload="preload" in flags,
        override=True,
    )
