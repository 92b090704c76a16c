"""Looks a site over for a quote. It reads what strangers send and has no rights to anything of ours (ADR 7)."""

from __future__ import annotations

import logging
from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.events import Context
from noren.knowledge.survey.models import Ask, LeadsElsewhere, SiteUnreadable
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)
_log = logging.getLogger("noren.surveyor")


def handler(event: dict[str, Any], _: Context) -> dict[str, Any]:
    """Lambda's entry: an `Ask`; the answer is a `Survey`, why the site is `unreadable`, or where it is: `elsewhere`."""
    try:
        return SERVICES.surveyor.survey(Ask.parse(event)).told()
    except SiteUnreadable as unreadable:
        return {"unreadable": unreadable.reason}
    except LeadsElsewhere as elsewhere:
        return {"elsewhere": elsewhere.url}
    except Exception as error:
        _log.error("a site was not looked over", exc_info=error)
    # Lambda logs the text of what is raised, and a stranger's page could have written it.
    raise RuntimeError("not looked over")
