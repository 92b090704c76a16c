"""Webhooks and their deliveries as the API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from noren.fetching.urls import MAX_URL
from noren.mail import WebhookReason
from noren.webhooks.models import EventType, Status
from platform_api.schemas import Answer, Body


def _distinct(types: list[EventType]) -> list[EventType]:
    if len(set(types)) < len(types):
        raise ValueError("name each event type once")
    return types


Address = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=10), AfterValidator(_distinct)]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class WebhookIn(Body):
    """Where events of these types are sent. `callback_url` is https:// and reachable from the internet."""

    callback_url: Address
    event_types: EventTypes
    description: Description = ""
    enabled: bool = True


class WebhookPatch(Body):
    """What is to be changed. Enabling one that we disabled gives it a fresh start."""

    callback_url: Address | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> WebhookPatch:
        if not self.model_fields_set:
            raise ValueError("name something to change")
        return self


class WebhookOut(Answer):
    """A webhook. Its secret is shown once, when it is made."""

    webhook_id: str
    callback_url: str
    event_types: list[EventType]
    description: str
    enabled: bool
    disabled_reason: WebhookReason | Literal[""] = Field(
        description="Why we disabled it: `gone` (it answered 410), `failing` (nothing but failures for five days)"
    )
    failures: int = Field(description="Attempts that failed since one last succeeded")
    failing_since: str | None
    previous_secret_until: str | None = Field(description="Until then the secret before signs too")
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str


class WebhookMade(WebhookOut):
    """With its secret, this once (null in a replay of the answer)."""

    secret: str | None


class DeliveryOut(Answer):
    """One event on its way to one webhook."""

    delivery_id: str
    event_id: str = Field(description="The `webhook-id` of every attempt")
    event_type: str
    status: Status
    attempts: int = Field(description="Since it was made or last replayed")
    next_attempt_at: str | None
    last_status: int | None = Field(description="HTTP status of the last attempt; null: nobody answered")
    last_error: str = Field(
        description="`bad_status`, `unreachable`, `tls_failed`, `timed_out`, …; of a cancelled one `disabled`"
    )
    last_duration_ms: int | None
    created_at: str
    finished_at: str | None
