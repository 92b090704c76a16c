"""The record of events, as the API lists it (30 days)."""

from __future__ import annotations

import fnmatch

from local.stripe.render import page
from local.stripe.routes import Route
from local.stripe.world import DAY, Obj, World


def retrieve(world: World, given: Obj, event: str) -> Obj:
    """`GET /v1/events/{id}`."""
    return world.get("event", event)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/events`, by `type` (with `*`) or `types`."""
    wanted = given.get("types") or ([given["type"]] if "type" in given else ["*"])
    since = world.now() - 30 * DAY
    found = [
        each
        for each in world.all("event")
        if each["created"] >= since and any(fnmatch.fnmatch(each["type"], pattern) for pattern in wanted)
    ]
    if "delivery_success" in given:
        found = [each for each in found if (not each["pending_webhooks"]) == given["delivery_success"]]
    return page(world, "/v1/events", found, given)


ROUTES = [
    Route("GET", "/v1/events", search, "EventListParams"),
    Route("GET", "/v1/events/{event}", retrieve, "EventRetrieveParams"),
]
