"""What the routes of sites and of their widgets take and give."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from noren.edge.paging import PageQuery
from noren.sites.origins import parse_entry
from noren.sites.widget import Widget
from platform_api.schemas import Answer, Body, Line

MOST_DOMAINS = 50
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


def _domain(text: str) -> str:
    """A domain in its one spelling; `*.` ahead of it for its sub-domains."""
    host = parse_entry(text).removeprefix("https://") if "://" not in text else ""
    if not _HOST.match(host):
        raise ValueError("Write a domain without scheme, port and path, like shop.example or *.shop.example.")
    return host


def _once(given: list[str]) -> list[str]:
    return list(dict.fromkeys(given))


Entry = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Domains = Annotated[
    list[Annotated[Entry, AfterValidator(_domain)]], Field(max_length=MOST_DOMAINS), AfterValidator(_once)
]
Origins = Annotated[
    list[Annotated[Entry, AfterValidator(parse_entry)]], Field(max_length=MOST_DOMAINS), AfterValidator(_once)
]
ProfileId = Annotated[str, StringConstraints(min_length=1, max_length=60)]
ModelId = Annotated[str, StringConstraints(max_length=100)]
DailyQuota = Annotated[int, Field(ge=0, le=10**9)]
StatusName = Literal["active", "disabled", "frozen", "deleted"]


class SiteFields(Body):
    """What an owner decides about a site."""

    domains: Domains | None = None
    """Where its pages are: what may be crawled for training. `*.shop.example` stands for all sub-domains."""
    allowed_domains: Origins | None = None
    """Pages that may carry the widget: scheme, host and port as in `https://shop.example` (https where none is said),
    or `*.shop.example` for sub-domains alone."""
    allow_server_calls: bool | None = None
    """Whether visitor calls without an `Origin`, as servers make them, are let in."""
    is_embed_enabled: bool | None = None
    is_enrichment_enabled: bool | None = None
    """With the vendors' models alone: a model of ours first drafts notes on the passages, which the answering model
    reads beside them. Costs that model's tokens, and time before the first word."""
    prompt_profile: ProfileId | None = None
    default_model: ModelId | None = None
    """The id of a model of the plan; "" for the plan's own choice."""
    daily_quota: DailyQuota | None = None
    """Requests a day, at most what the plan allows; null for the plan's number."""
    widget_config: Widget | None = None
    """Members left out stay as they are."""

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as the domain has them."""
        fields = {name: getattr(self, name) for name in self.model_fields_set - {"version"}}
        found = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        if self.widget_config is not None:
            found["widget_config"] = self.widget_config.model_dump(exclude_unset=True)
        return {name: value for name, value in found.items() if value is not None or name == "daily_quota"}


class SiteIn(SiteFields):
    """A new site."""

    name: Line


class SitePatch(SiteFields):
    """What changes; members left out, or null, stay as they are (`daily_quota`: null is the plan's number).

    With `version`, as it was read, the change is refused (409) if somebody else came first.
    """

    name: Line | None = None
    status: Literal["active", "disabled"] | None = None
    """A `frozen` site is made `active` by switching another one off first."""
    version: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _something(self) -> SitePatch:
        if not self.model_fields_set - {"version"}:
            raise ValueError("say what is to change")
        return self


class SiteOut(Answer):
    """A site. `frozen`: the plan has room for fewer."""

    site_id: str
    name: str
    status: StatusName
    is_default: bool
    site_key: str
    """Public: it names the site to visitors' browsers."""
    previous_key_until: str | None
    """While the key before the last rotation is still good."""
    domains: list[str]
    allowed_domains: list[str]
    allow_server_calls: bool
    is_embed_enabled: bool
    is_enrichment_enabled: bool
    embed_script_id: str
    widget_config: Widget
    prompt_profile: str
    default_model: str
    daily_quota: int | None
    last_trained_at: str | None
    version: int
    created_at: str
    created_by: str
    updated_at: str | None
    updated_by: str
    deleted_at: str | None
    deleted_by: str
    restorable_until: str | None


class SitesQuery(PageQuery):
    """`status` picks; without it all sites that are not deleted."""

    status: StatusName | None = None


class KeyRotation(Body):
    """How long the key that is replaced stays good: the pages that carry it need time to change."""

    overlap_hours: Annotated[int, Field(ge=0, le=72)] = 24


class EvergreenOut(Answer):
    """The snippet that always loads the newest widget."""

    html: str
    src: str


class PinnedOut(Answer):
    """The snippet whose scripts can never change: the browser checks the loader's hash, and the loader the panel's."""

    html: str
    src: str
    integrity: str
    data_site_id: str
    data_api: str
    data_panel: str
    """The widget's second script, which the loader fetches when the chat is to be opened."""
    data_panel_integrity: str


class SnippetsOut(Answer):
    """What to paste into a page, before `</body>`; and the parts of it."""

    evergreen: EvergreenOut
    pinned: PinnedOut


class EmbedQuery(BaseModel):
    """Whose widget. Parameters that pages' systems append (`ver=6.1`) are not ours to refuse."""

    model_config = ConfigDict(extra="ignore")

    site_id: str = ""


class BundleOut(Answer):
    """The widget's second script."""

    url: str
    integrity: str


class PublicWidgetOut(Widget):
    """The widget's settings as a page gets them. `font` is a value of CSS."""


class EmbedOut(Answer):
    """What a page is told of a site. With `enabled` false there is nothing else: the widget is switched off."""

    enabled: bool
    site_id: str
    site_key: str
    embed_id: str
    api: str
    """Base URL of the inference API."""
    config: PublicWidgetOut
    bundle: BundleOut
