"""`POST /webhook/stripe`: verified, noted, queued, answered; the worker does the rest."""

from __future__ import annotations

import logging
from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.gateway import to_event, to_request
from noren.edge.http import Response
from noren.edge.respond import render_error
from noren.edge.security import address_prefix
from noren.edge.strict_json import MAX_BODY
from noren.errors import NorenError, TooLarge
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

_log = logging.getLogger("noren.stripe_webhook")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry. What is not Stripe's is refused and changes nothing; what can't be kept is asked for again.

    Raises RuntimeError while there is no webhook secret: then nothing is taken for an event.
    """
    inbox = SERVICES.inbox
    request = to_request(event)
    try:
        if len(request.body) > MAX_BODY:
            raise TooLarge("An event is smaller than that.")
        outcome = inbox.take(request.body, request.headers.get("stripe-signature", ""))
    except NorenError as error:
        _log.warning("a delivery is refused", extra={"fields": {"code": error.code, "trace_id": request.trace_id}})
        SERVICES.security.count(error.code, f"address:{address_prefix(request.source_ip)}")
        return to_event(render_error(error, None, request, SERVICES))
    except Exception:
        _log.exception("a delivery could not be kept")
        return to_event(Response(b"{}", 503))
    return to_event(Response(b'{"received": "%s"}' % outcome.encode(), 200, {"content-type": "application/json"}))
