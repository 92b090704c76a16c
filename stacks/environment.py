"""Variables of functions that come from the stage's settings."""

from __future__ import annotations

from config import Stage

_VENDORS = (
    "openai_base_url",
    "anthropic_base_url",
    "runpod_base_url",
    "local_llm_base_url",
    "runpod_phi3_endpoint",
    "runpod_mistral_endpoint",
)


def vendors(stage: Stage) -> dict[str, str]:
    """Where model services are; absent where the function's own default holds."""
    values = {name.upper(): str(getattr(stage.endpoints, name)) for name in _VENDORS}
    return {name: value for name, value in values.items() if value}


def payments(stage: Stage) -> dict[str, str]:
    """How payments are made; absent where the function's own default holds."""
    values = {
        "STRIPE_API_BASE": stage.endpoints.stripe_api_base,
        "STRIPE_TAX": "true" if stage.stripe_tax else "",
        "INVOICE_REGISTRATION_NUMBER": stage.invoice_registration_number,
        "PURCHASED_CREDITS_VALID_DAYS": str(stage.purchased_credits_valid_days),
    }
    return {name: value for name, value in values.items() if value}


def fetching(stage: Stage) -> dict[str, str]:
    """What may be fetched of this machine: nothing anywhere but at `local`, whatever is set."""
    allowed = stage.endpoints.fetch_allow if stage.is_local else ""
    return {"FETCH_ALLOW": allowed} if allowed else {}


def surroundings(stage: Stage) -> dict[str, str]:
    """`vendors` and the sender of mail."""
    return vendors(stage) | {"MAIL_FROM": stage.endpoints.mail_from}
