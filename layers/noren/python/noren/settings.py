"""The only reader of the environment. Names, ARNs and URLs: never a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Settings:
    """What a function is told about its surroundings; empty where the function does not need it.

    Every synthesized function's environment is checked against these names (upper-cased).
    """

    stage: str = "local"
    region: str = "ap-northeast-1"
    # DynamoDB tables
    tenants_table: str = ""
    quotas_table: str = ""
    credits_table: str = ""
    usage_table: str = ""
    sites_table: str = ""
    events_table: str = ""
    runtime_table: str = ""
    webhooks_table: str = ""
    knowledge_table: str = ""
    # S3: texts, uploads and indexes of sites
    knowledge_bucket: str = ""
    # S3 Vectors: the vectors of very large sites; empty: all sites are served from their files alone
    vector_bucket: str = ""
    # Queues
    mail_queue_url: str = ""
    summary_queue_url: str = ""
    webhook_queue_url: str = ""
    train_queue_url: str = ""
    publish_queue_url: str = ""
    # Cognito
    user_pool_id: str = ""
    client_id: str = ""
    jwks_url: str = ""
    # Secrets Manager: {"openai_api_key", "anthropic_api_key", "runpod_api_key", "local_llm_api_key"}
    provider_secret_arn: str = ""
    # Secrets Manager: a random string; signs cursors, visitor and invitation tokens
    signing_secret_arn: str = ""
    # KMS: the stage's key, for secrets that customers are given (noren.vault)
    data_key_arn: str = ""
    # Where the vendors' services are (locally: the stand-ins)
    openai_base_url: str = "https://api.openai.com/v1"
    anthropic_base_url: str = "https://api.anthropic.com"
    runpod_base_url: str = "https://api.runpod.ai/v2"
    local_llm_base_url: str = ""
    runpod_phi3_endpoint: str = ""
    runpod_mistral_endpoint: str = ""
    # Where our own parts are
    platform_url: str = ""
    inference_url: str = ""
    console_url: str = ""
    mail_from: str = ""
    # Days that bought credits last unless their package says otherwise; 0: for ever
    purchased_credits_valid_days: str = "180"
    # Secrets Manager: {"stripe_secret_key", "stripe_webhook_secret"}
    payment_secret_arn: str = ""
    stripe_api_base: str = ""
    # "true": Stripe Tax reckons the consumption tax that is in our prices
    stripe_tax: str = ""
    # The operator's number on qualified invoices (適格請求書), e.g. T1234567890123
    invoice_registration_number: str = ""
    billing_table: str = ""
    billing_queue_url: str = ""
    # At stage local alone: host:port,… of this machine that may be fetched from and sent webhooks
    fetch_allow: str = ""
    # The function that looks sites over; "": done here
    surveyor_function: str = ""
    # Seconds that one chat may take: the function's own time limit
    chat_seconds: str = "120"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read the fields from upper-cased variables of the same name; the rest keep their defaults."""
        given = {field.name: env[field.name.upper()] for field in fields(cls) if env.get(field.name.upper())}
        if "region" not in given and env.get("AWS_REGION"):
            given["region"] = env["AWS_REGION"]
        return cls(**given)

    @property
    def issuer(self) -> str:
        """The `iss` of this pool's tokens (the same on AWS and on the emulator)."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.user_pool_id}"

    @property
    def fetch_allowed(self) -> frozenset[tuple[str, int]]:
        """`fetch_allow`, taken apart. Nothing at any stage but local, whatever is set."""
        given = self.fetch_allow.split(",") if self.stage == "local" else []
        pairs = (each.strip().rpartition(":") for each in given)
        return frozenset((host, int(port)) for host, _, port in pairs if host)
