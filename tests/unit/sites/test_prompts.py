"""Prompt profiles: versions that never change, one in force, no save lost, nothing taken from under a site."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from noren import tables
from noren.errors import Conflict, NorenError, NotFound, Unprocessable
from noren.ids import TenantId, new_id
from noren.sites.prompt_models import Arm, Content, Experiment, Profile, Version
from noren.sites.prompt_store import PromptStore
from noren.sites.prompts import DEFAULT, MOST_PROFILES, Prompts, version_number
from tests.faults import make_table
from tests.unit.sites.prompt_memory import TENANT, Ticks, World

DAY = 86400


@pytest.fixture
def world() -> World:
    return World()


def facts(world: World, profile: Profile) -> str:
    return world.prompts.in_force(TENANT, profile.profile_id).published.content.facts


def test_a_save_is_a_draft_until_it_is_published(world: World) -> None:
    profile = world.create(facts="one")
    draft = world.save(profile, facts="two", temperature=0.25)
    assert (draft.version, facts(world, profile)) == (2, "one")
    assert draft.content.system_prompt == DEFAULT.system_prompt  # what is left out stays
    world.prompts.publish(TENANT, profile.profile_id, 2, "shorter", "user:2")
    now = world.prompts.get(TENANT, profile.profile_id)
    assert (facts(world, profile), now.published, now.latest, now.publish_note) == ("two", 2, 2, "shorter")
    assert world.save(profile, publish=True, facts="three").version == 3
    assert facts(world, profile) == "three"
    rows, following = world.prompts.versions(now, 2)
    assert ([each.version for each in rows], following) == ([2, 1], None)


def test_a_page_of_versions_says_where_to_go_on(world: World) -> None:
    profile = world.create()
    for number in range(4):
        world.save(profile, facts=str(number))
    now = world.prompts.get(TENANT, profile.profile_id)
    first, following = world.prompts.versions(now, 2)
    second, after = world.prompts.versions(now, 2, following)
    third, end = world.prompts.versions(now, 2, after)
    assert [each.version for each in (*first, *second, *third)] == [5, 4, 3, 2, 1]
    assert end is None


def test_of_two_who_save_on_one_version_the_second_has_to_load_it_again(world: World) -> None:
    profile = world.create()
    world.prompts.save(TENANT, profile.profile_id, 1, {"facts": "first"}, "", "user:1")
    with pytest.raises(Conflict, match="Load it again") as caught:
        world.prompts.save(TENANT, profile.profile_id, 1, {"facts": "second"}, "", "user:2")
    assert caught.value.extra["latest_version"] == 2
    found = world.prompts.version(TENANT, profile.profile_id, 2)
    assert (found.content.facts, found.updated_by) == ("first", "user:1")


def test_a_rollback_leads_back_step_by_step(world: World) -> None:
    profile = world.create(facts="1")
    for number in "234":
        world.save(profile, publish=True, facts=number)

    def back(number: int | None = None) -> Profile:
        return world.prompts.rollback(TENANT, profile.profile_id, number, "", "user:1")

    assert [back().published for _ in range(3)] == [3, 2, 1]
    with pytest.raises(Unprocessable, match="No other version"):
        back()
    world.prompts.publish(TENANT, profile.profile_id, 4, "", "user:1")
    assert back(2).published == 2  # any earlier one, also where it was not the one before
    with pytest.raises(Unprocessable, match="publish it instead"):
        back(4)
    with pytest.raises(Unprocessable):
        back(2)
    with pytest.raises(NotFound):
        back(9)
    assert back().published == 1  # 4 has been left for good


def test_what_was_in_force_before_is_earlier_whatever_its_number(world: World) -> None:
    profile = world.create(facts="1")
    world.save(profile, publish=True, facts="2")
    world.prompts.publish(TENANT, profile.profile_id, 1, "", "user:1")
    assert world.prompts.rollback(TENANT, profile.profile_id, 2, "", "user:1").published == 2


def test_a_rollback_is_seen_everywhere_within_30_seconds(world: World) -> None:
    profile = world.create(facts="good")
    world.save(profile, publish=True, facts="bad")
    elsewhere = world.process()

    def seen() -> str:
        return elsewhere.in_force(TENANT, profile.profile_id).published.content.facts

    assert seen() == "bad"
    world.clock.now += 5
    world.prompts.rollback(TENANT, profile.profile_id, None, "", "user:1")
    assert facts(world, profile) == "good"  # at once where it was done
    assert seen() == "bad"
    world.clock.now += 25  # 30 s after it was loaded
    assert seen() == "good"


def test_a_profile_is_read_once_in_30_seconds(world: World) -> None:
    profile = world.create()
    elsewhere = world.process()
    before = world.memory.reads
    for _ in range(50):
        world.clock.now += 0.5
        elsewhere.in_force(TENANT, profile.profile_id)
    assert world.memory.reads - before == 1


def test_a_profile_that_sites_answer_by_stays(world: World) -> None:
    profile, spare = world.create(), world.create("Spare")
    world.site(profile, "Aoi")
    world.site(profile, "Beni", deleted_at=world.clock() - 29 * DAY)
    world.site(spare, "Chiyo", deleted_at=world.clock() - 31 * DAY)
    with pytest.raises(Conflict, match=r"Aoi, Beni \(deleted\)") as caught:
        world.prompts.delete(TENANT, profile.profile_id, "user:1")
    assert (caught.value.code, len(caught.value.extra["site_ids"])) == ("in_use", 2)
    with pytest.raises(Conflict):
        world.prompts.change(TENANT, profile.profile_id, {"use_for": "voice"}, "user:1")
    world.prompts.delete(TENANT, spare.profile_id, "user:1")


def test_a_deleted_profile_comes_back_for_30_days(world: World) -> None:
    profile = world.create(facts="kept")
    world.prompts.delete(TENANT, profile.profile_id, "user:1")
    for attempt in (world.prompts.get, world.prompts.for_site):
        with pytest.raises(NotFound):
            attempt(TENANT, profile.profile_id)
    assert facts(world, profile) == "kept"  # a site that took it up at the same moment goes on
    world.clock.now += 30 * DAY - 1
    assert [each.deleted_by for each in world.prompts.listed(TENANT)] == ["user:1"]
    world.prompts.restore(TENANT, profile.profile_id, "user:2")
    with pytest.raises(Conflict):
        world.prompts.restore(TENANT, profile.profile_id, "user:2")
    world.prompts.delete(TENANT, profile.profile_id, "user:1")
    world.clock.now += 30 * DAY
    assert world.prompts.listed(TENANT) == []
    with pytest.raises(NotFound):
        world.prompts.restore(TENANT, profile.profile_id, "user:2")


def test_another_tenants_profile_is_a_missing_one(world: World) -> None:
    profile = world.create()
    other = TenantId("ten_" + "2" * 32)
    for profile_id in (profile.profile_id, "prof_" + "0" * 32, "PROFILE#x", ""):
        for attempt in (
            lambda each: world.prompts.get(other, each),
            lambda each: world.prompts.version(other, each, 1),
            lambda each: world.prompts.save(other, each, 1, {}, "", "user:9"),
            lambda each: world.prompts.publish(other, each, 1, "", "user:9"),
            lambda each: world.prompts.delete(other, each, "user:9"),
        ):
            with pytest.raises(NotFound, match="There is no such prompt profile"):
                attempt(profile_id)


def test_what_is_for_voice_answers_no_site(world: World) -> None:
    profile = world.prompts.create(TENANT, "Calls", "voice", {}, "", "user:1")
    assert profile.content == Content()  # our text for sites says nothing of calls
    with pytest.raises(Unprocessable):
        world.prompts.for_site(TENANT, profile.profile_id)


def test_of_several_profiles_for_a_use_the_last_published_is_taken(world: World) -> None:
    assert world.prompts.of_use(TENANT, "summary") is None
    world.clock.now += 30
    first, second = (world.prompts.create(TENANT, each, "summary", {}, "", "user:1") for each in "ab")
    world.clock.now += 1
    world.prompts.publish(TENANT, first.profile_id, 1, "", "user:1")
    assert taken(world.prompts) == first.profile_id
    world.prompts.delete(TENANT, first.profile_id, "user:1")
    world.clock.now += 30
    assert taken(world.prompts) == second.profile_id


def taken(prompts: Prompts) -> str:
    found = prompts.of_use(TENANT, "summary")
    return found.published.profile_id if found else ""


def test_there_is_room_for_so_many(world: World) -> None:
    for number in range(MOST_PROFILES):
        world.create(str(number))
    with pytest.raises(Unprocessable):
        world.create("one more")


@pytest.mark.parametrize("text", ["0", "01", "-1", "1.0", "x", "１", "9" * 12, ""])
def test_what_is_no_number_names_no_version(text: str) -> None:
    with pytest.raises(NotFound):
        version_number(text)


class Saves(RuleBasedStateMachine):
    """Several people save, publish and roll back, some of them on what they loaded long ago."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.profile_id = self.world.create().profile_id
        self.first_seen: dict[int, Version] = {}
        self.loaded: list[int] = [1]
        self.saved = 1

    @rule(who=st.integers(0, 3), stale=st.booleans(), publish=st.booleans(), text=st.text(max_size=3))
    def save(self, who: int, stale: bool, publish: bool, text: str) -> None:
        base = self.loaded[who % len(self.loaded)] if stale else self.saved
        try:
            made = self.world.prompts.save(
                TENANT, self.profile_id, base, {"facts": text}, "", f"user:{who}", publish=publish
            )
        except Conflict:
            assert base != self.saved
            return
        assert base == self.saved
        self.saved = made.version
        self.loaded.append(made.version)

    @rule(number=st.integers(1, 12))
    def publish(self, number: int) -> None:
        try:
            self.world.prompts.publish(TENANT, self.profile_id, number, "", "user:1")
        except NotFound:
            assert number > self.saved

    @rule(number=st.none() | st.integers(1, 12))
    def roll_back(self, number: int | None) -> None:
        before = self.world.prompts.get(TENANT, self.profile_id)
        try:
            after = self.world.prompts.rollback(TENANT, self.profile_id, number, "", "user:1")
        except NorenError:
            assert self.world.prompts.get(TENANT, self.profile_id) == before
            return
        assert after.published != before.published
        assert len(after.earlier) <= len(before.earlier)

    @invariant()
    def versions_are_whole_and_immutable(self) -> None:
        numbers = set()
        for row in self.world.memory.rows.values():
            if isinstance(row, Version):
                numbers.add(row.version)
                assert self.first_seen.setdefault(row.version, row) == row
        assert numbers == set(range(1, self.saved + 1))

    @invariant()
    def what_is_published_exists_and_is_what_chats_are_told(self) -> None:
        profile = self.world.prompts.get(TENANT, self.profile_id)
        told = self.world.process().in_force(TENANT, self.profile_id).published
        assert told.version == profile.published
        assert told.content == self.first_seen[profile.published].content
        assert set(profile.earlier) <= set(range(1, self.saved + 1))


TestSaves = Saves.TestCase
TestSaves.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


# On the embedded cloud


@pytest.fixture
def stored(aws: str) -> PromptStore:
    client = tables.dynamodb()
    make_table(client, "sites")
    return PromptStore(client, "sites")


def test_rows_come_back_as_they_were(stored: PromptStore) -> None:
    at = Ticks().now + 0.123456
    told = Content("指示", "守り", "ようこそ", "九時から\n", 0.1, 4000)
    arms = (Arm("A", 1, 7), Arm("B", 2, 3))
    publication = (at, "user:3", "短く", (2, 1), "exp_1", arms)
    profile = Profile(*("prof_" + "3" * 32, TENANT, "店", "chat", 1, 2), told, at, "user:1", at, "user:2", *publication)
    versions = [Version(TENANT, profile.profile_id, number, told, "", at, "user:1") for number in (1, 2)]
    experiment = Experiment("exp_" + "4" * 32, TENANT, profile.profile_id, "調子", arms, at, "user:1", at, "user:1")
    assert stored.write(profile, experiment, *versions)
    assert not stored.write(profile)
    assert stored.profile(TENANT, profile.profile_id) == profile
    assert stored.profiles(TENANT) == [replace(profile, content=Content())]
    assert stored.version(TENANT, profile.profile_id, 2) == versions[1]
    assert stored.version(TENANT, profile.profile_id, 3) is None
    assert [each.version for each in stored.versions(TENANT, profile.profile_id, 2, 1)] == [2]
    assert stored.experiment(TENANT, experiment.experiment_id) == experiment
    assert list(stored.experiments(TENANT)) == [experiment]
    assert stored.ratings(TENANT, experiment.experiment_id) == {}


def test_all_who_save_at_once_on_one_version_leave_one(stored: PromptStore) -> None:
    prompts = Prompts(stored, lambda _: [], Ticks())
    profile = prompts.create(TENANT, "Shop", "site", {}, "", "user:1")

    def save(number: int) -> Any:
        try:
            return prompts.save(TENANT, profile.profile_id, 1, {"facts": str(number)}, "", f"user:{number}").version
        except Conflict:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(save, range(8)))
    assert sorted(map(str, outcomes)) == ["2", *["refused"] * 7]
    winner = prompts.version(TENANT, profile.profile_id, 2)
    assert winner.content.facts == str(outcomes.index(2))
    assert prompts.get(TENANT, profile.profile_id).latest == 2


def test_the_longest_texts_are_stored(stored: PromptStore) -> None:
    prompts = Prompts(stored, lambda _: [], Ticks())
    longest = {"system_prompt": "😀" * 8000, "guardrail_prompt": "😀" * 2000, "facts": "😀" * 20_000}
    profile = prompts.create(TENANT, "Shop", "site", longest | {"greeting_message": "😀" * 500}, "", "user:1")
    tenant = TenantId(new_id("ten"))
    assert prompts.in_force(TENANT, profile.profile_id).published.content.facts == longest["facts"]
    assert prompts.listed(tenant) == []
