"""Looks a site over for a quote. It reads what strangers send and has no rights to anything of ours (ADR 7)."""

from __future__ import annotations

from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.events import Context
from noren.knowledge.survey.models import Ask, SiteUnreadable
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)


def handler(event: dict[str, Any], _: Context) -> dict[str, Any]:
    """Lambda's entry: an `Ask`; the answer is a `Survey`, or why the site is `unreadable`."""
    try:
        return SERVICES.surveyor.survey(Ask.parse(event)).told()
    except SiteUnreadable as unreadable:
        return {"unreadable": unreadable.reason}
