"""What a site shows to the world: the fields that its widget needs, as JSON and as a script. An allow-list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noren.sites.models import Site
from noren.sites.widget import font_family, whole
from noren.tenants.models import Tenant

PLACEHOLDER = "__NOREN__"
"""Where the loader's source takes the settings."""
OFF: dict[str, Any] = {"enabled": False}
INERT = 'console.info("Noren: the chat of this page is switched off.");\n'
UNKNOWN = 'console.info("Noren: there is no chat of this site_id. Copy the snippet again from the console.");\n'

_ESCAPES = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """The widget's second script: where it is, and its hash for browsers to check."""

    url: str
    integrity: str


def published(site: Site, tenant: Tenant, api: str, bundle: Bundle, greeting: str = "") -> dict[str, Any]:
    """What a page is told of the site; `OFF` where its widget is switched off, paused or its tenant suspended.

    `api` is the base URL that the widget calls, `greeting` its prompt's: what the site's own welcome stands before.
    """
    if not site.is_embed_enabled or site.status != "active" or tenant.is_suspended:
        return OFF
    config = whole(site.widget_config)
    return {
        "enabled": True,
        "site_id": site.site_id,
        "site_key": site.site_key,
        "embed_id": site.embed_script_id,
        "api": api.rstrip("/"),
        "config": config.model_dump()
        | {
            "font": font_family(config.font),
            "welcome_message": config.welcome_message or greeting,
        },
        "bundle": {"url": bundle.url, "integrity": bundle.integrity},
    }


def script(loader: str, settings: Mapping[str, Any]) -> str:
    """The loader with the settings in it; one line for the console where they are `OFF`. Raises ValueError."""
    if settings == OFF:
        return INERT
    before, found, after = loader.partition(PLACEHOLDER)
    if not found or PLACEHOLDER in after:
        raise ValueError(f"the loader must hold {PLACEHOLDER} once")
    return before + to_script(settings) + after


def to_script(value: Any) -> str:
    """A value as an expression of JavaScript that no text in it can end, also where a script stands inside HTML.

    JSON in ASCII: U+2028 and U+2029 are escaped like all else beyond it, so no charset can be mistaken.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def etag(body: bytes) -> str:
    """A strong validator of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether a caller with this `If-None-Match` has the body already (RFC 9110: compared weakly)."""
    given = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in given or etag in given
