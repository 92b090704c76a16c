"""The ledger, case by case."""

from __future__ import annotations

import pytest

from noren import ids
from noren.errors import NotFound
from noren.ids import TenantId
from noren.ledger.models import Denied
from tests.unit.ledger.conftest import World


def test_a_chat_is_counted_once_and_leaves_no_hold(world: World) -> None:
    stands = world.chat()
    assert world.client.calls == ["update_item", "put_item", "update_item"]  # three writes a chat, no read
    assert (stands.decision, stands.chats) == ("USAGE", 1)
    standing = world.ledger.standing(world.tenant.tenant_id)
    assert (standing.chats_used, standing.chats_limit, standing.open_holds) == (1, 100, 0)
    assert standing.requests_today(world.site_id) == 1
    assert world.usage.record_of(world.tenant.tenant_id, stands.request_id) == stands


def test_an_unknown_tenant_is_not_found(world: World) -> None:
    stranger = TenantId(ids.new_id("ten"))
    with pytest.raises(NotFound):
        world.chat(tenant_id=stranger)
    with pytest.raises(NotFound):
        world.ledger.set_active(stranger, True)


def test_a_release_gives_everything_back(world: World) -> None:
    world.give_credits(10)
    before = world.account
    stands = world.chat(release=True, credits=4, embedding_tokens=30)
    assert (stands.decision, stands.chats, stands.credits) == ("RELEASE", 0, 0)
    after = world.account
    assert (after.chats_used, after.credits, after.embedding_left) == (0, 10, before.embedding_left)
    assert set(after.site_counts.values()) == {0}
    assert not after.holds


def test_the_chats_of_the_month_run_out(world: World) -> None:
    world.client.update_item(
        TableName="quotas",
        Key={"pk": {"S": f"ACC#{world.tenant.tenant_id}"}, "sk": {"S": "0"}},
        UpdateExpression="SET qc = ql",
    )
    with pytest.raises(Denied) as denied:
        world.chat()
    assert denied.value.reason == "chats"
    assert denied.value.resets_at == world.account.resets_at
