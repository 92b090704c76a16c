"""Chats and sessions of sites that are switched off, frozen, deleted, or allowed more a day than the plan is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noren.errors import Forbidden, NotFound, QuotaExceeded
from noren.sites.models import Site, SiteStatus
from tests.unit.chat.rig import LIMITS, Rig


def put(rig: Rig, site: Site, status: SiteStatus) -> Site:
    """The site with another status, also in this process's memory."""
    moved = replace(
        site, status=status, deleted_at=rig.clock() if status == "deleted" else None, version=site.version + 1
    )
    rig.sites.move(site, moved, room=9)
    return moved


def test_each_state_that_stops_a_site_has_its_own_code(rig: Rig) -> None:
    site = rig.sites.create_default(rig.tenant)
    site = put(rig, site, "disabled")
    with pytest.raises(Forbidden) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.code == "site_disabled"
    rig.sites.fit(rig.tenant, 9)
    assert rig.sites.get(site.tenant_id, site.site_id).status == "disabled", "nobody but its owner switches it on"
    site = put(rig, site, "frozen")
    with pytest.raises(Forbidden) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.code == "site_frozen"
    rig.sites.fit(rig.tenant, 9)
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert len(rig.script.prompts) == 1


def test_what_was_said_on_a_deleted_site_is_out_of_reach_until_it_is_restored(rig: Rig) -> None:
    first = rig.sites.create_default(rig.tenant)
    second = rig.sites.new(rig.tenant, "Second", first.prompt_profile)
    rig.sites.add(second, room=2)
    here, there = (
        rig.chats.reply(rig.member(), rig.ask(site_id=site.site_id), rig.run())[0].session_key
        for site in (first, second)
    )

    def listed() -> set[str]:
        return {each.session_key for each in rig.sessions.page(rig.member(), 10, None)[0]}

    assert listed() == {here, there}
    gone = put(rig, second, "deleted")
    assert listed() == {here}
    for attempt in (rig.sessions.get, rig.sessions.turns, rig.sessions.delete):
        with pytest.raises(NotFound):
            attempt(rig.member(), there)
    with pytest.raises(NotFound):
        rig.chats.reply(rig.member(), rig.ask(site_id=second.site_id, session_key=there), rig.run())
    put(rig, gone, "active")
    assert listed() == {here, there}
    rig.chats.reply(rig.member(), rig.ask(site_id=second.site_id, session_key=there), rig.run())


def test_a_sites_number_from_a_larger_plan_gives_no_more_than_the_plan(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_day_per_site=1))
    rig.sites.save_site(replace(rig.sites.create_default(rig.tenant), daily_quota=500))
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    with pytest.raises(QuotaExceeded) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.extra["plan"], "a larger plan would help"
