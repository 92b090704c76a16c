"""A smaller plan freezes whom it has no seat for; the tenant chooses; a larger one thaws. Also at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from noren.errors import Conflict, NorenError
from noren.ids import TenantId
from noren.tables import from_item
from noren.tenants.models import Role
from noren.tenants.seats import Seats
from noren.tenants.store import Refused
from noren.tenants.team import Actor
from tests.unit.platform_api.kit import Platform, access_token
from tests.unit.tenants.test_team import invited, join, upgrade

OWNER = Actor("user:u1", Role.OWNER)


def seats(platform: Platform, limit: int | None) -> None:
    """As a plan with so many seats does."""
    tenant = TenantId(platform.tenant_of("u1"))
    platform.services.tenants.set_overrides(tenant, {"members": limit}, "test")


def active(platform: Platform) -> set[str]:
    """Who has a seat; the counters agree."""
    tenant = platform.services.tenants.fresh(TenantId(platform.tenant_of("u1")))
    team = platform.services.tenants._store.members(tenant.tenant_id)
    working = [each for each in team if not each.frozen]
    assert tenant.extra["members"] == len(team)
    assert tenant.extra.get("frozen", 0) == len(team) - len(working)
    assert tenant.extra["owners"] == sum(each.role is Role.OWNER for each in working) >= 1
    return {each.user_id for each in working}


@pytest.fixture
def team(platform: Platform) -> Platform:
    """u1 owns; u2 (editor), u3 (viewer) and u4 (admin) joined in that order."""
    owner = platform.sign_up("u1")
    upgrade(platform, "u1")
    for sub, role in (("u2", "editor"), ("u3", "viewer"), ("u4", "admin")):
        platform.time.ahead += 60
        join(platform, owner, sub, role)
    return platform


def header(platform: Platform) -> dict[str, str]:
    return {"x-tenant-id": platform.tenant_of("u1")}


def test_owners_then_the_earliest_stay_and_all_come_back(team: Platform) -> None:
    assert active(team) == {"u1", "u2", "u3", "u4"}
    seats(team, 2)
    assert active(team) == {"u1", "u2"}
    seats(team, 3)
    assert active(team) == {"u1", "u2", "u3"}
    seats(team, None)
    assert active(team) == {"u1", "u2", "u3", "u4"}


def test_an_owner_who_joined_last_goes_before_who_joined_first(team: Platform) -> None:
    team.json("PATCH", "/api/v1/members/u4", access_token("u1"), {"role": "owner"})
    seats(team, 2)
    assert active(team) == {"u1", "u4"}
    seats(team, 1)
    assert active(team) == {"u1"}
    answer = team.call("PATCH", "/api/v1/members/u1", access_token("u1"), {"role": "admin"})
    assert (answer.status, json.loads(answer.body)["code"]) == (409, "last_owner")  # the other one has no access
    seats(team, None)
    assert active(team) == {"u1", "u2", "u3", "u4"}


def test_a_lower_plan_freezes_and_its_end_thaws(team: Platform) -> None:
    tenant = TenantId(team.tenant_of("u1"))
    team.services.tenants.set_billing(tenant, "free", "canceled", 0)
    assert active(team) == {"u1", "u2"}
    team.services.tenants.set_billing(tenant, "pro", "active", 0)
    assert active(team) == {"u1", "u2", "u3", "u4"}


def test_a_grace_that_runs_out_freezes_without_anybodys_doing(team: Platform) -> None:
    tenant = TenantId(team.tenant_of("u1"))
    team.services.tenants.set_billing(tenant, "pro", "past_due", int(team.time()) + 600)
    assert len(active(team)) == 4
    team.time.ahead += 601
    assert active(team) == {"u1", "u2"}


def test_a_frozen_member_is_refused_within_a_minute_and_told_why(team: Platform) -> None:
    token = access_token("u3")
    assert team.call("GET", "/api/v1/members", token, headers=header(team)).status == 200
    seats(team, 2)
    team.time.ahead += 61
    for path in ("/api/v1/members", "/api/v1/me"):
        answer = team.call("GET", path, token, headers=header(team))
        problem = json.loads(answer.body)
        assert (answer.status, problem["code"]) == (403, "membership_frozen")
        assert "seats" in problem["detail"]
    me = team.json("GET", "/api/v1/me", token)  # their own tenant is open to them
    assert {each["tenant_id"]: each["active"] for each in me["memberships"]} == {
        team.tenant_of("u1"): False,
        me["tenant"]["tenant_id"]: True,
    }
    seats(team, 10)
    team.time.ahead += 61
    assert team.call("GET", "/api/v1/members", token, headers=header(team)).status == 200


def test_who_works_elsewhere_first_is_let_in_there(team: Platform) -> None:
    """Without the header the oldest membership counts, unless it is frozen."""
    guest = team.services.tenants
    seats(team, 1)
    team.time.ahead += 61
    assert {each.tenant_id for each in guest.memberships("u2") if each.frozen} == {team.tenant_of("u1")}
    assert team.json("GET", "/api/v1/me", access_token("u2"))["role"] == "owner"


def test_the_team_shows_it_and_an_admin_swaps(team: Platform) -> None:
    seats(team, 3)
    owner = access_token("u1")
    shown = {each["user_id"]: each["active"] for each in team.json("GET", "/api/v1/members", owner)["items"]}
    assert shown == {"u1": True, "u2": True, "u3": True, "u4": False}
    path = "/api/v1/members/"

    def refused(who: str, value: bool, token: str = owner) -> tuple[int, str]:
        answer = team.call("PATCH", path + who, token, {"active": value}, headers=header(team))
        return answer.status, json.loads(answer.body)["code"]

    assert refused("u4", True) == (409, "no_seat")
    assert refused("u1", False) == (409, "owner_stays_active")
    assert refused("u2", False, access_token("u2")) == (403, "forbidden")  # an editor
    assert team.json("PATCH", path + "u2", owner, {"active": False})["active"] is False
    assert active(team) == {"u1", "u3"}
    team.services.tenants.fresh(TenantId(team.tenant_of("u1")))
    assert active(team) == {"u1", "u3"}, "the seat waits for whom the owner chooses"
    assert team.json("PATCH", path + "u4", owner, {"active": True})["active"] is True
    assert team.json("PATCH", path + "u4", owner, {"active": True})["active"] is True
    assert active(team) == {"u1", "u3", "u4"}
    seats(team, 2)
    assert active(team) == {"u1", "u3"}
    seats(team, 9)
    assert active(team) == {"u1", "u2", "u3", "u4"}
    assert refused("u2", False) == (409, "seats_left")
    for body in ({}, {"active": "yes"}, {"active": None}):
        assert team.call("PATCH", path + "u2", owner, body).status == 400


def test_nobody_new_comes_in_while_somebody_is_frozen(team: Platform) -> None:
    owner = access_token("u1")
    token = invited(team, owner, "u5@example.jp")
    guest = team.sign_up("u5")
    seats(team, 4)
    seats(team, 2)
    answer = team.call("POST", "/api/v1/invitations/accept", guest, {"token": token})
    assert (answer.status, json.loads(answer.body)["code"]) == (409, "member_limit")
    team.json("PATCH", "/api/v1/members/u2", owner, {"active": False})
    assert team.call("POST", "/api/v1/invitations/accept", guest, {"token": token}).status == 409


def test_a_seat_that_is_given_up_is_taken(team: Platform) -> None:
    seats(team, 2)
    team.json("DELETE", "/api/v1/members/u2", access_token("u1"))
    assert active(team) == {"u1", "u3"}
    team.json("DELETE", "/api/v1/members/u4", access_token("u1"))  # a frozen one
    assert active(team) == {"u1", "u3"}


@pytest.mark.parametrize("_", range(3))
def test_freezing_joining_leaving_and_choosing_at_once_keep_to_the_seats(team: Platform, _: int) -> None:
    owner = access_token("u1")
    tokens = {sub: invited(team, owner, f"{sub}@example.jp") for sub in ("u5", "u6")}
    for sub in tokens:
        team.sign_up(sub)
    tenant, everything = TenantId(team.tenant_of("u1")), team.services.tenants

    def tried(work: Any) -> None:
        with contextlib.suppress(NorenError):
            work()

    jobs = [
        *(lambda sub=sub: everything.team.accept(tokens[sub], sub, f"{sub}@example.jp") for sub in tokens),
        *(lambda: everything.set_overrides(tenant, {"members": 3}, "test") for _ in range(3)),
        lambda: everything.team.remove(tenant, "u2", OWNER),
        lambda: everything.team.set_active(tenant, "u4", True, OWNER),
        lambda: everything.team.set_active(tenant, "u3", False, OWNER),
        lambda: everything.team.change_role(tenant, "u4", Role.OWNER, OWNER),
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(tried, jobs))
    everything.fresh(tenant)
    assert len(active(team)) <= 3
    assert "u1" in active(team)


def test_who_dies_half_way_is_finished_by_the_next_reader(team: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> Iterator[None]:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(Seats, "fit", dies)
        with pytest.raises(RuntimeError):
            seats(team, 1)
    assert team.services.tenants.fresh(TenantId(team.tenant_of("u1")))
    assert active(team) == {"u1"}


def test_a_team_that_changed_since_it_was_read_is_looked_at_again(
    team: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, tenant = team.services.tenants.team.seats, TenantId(team.tenant_of("u1"))
    change, left = chosen._seats.change, False

    def first_somebody_leaves(*given: Any) -> None:
        nonlocal left
        if not left:
            left = True
            team.services.tenants._store.remove_member(team.services.tenants.team.member(tenant, "u2"))
        change(*given)

    monkeypatch.setattr(chosen._seats, "change", first_somebody_leaves)
    seats(team, 2)
    assert active(team) == {"u1", "u3"}


def test_a_full_house_refuses_at_the_table_itself(team: Platform) -> None:
    tenant = TenantId(team.tenant_of("u1"))
    read = team.services.tenants.fresh(tenant)
    seats(team, 2)
    frozen = team.services.tenants.team.member(tenant, "u4")
    with pytest.raises(Refused):  # on top of what is no more
        team.services.tenants.team.seats._seats.change(read, [], [frozen])
    with pytest.raises(Conflict):
        team.services.tenants.team.set_active(tenant, "u4", True, OWNER)
    rows = [from_item(each) for each in boto3.client("dynamodb").scan(TableName="tenants")["Items"]]
    assert sum(bool(each.get("frozen")) for each in rows if each["sk"].startswith("MEM#")) == 2
