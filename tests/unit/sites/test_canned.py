"""Canned responses: the vectors that server and widget share, hostile patterns, limits, editing."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.errors import BadRequest, Conflict, NotFound
from noren.ids import TenantId, new_id
from noren.sites.canned import CannedResponses
from noren.sites.canned_match import ALIKE, Matcher, check_patterns
from noren.sites.canned_models import (
    LONGEST_QUESTION,
    MOST_REGEXES,
    MOST_RESPONSES,
    MOST_SUGGESTIONS,
    CannedResponse,
    Pattern,
)
from noren.sites.canned_store import CannedStore
from noren.sites.models import Site
from noren.sites.phrases import grams, normalized, numbers
from tests.faults import emulator_client, make_table

ROOT = Path(__file__).resolve().parents[3]
VECTORS = json.loads((ROOT / "web" / "widget" / "canned-vectors.json").read_text())
TENANT, OTHER = TenantId(f"ten_{1:032x}"), TenantId(f"ten_{2:032x}")
SITE = f"site_{1:032x}"

TYPED = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(
            "0123456789,.:/-~〜−ー・ 　\t?!？！%+#|abzABΣςßİé\u0301アカハ゛゙ﾊﾟ한\u1112\u1161\u11ab\u200b\ufe0f²½①㍘"
        ),
    ),
    max_size=20,
)


def response(number: int = 1, /, *patterns: tuple[str, str], **fields: Any) -> CannedResponse:
    """One that has no storage behind it."""
    made = tuple(Pattern(kind, text) for kind, text in patterns)  # type: ignore[arg-type]
    return CannedResponse(f"can_{number:032x}", TENANT, SITE, made, "Because.", 0.0, **fields)


def of(row: dict[str, Any], number: int) -> CannedResponse:
    patterns = [(each["kind"], each["text"]) for each in row["patterns"]]
    return response(number, *patterns, questions=tuple(row.get("questions", ())))


@pytest.mark.parametrize(("typed", "phrase"), VECTORS["normalise"])
def test_normalisation_is_as_the_vectors_say(typed: str, phrase: str) -> None:
    assert normalized(typed) == phrase


def kind_of(matcher: Matcher, question: str) -> str:
    found = matcher.match(question)
    return found.kind or ("near" if found.suggestions else "none")


@pytest.mark.parametrize("case", [each for each in VECTORS["cases"] if each.get("only") != "widget"], ids=str)
def test_matching_is_as_the_vectors_say(case: dict[str, Any]) -> None:
    assert kind_of(Matcher([of(case, 1)]), case["question"]) == case["match"]


@pytest.mark.parametrize("group", VECTORS["sets"], ids=lambda group: str(group["about"]))
def test_the_best_of_many_is_as_the_vectors_say(group: dict[str, Any]) -> None:
    names = {f"can_{number:032x}": row["canned_id"] for number, row in enumerate(group["responses"], 1)}
    matcher = Matcher([of(row, number) for number, row in enumerate(group["responses"], 1)][::-1])
    for case in group["cases"]:
        found = matcher.match(case["question"])
        answers = (found.response,) if found.response else found.suggestions
        assert [names[each.canned_id] for each in answers] == case["canned_ids"]
        assert kind_of(matcher, case["question"]) == case["match"]


def test_the_vectors_name_the_figures_in_force() -> None:
    figures = (VECTORS["threshold"], VECTORS["max_suggestions"], VECTORS["max_question_units"])
    assert figures == (ALIKE, MOST_SUGGESTIONS, LONGEST_QUESTION)


@given(TYPED)
def test_normalising_twice_changes_nothing(typed: str) -> None:
    phrase = normalized(typed)
    assert normalized(phrase) == phrase


@given(TYPED)
def test_case_width_and_kana_make_no_difference(typed: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isascii() and char.isalnum() else char for char in typed)
    assert normalized(wide) == normalized(typed)
    kana = "".join(chr(ord(char) + 0x60) if "ぁ" <= char <= "ん" else char for char in typed)
    assert normalized(kana) == normalized(typed)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["{}円ですか", "room {} please", "방 {} 있나요"]))
def test_numbers_that_differ_never_match(one: int, other: int, frame: str) -> None:
    matcher = Matcher([response(1, ("normalized", frame.format(one)), ("exact", frame.format(one)))])
    expected = "exact" if one == other else "none"
    assert kind_of(matcher, frame.format(other)) == expected


@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=4), st.sampled_from([".", ":", "-", "/", " ", "〜", "・", ", "])
)
def test_what_stands_between_digits_counts(parts: list[int], sign: str) -> None:
    apart, together = sign.join(map(str, parts)), "".join(map(str, parts))
    assert normalized(apart) != normalized(together)


@given(TYPED, TYPED)
def test_likeness_is_the_same_from_both_sides(one: str, other: str) -> None:
    def suggests(pattern: str, question: str) -> bool:
        return bool(Matcher([response(1, ("exact", pattern))])._alike(normalized(question)))

    assert suggests(one, other) == suggests(other, one)


def test_repeated_pairs_count_as_often_as_both_have_them() -> None:
    assert len(set(grams("ababab"))) == 5
    assert grams("ab") == []
    assert numbers(normalized("-5度と3.5と三")) == ["~5", "3", ".5", "三"]


def test_a_disabled_response_says_nothing() -> None:
    pattern = ("normalized", "営業時間は")
    assert kind_of(Matcher([response(1, pattern, enabled=False)]), "営業時間は") == "none"
    found = Matcher([response(1, pattern, enabled=False), response(2, pattern)]).match("営業時間は？")
    assert found.response
    assert found.response.canned_id == f"can_{2:032x}"


def test_a_very_long_question_is_never_matched() -> None:
    matcher = Matcher([response(1, ("regex", "^a+$"))])
    assert kind_of(matcher, "a" * 1000) == "regex"
    assert kind_of(matcher, "a" * 1001) == "none"
    assert kind_of(Matcher([response(1, ("regex", "^.+$"))]), "😀" * 501) == "none"


HOSTILE = ("(a+)+$", "(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){12}$", "(x+x+)+y", "(?:a?){90}a{90}")


@pytest.mark.parametrize("text", HOSTILE)
def test_patterns_that_hang_a_backtracking_engine_finish(text: str) -> None:
    """Most of these take Python's own `re` longer than the universe has; a hang is pytest's time-out."""
    matcher = Matcher([response(number, ("regex", text)) for number in range(MOST_REGEXES)])
    for question in ("a" * 999 + "!", "x" * 1000, "aA" * 500):
        matcher.match(question)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(a{20}){20}", "too large"),
        (r"\p{L}{30}", "too large"),
        ("a{1001}", "invalid repetition size"),
        ("(営業", "missing )"),
        (r"(a)\1", "invalid escape sequence"),
        ("a(?=b)", "invalid perl operator"),
        ("a*", "every question"),
        ("", "every question"),
    ],
)
def test_a_regular_expression_that_is_no_good_is_refused_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_patterns([Pattern("exact", "fine"), Pattern("regex", text)])
    (error,) = refused.value.extra["errors"]
    assert error["field"] == "patterns.1.text"
    assert said in error["message"]


def test_a_regular_expression_that_a_later_engine_refuses_hurts_no_other() -> None:
    matcher = Matcher([response(1, ("regex", "(")), response(2, ("regex", "^営業"))])
    found = matcher.match("営業日は")
    assert found.response
    assert found.response.canned_id == f"can_{2:032x}"


@pytest.mark.parametrize(("kind", "text"), [("normalized", "？！"), ("exact", "  "), ("normalized", "")])
def test_a_pattern_of_which_nothing_is_left_is_refused(kind: Any, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_patterns([Pattern(kind, text)])
    assert refused.value.extra["errors"][0]["field"] == "patterns.0.text"


# On storage


class Ticks:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A site's responses on the embedded cloud, in two containers."""

    def __init__(self, client: Any) -> None:
        self.clock = Ticks()
        self.store = CannedStore(client, "sites")
        self.here, self.there = (CannedResponses(self.store, self.clock) for _ in range(2))
        self.site = Site(f"site_{new_id('x').partition('_')[2]}", TENANT, "Shop", "prof", 0.0)

    def make(self, text: str = "営業時間は", kind: str = "normalized", **fields: Any) -> CannedResponse:
        pattern = Pattern(kind, text)  # type: ignore[arg-type]
        return self.here.create(TENANT, self.site.site_id, [pattern], "9時です。", "user:1", **fields)

    def get(self, made: CannedResponse) -> CannedResponse:
        return self.here.get(TENANT, self.site.site_id, made.canned_id)


@pytest.fixture
def desk(aws: str) -> Desk:
    client = emulator_client()
    make_table(client, "sites")
    return Desk(client)


def test_a_response_lives_from_creation_to_restoration(desk: Desk) -> None:
    made = desk.make(questions=["いつ開きますか？"])
    assert desk.get(made) == made
    assert (made.created_by, made.enabled, made.version, made.questions) == ("user:1", True, 1, ("いつ開きますか？",))

    desk.clock.now += 5
    changed = desk.here.change(TENANT, made.site_id, made.canned_id, {"answer": "10時です。"}, "user:2")
    assert (changed.answer, changed.version, changed.updated_by, changed.updated_at) == (
        "10時です。",
        2,
        "user:2",
        desk.clock.now,
    )
    assert desk.get(made) == changed
    assert desk.here.change(TENANT, made.site_id, made.canned_id, {"answer": "10時です。"}, "user:3") == changed
    with pytest.raises(Conflict):
        desk.here.change(TENANT, made.site_id, made.canned_id, {"enabled": False}, "user:2", version=1)

    desk.here.delete(TENANT, made.site_id, made.canned_id, "user:2")
    with pytest.raises(NotFound):
        desk.get(made)
    with pytest.raises(NotFound):
        desk.here.delete(TENANT, made.site_id, made.canned_id, "user:2")
    assert desk.here.page(TENANT, made.site_id, 10, None) == ([], None)
    ((gone,), _) = desk.here.page(TENANT, made.site_id, 10, None, deleted=True)
    assert (gone.deleted_by, gone.deleted_at) == ("user:2", desk.clock.now)

    back = desk.here.restore(TENANT, made.site_id, made.canned_id, "user:3")
    assert (back.answer, back.deleted_at, back.deleted_by, back.version) == ("10時です。", None, "", 4)
    assert desk.get(made) == back
    with pytest.raises(Conflict, match="not deleted"):
        desk.here.restore(TENANT, made.site_id, made.canned_id, "user:3")


def test_after_thirty_days_a_deleted_one_is_gone(desk: Desk) -> None:
    made = desk.make()
    desk.here.delete(TENANT, made.site_id, made.canned_id, "user:1")
    desk.clock.now += 30 * 86400
    with pytest.raises(NotFound):
        desk.here.restore(TENANT, made.site_id, made.canned_id, "user:1")


def test_what_another_tenant_or_site_has_is_missing(desk: Desk) -> None:
    made = desk.make()
    for ids in ((OTHER, made.site_id, made.canned_id), (TENANT, SITE, made.canned_id)):
        calls: list[Callable[[], object]] = [
            partial(desk.here.get, *ids),
            partial(desk.here.change, *ids, {"enabled": False}, "user:9"),
            partial(desk.here.delete, *ids, "user:9"),
            partial(desk.here.restore, *ids, "user:9"),
            partial(desk.here.hit, *ids),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()
    for odd in ("", "COUNT", "can_x", f"can_{'0' * 31}"):
        with pytest.raises(NotFound):
            desk.here.hit(TENANT, made.site_id, odd)


def test_hits_are_counted_and_survive_edits(desk: Desk) -> None:
    made = desk.make()
    for _ in range(3):
        desk.there.hit(TENANT, made.site_id, made.canned_id)
    desk.here.change(TENANT, made.site_id, made.canned_id, {"enabled": False}, "user:1")
    read = desk.get(made)
    desk.there.hit(TENANT, made.site_id, made.canned_id)
    desk.store.change(read, replace(read, answer="10時です。", version=3))  # it knows of one hit less
    assert desk.get(made).hit_count == 4
    desk.here.delete(TENANT, made.site_id, made.canned_id, "user:1")
    assert desk.here.restore(TENANT, made.site_id, made.canned_id, "user:1").hit_count == 4


def test_pages_go_from_the_newest_to_the_oldest(desk: Desk) -> None:
    made = []
    for number in range(5):
        desk.clock.now += 1
        made.append(desk.make(f"質問{number}").canned_id)
    seen, before = [], None
    while True:
        rows, before = desk.here.page(TENANT, desk.site.site_id, 2, before)
        seen += [each.canned_id for each in rows]
        if before is None:
            break
    assert seen == made[::-1]


def test_a_set_is_remembered_for_thirty_seconds_also_an_empty_one(desk: Desk) -> None:
    assert not desk.there.is_known(desk.site)
    assert desk.there.match(desk.site, "営業時間は？").response is None
    assert desk.there.is_known(desk.site)
    made = desk.make()
    assert desk.there.match(desk.site, "営業時間は？").response is None
    desk.clock.now += 30
    assert not desk.there.is_known(desk.site)
    found = desk.there.match(desk.site, "営業時間は？")
    assert (found.response, found.kind) == (made, "normalized")
    assert desk.here.match(desk.site, "営業時間は？").response == made
    desk.here.delete(TENANT, made.site_id, made.canned_id, "user:1")
    assert desk.here.match(desk.site, "営業時間は？").response is None  # its own container at once


def test_a_site_holds_two_hundred_responses_whoever_saves_at_once(desk: Desk) -> None:
    for number in range(MOST_RESPONSES - 3):
        desk.make(f"質問{number}")

    def one_more(number: int) -> bool:
        try:
            desk.make(f"さらに{number}")
        except Conflict as refused:
            return refused.code != "too_many"
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one_more, range(6))) == 3
    rows = list(desk.store.all(TENANT, desk.site.site_id))
    assert len(rows) == MOST_RESPONSES
    desk.here.delete(TENANT, desk.site.site_id, rows[0].canned_id, "user:1")
    desk.make("空いた席")
    with pytest.raises(Conflict, match="at most 200"):
        desk.here.restore(TENANT, desk.site.site_id, rows[0].canned_id, "user:1")


def test_a_site_holds_fifty_regular_expressions(desk: Desk) -> None:
    site_id = desk.site.site_id
    ten = [Pattern("regex", f"^q{number}$") for number in range(10)]
    for _ in range(5):
        last = desk.here.create(TENANT, site_id, ten, "A.", "user:1")
    plain = desk.make()
    with pytest.raises(Conflict, match="50 regular expressions"):
        desk.here.change(TENANT, site_id, plain.canned_id, {"patterns": tuple(ten[:1])}, "user:1")
    desk.here.change(TENANT, site_id, last.canned_id, {"patterns": tuple(ten[:9])}, "user:1")
    desk.here.change(TENANT, site_id, plain.canned_id, {"patterns": tuple(ten[:1])}, "user:1")
    with pytest.raises(Conflict):
        desk.make("^x$", "regex")
