"""What a site's owner reads of visitors: feedback, what it was about, whole conversations; of their own sites alone."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from noren.chat.conversations import Conversation
from noren.chat.feedback import Wanted
from noren.chat.models import Answer, Asker, Source
from noren.chat.newest import LOOKED_AT, newest, page
from noren.chat.store import owner_hash
from noren.errors import BadRequest, NotFound, Unprocessable
from noren.ids import uuid7_hex
from noren.sites.canned_models import Pattern
from noren.sites.models import Site
from noren.tables import from_item
from tests.unit.chat.rig import Rig


def visitor(rig: Rig, name: str = "v1") -> Asker:
    return Asker(rig.tenant.tenant_id, f"visitor:{name}", "visitor", "203.0.113.9", "203.0.113.0/24")


def second_site(rig: Rig) -> Site:
    """Another site of the rig's tenant."""
    first = rig.sites.create_default(rig.tenant)
    made = rig.sites.new(rig.tenant, "Second", first.prompt_profile, "user:1")
    rig.sites.add(made, 10)
    return made


def chat(rig: Rig, asker: Asker, message: str = "When do you open?", **more: Any) -> Answer:
    rig.clock.skip(1)
    return rig.chats.reply(asker, rig.ask(message, **more), rig.run())[0]


def every(rig: Rig, site_ids: list[str], limit: int = 2, **wanted: Any) -> list[tuple[str, int]]:
    """(answer, rating) of all feedback, page by page."""
    seen: list[tuple[str, int]] = []
    below: str | None = None
    while True:
        found, below = rig.feedback.page(rig.tenant.tenant_id, site_ids, Wanted(**wanted), limit, below)
        assert len(found) <= limit
        seen += [(each.request_id, each.rating) for each in found]
        if below is None:
            return seen


def test_feedback_of_several_sites_comes_newest_first(rig: Rig) -> None:
    sites = [rig.sites.default_id(rig.tenant), second_site(rig).site_id]
    given = []
    for number in range(6):
        answer = chat(rig, visitor(rig), site_id=sites[number % 2])
        rig.feedback.rate(visitor(rig), answer.id, 1 + number % 5, "hm")
        given.append((answer.id, 1 + number % 5))
    assert every(rig, sites) == given[::-1]
    assert every(rig, sites[:1]) == given[::-1][1::2]
    assert every(rig, sites, rating_max=2) == [each for each in given[::-1] if each[1] <= 2]
    assert every(rig, sites, rating_min=3, rating_max=4) == [each for each in given[::-1] if each[1] in (3, 4)]
    assert every(rig, sites, above=given[2][0], below=given[4][0]) == [given[3], given[2]]
    assert every(rig, []) == []


def test_feedback_shows_what_it_is_about(rig: Rig) -> None:
    asker = visitor(rig)
    answer = chat(rig, asker, "いつ開きますか")
    rig.feedback.rate(asker, answer.id, 1, "wrong")
    rated = rig.feedback.get(rig.tenant.tenant_id, answer.id)
    assert (rated.feedback.session_key, rated.feedback.site_id) == (
        answer.session_key,
        rig.sites.default_id(rig.tenant),
    )
    assert rated.turn
    assert (rated.turn.message, rated.turn.answer) == ("いつ開きますか", "Open from nine.")
    rig.sessions.delete(asker, answer.session_key)
    assert rig.feedback.get(rig.tenant.tenant_id, answer.id).turn is None
    stranger = rig.add_tenant()
    unrated = chat(rig, asker)
    for tenant_id, request_id in (
        (stranger.tenant_id, answer.id),
        (rig.tenant.tenant_id, unrated.id),
        (rig.tenant.tenant_id, f"req_{'0' * 32}"),
        (rig.tenant.tenant_id, "x"),
    ):
        with pytest.raises(NotFound):
            rig.feedback.get(tenant_id, request_id)
    assert rig.feedback.page(stranger.tenant_id, [rig.sites.default_id(rig.tenant)], Wanted(), 10, None) == ([], None)


def test_everything_that_is_given_is_told(rig: Rig) -> None:
    asker = visitor(rig)
    answer = chat(rig, asker)
    rig.feedback.rate(asker, answer.id, 2, "meh")
    rig.feedback.rate(asker, answer.id, 5, "better")
    assert [(tenant, given.request_id, given.rating, given.comment) for tenant, given in rig.told] == [
        (rig.tenant.tenant_id, answer.id, 2, "meh"),
        (rig.tenant.tenant_id, answer.id, 5, "better"),
    ]
    assert rig.told[0][1].created_at == rig.told[1][1].created_at < rig.told[1][1].updated_at


def test_a_rated_answer_becomes_a_canned_one(rig: Rig) -> None:
    asker, tenant_id = visitor(rig), rig.tenant.tenant_id
    answer = chat(rig, asker, "いつ開きますか？")
    rig.feedback.rate(asker, answer.id, 1, "wrong")
    made = rig.feedback.answer_from_now_on(tenant_id, answer.id, None, "10時です。", "user:editor")
    assert made.patterns == (Pattern("normalized", "いつ開きますか？"),)
    assert (made.answer, made.created_by, made.site_id) == (
        "10時です。",
        "user:editor",
        rig.sites.default_id(rig.tenant),
    )
    assert chat(rig, asker, "いつ開きますか").answer == "10時です。"
    own = rig.feedback.answer_from_now_on(tenant_id, answer.id, [Pattern("exact", "X")], None, "user:editor")
    assert (own.patterns, own.answer) == ((Pattern("exact", "X"),), "Open from nine.")
    with pytest.raises(BadRequest):
        rig.feedback.answer_from_now_on(tenant_id, answer.id, [Pattern("regex", "(")], "A.", "user:editor")
    with pytest.raises(NotFound):
        rig.feedback.answer_from_now_on(rig.add_tenant().tenant_id, answer.id, None, "A.", "user:editor")


def test_what_can_not_be_taken_over_has_to_be_sent(rig: Rig) -> None:
    asker, tenant_id = visitor(rig), rig.tenant.tenant_id
    long = chat(rig, asker, "長い" * 200)
    rig.feedback.rate(asker, long.id, 1, "")
    with pytest.raises(Unprocessable, match="longer than 300") as refused:
        rig.feedback.answer_from_now_on(tenant_id, long.id, None, "A.", "user:editor")
    assert refused.value.code == "patterns_needed"
    rig.sessions.delete(asker, long.session_key)
    with pytest.raises(Unprocessable, match="not stored any more") as refused:
        rig.feedback.answer_from_now_on(tenant_id, long.id, [Pattern("exact", "X")], None, "user:editor")
    assert refused.value.code == "answer_needed"
    assert rig.feedback.answer_from_now_on(tenant_id, long.id, [Pattern("exact", "X")], "A.", "user:editor")


def keys(found: list[Conversation]) -> list[str]:
    return [each.session.session_key for each in found]


def test_conversations_of_several_sites_come_newest_first(rig: Rig) -> None:
    tenant_id, sites = rig.tenant.tenant_id, [rig.sites.default_id(rig.tenant), second_site(rig).site_id]
    begun = [chat(rig, visitor(rig, f"v{number}"), site_id=sites[number % 2]).session_key for number in range(5)]
    first, following = rig.conversations.page(tenant_id, sites, 2)
    rest, end = rig.conversations.page(tenant_id, sites, 3, below=following or "")
    assert (keys(first) + keys(rest), end) == (begun[::-1], None)
    assert keys(rig.conversations.page(tenant_id, sites[1:], 10)[0]) == [begun[3], begun[1]]
    assert keys(rig.conversations.page(tenant_id, sites, 10, above=begun[1], below=begun[3])[0]) == [begun[2], begun[1]]
    assert [each.kind for each in first] == ["visitor", "visitor"]
    assert rig.conversations.page(rig.add_tenant().tenant_id, sites, 10) == ([], None)


def test_a_conversation_is_read_with_sources_and_ratings(rig: Rig) -> None:
    asker, tenant_id = visitor(rig), rig.tenant.tenant_id
    answers = [chat(rig, asker, "one")]
    for number in range(4):
        answers.append(chat(rig, asker, f"more {number}", session_key=answers[0].session_key))
    rig.feedback.rate(asker, answers[3].id, 2, "meh")
    read = rig.conversations.read(tenant_id, answers[0].session_key, 2)
    assert [turn.message for turn in read.turns] == ["more 2", "more 3"]
    assert {name: each.rating for name, each in read.feedback.items()} == {answers[3].id: 2}
    assert (read.conversation.kind, read.conversation.session.turns, read.earlier) == ("visitor", 5, answers[3].id)
    before = rig.conversations.read(tenant_id, answers[0].session_key, 3, answers[3].id)
    assert ([turn.message for turn in before.turns], before.earlier) == (["one", "more 0", "more 1"], None)
    turn = before.turns[0]
    assert turn.complete
    source = Source("Title", "https://shop.example", "doc_1", 1, 0.5, "snippet")
    cited = replace(turn, complete=replace(turn.complete, sources=(source,)))
    rig.session_store.put_turn(tenant_id, owner_hash(asker.principal), cited)
    shown = rig.conversations.read(tenant_id, answers[0].session_key, 3, answers[3].id).turns[0]
    assert shown.complete
    assert shown.complete.sources == (source,)


def test_missing_foreign_expired_and_deleted_conversations_are_missing(rig: Rig) -> None:
    asker, tenant_id = visitor(rig), rig.tenant.tenant_id
    key, kept = chat(rig, asker).session_key, chat(rig, asker).session_key
    stranger = rig.add_tenant()
    rig.sessions.delete(asker, key)
    for tenant, session_key in (
        (tenant_id, key),
        (stranger.tenant_id, kept),
        (tenant_id, str(uuid.UUID(uuid7_hex()))),
        (tenant_id, "x"),
        (tenant_id, ""),
    ):
        with pytest.raises(NotFound):
            rig.conversations.read(tenant, session_key, 10)
    sites = [rig.sites.default_id(rig.tenant)]
    assert keys(rig.conversations.page(tenant_id, sites, 10)[0]) == [kept]
    assert (listed(rig, key), listed(rig, kept)[0]["kind"]) == ([], "visitor")
    rig.clock.skip(31 * 86400)
    assert rig.conversations.page(tenant_id, sites, 10)[0] == []
    with pytest.raises(NotFound):
        rig.conversations.read(tenant_id, kept, 10)


def listed(rig: Rig, session_key: str) -> list[dict[str, Any]]:
    """A session's row in its site's list, if it has one."""
    found = map(from_item, rig.client.scan(TableName="sites")["Items"])
    return [item for item in found if item["pk"].startswith("CONV#") and item["sk"] == session_key]


def test_a_session_that_goes_on_for_long_stays_listed(rig: Rig) -> None:
    """Its row is written once a week at most, and always outlives it."""
    asker = visitor(rig)
    key = chat(rig, asker).session_key
    ends = [listed(rig, key)[0]["expires_at"]]
    for _ in range(6):
        rig.clock.skip(3 * 86400)
        chat(rig, asker, session_key=key)
        session = rig.sessions.get(asker, key)
        ends.append(listed(rig, key)[0]["expires_at"])
        assert ends[-1] >= session.last_prompt_at + 30 * 86400 - 1
    assert len(set(ends)) == 3


def test_a_page_looks_at_so_many_rows_and_says_where_to_go_on() -> None:
    rows = [{"sk": f"{number:05}"} for number in range(3000)]

    def read(below: str) -> tuple[list[dict[str, Any]], str | None]:
        chunk = [row for row in reversed(rows) if row["sk"] < below][:100]
        return chunk, chunk[-1]["sk"] if chunk else None

    assert page(newest([read], "~"), 10, lambda row: row["sk"] == "00001") == ([], f"{3000 - LOOKED_AT:05}")
    found, following = page(newest([read], "00003"), 10, lambda row: row["sk"] == "00001")
    assert ([row["sk"] for row in found], following) == (["00001"], None)
