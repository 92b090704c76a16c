"""One typed settings object per deployment stage: everything that differs between `local`, `dev`, `staging`, `prod`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True)
class Endpoints:
    """Names and URLs of what lies outside the app, each set with `-c <field>=<value>`; empty: the default."""

    openai_base_url: str = ""
    anthropic_base_url: str = ""
    runpod_base_url: str = ""
    local_llm_base_url: str = ""
    stripe_api_base: str = ""
    runpod_phi3_endpoint: str = ""
    """Id of the RunPod endpoint that serves Phi-3 Mini."""
    runpod_mistral_endpoint: str = ""
    inference_url: str = ""
    console_url: str = ""
    mail_from: str = "Noren <no-reply@noren.example>"
    """Sender of invitations and notices: its address or domain is a verified SES identity of the account."""
    aws_endpoint_url: str = ""
    """At `local` only: where the embedded cloud listens."""
    fetch_allow: str = ""
    """At `local` only: `host:port,…` of this machine that may be fetched from and sent webhooks."""


@dataclass(frozen=True)
class Domains:
    """Own domain names with their certificates; empty means the names that AWS gives."""

    platform: str = ""
    inference: str = ""
    regional_certificate_arn: str = ""
    console: str = ""
    console_certificate_arn: str = ""
    """In us-east-1, as CloudFront wants it."""


@dataclass(frozen=True)
class Stage:
    """What one stage is like. Defaults suit a cheap development stage."""

    name: str
    region: str = "ap-northeast-1"
    retain: bool = False
    """Keep data when a stack goes, and protect tables, pool and stacks from deletion."""
    waf: bool = False
    snap_start: bool = False
    canary: bool = False
    """Shift traffic with CodeDeploy; alarms roll back."""
    alarms: bool = False
    alarm_email: str = ""
    ses_sign_up_mail: bool = False
    """Cognito writes through SES from `mail_from`; its own sender stops at 50 mails a day."""
    threat_protection: bool = False
    """Cognito's Plus plan: compromised credentials are refused (priced per active user)."""
    log_days: int = 14
    requests_per_second: int = 50
    """Steady rate that each API lets through for everybody together; twice that as a burst."""
    chat_concurrency: int | None = None
    """Reserved concurrent executions: a ceiling on what a flood can cost. None: the account's pool."""
    platform_concurrency: int | None = None
    chat_seconds: int = 120
    """Time limit of one chat."""
    s3_vectors: bool = False
    """Keep the vectors of sites with more than 50,000 chunks in Amazon S3 Vectors (paid per query there)."""
    stripe_tax: bool = False
    """Have Stripe Tax reckon the consumption tax that is in our prices (switched on at Stripe first)."""
    invoice_registration_number: str = ""
    """The operator's number on qualified invoices (適格請求書), e.g. T1234567890123."""
    purchased_credits_valid_days: int = 180
    """How long bought credits last; 0: for ever, which Japanese law regulates like a prepaid balance."""
    web_adapter_layer: str = "arn:aws:lambda:{region}:753240598075:layer:LambdaAdapterLayerArm64:30"
    cost_centre: str = "noren"
    domains: Domains = field(default_factory=Domains)
    endpoints: Endpoints = field(default_factory=Endpoints)

    @property
    def is_local(self) -> bool:
        """Whether this is the embedded cloud (`stacks/local.py` lists what it goes without)."""
        return self.name == "local"


_STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "local",
            endpoints=Endpoints(
                console_url="http://127.0.0.1:8080",
                inference_url="http://127.0.0.1:8080",
                mail_from="Noren <no-reply@noren.localhost>",
                aws_endpoint_url="http://127.0.0.1:4566",
            ),
        ),
        Stage("dev"),
        Stage("staging", alarms=True, canary=True, snap_start=True, log_days=30),
        Stage(
            "prod",
            retain=True,
            waf=True,
            snap_start=True,
            canary=True,
            alarms=True,
            log_days=90,
            requests_per_second=1_000,
            chat_concurrency=500,
            platform_concurrency=200,
        ),
    )
}


def load(name: str | None, context: Callable[[str], str | None] = lambda _: None) -> Stage:
    """The settings of a stage, with endpoints overridden from CDK context.

    Raises ValueError, in words for the operator, if the stage is missing or unknown.
    """
    if name not in _STAGES:
        known = ", ".join(_STAGES)
        raise ValueError(f"Which stage? {name!r} is none of {known}. Say for example: cdk deploy --all -c stage=dev")
    stage = _STAGES[name]
    given = {each.name: context(each.name) for each in fields(Endpoints)}
    overrides = {field_name: value for field_name, value in given.items() if value}
    alarm_email = context("alarm_email") or stage.alarm_email
    s3_vectors = stage.s3_vectors or context("s3_vectors") == "true"
    endpoints = replace(stage.endpoints, **overrides)
    return replace(stage, endpoints=endpoints, alarm_email=alarm_email, s3_vectors=s3_vectors)
