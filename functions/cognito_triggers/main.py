"""Post-confirmation: whoever has confirmed their address gets a personal tenant.

There is no pre-token trigger: tokens need nothing from us, since authority comes from the tables at every request.
`GET /api/v1/me` makes the tenant too, so a failure here must not undo the sign-up.
"""

from __future__ import annotations

import logging
from typing import Any

from noren import wiring
from noren.edge import log
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)
_log = logging.getLogger("noren.cognito_triggers")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry. Only a sign-up counts, not a forgotten password."""
    if event.get("triggerSource") == "PostConfirmation_ConfirmSignUp":
        given = event["request"]["userAttributes"]
        email = given.get("email", "").lower() if given.get("email_verified", "").lower() == "true" else ""
        try:
            locale = given.get("locale", "ja")[:2]
            SERVICES.tenants.ensure_tenant(given["sub"], email, given.get("name", ""), locale)
        except Exception as error:
            _log.error("tenant not made at sign-up; GET /me will make it", exc_info=error)
    return event
