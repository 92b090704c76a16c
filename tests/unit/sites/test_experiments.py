"""Experiments: a fair and sticky split, nothing that changes under way, and an end that publishes."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from dataclasses import replace
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId, new_id, uuid7_hex
from noren.sites.experiments import MOST_AT_ONCE
from noren.sites.prompt_models import Arm, Experiment, Profile, assigned
from tests.unit.sites.prompt_memory import TENANT, World

SESSIONS = 10_000
ARMS = (Arm("A", 1, 70), Arm("B", 2, 30))


@pytest.fixture
def world() -> World:
    return World()


def two_versions(world: World) -> Profile:
    profile = world.create(facts="one")
    world.save(profile, facts="two")
    return profile


def planned(world: World, profile: Profile | None = None) -> Experiment:
    profile = profile or two_versions(world)
    return world.experiments.create(TENANT, profile.profile_id, "Tone", ARMS, "user:1")


def running(world: World) -> Experiment:
    return world.experiments.start(TENANT, planned(world).experiment_id, "user:1")


def session_keys(number: int) -> list[str]:
    """As chats make them, all within a few minutes."""
    return [str(uuid.UUID(uuid7_hex(1_800_000_000 + index / 50))) for index in range(number)]


@pytest.mark.parametrize("keys", [session_keys(SESSIONS), [new_id("req", 1.8e9) for _ in range(SESSIONS)]])
def test_seventy_to_thirty_over_10000_sessions(keys: list[str]) -> None:
    experiment_id = "exp_" + "0" * 31 + "7"  # fixed; of keys the random part is new in each run
    shares = Counter(assigned(experiment_id, key, ARMS).arm for key in keys)
    # Wrong in one run of a million, if the split is 70/30 in truth.
    bound = NormalDist().inv_cdf(1 - 0.5e-6) * math.sqrt(SESSIONS * 0.7 * 0.3)
    assert abs(shares["A"] - 0.7 * SESSIONS) < bound < 250
    assert [assigned(experiment_id, key, ARMS) for key in keys] == [assigned(experiment_id, key, ARMS) for key in keys]


def test_five_arms_get_their_shares() -> None:
    arms = [Arm(name, 1, weight) for name, weight in zip("ABCDE", (1, 2, 3, 4, 10), strict=True)]
    found = Counter(assigned("exp_x", key, arms).arm for key in session_keys(SESSIONS))
    expected = {arm.arm: SESSIONS * arm.weight / 20 for arm in arms}
    chi_square = sum((found[name] - share) ** 2 / share for name, share in expected.items())
    assert chi_square < 33.4  # the 0.999999 quantile for 4 degrees of freedom


def test_another_experiment_mixes_sessions_anew() -> None:
    keys = session_keys(SESSIONS)
    both = sum(assigned("exp_1", key, ARMS).arm == assigned("exp_2", key, ARMS).arm == "A" for key in keys)
    assert abs(both - 0.49 * SESSIONS) < 5 * math.sqrt(SESSIONS * 0.49 * 0.51)


@given(st.text(), st.text(), st.lists(st.integers(1, 1000), min_size=2, max_size=5))
def test_every_session_has_an_arm(experiment_id: str, key: str, weights: list[int]) -> None:
    arms = [Arm(str(number), 1, weight) for number, weight in enumerate(weights)]
    assert assigned(experiment_id, key, arms) in arms


def test_no_session_is_sent_to_an_arm_beside_its_weight() -> None:
    """The arms' borders lie where the weights say, at the ends of what is hashed too."""
    heavy = [Arm("A", 1, 1), Arm("B", 1, 1000)]
    found = Counter(assigned("exp_1", key, heavy).arm for key in session_keys(SESSIONS))
    assert 0 < found["A"] < 40


def test_all_processes_send_a_session_to_the_same_arm(world: World) -> None:
    experiment = running(world)
    processes = [world.prompts, world.process(), world.process()]
    told = set()
    for key in session_keys(200):
        seen = {process.in_force(TENANT, experiment.profile_id).for_session(key) for process in processes}
        assert len(seen) == 1
        told |= seen
    found = {(each.arm, each.version, each.content.facts, each.experiment_id) for each in told}
    assert found == {("A", 1, "one", experiment.experiment_id), ("B", 2, "two", experiment.experiment_id)}


def test_a_start_and_a_stop_are_seen_everywhere_within_30_seconds(world: World) -> None:
    experiment, elsewhere = planned(world), world.process()

    def told() -> set[str]:
        return {elsewhere.in_force(TENANT, experiment.profile_id).for_session(each).arm for each in "abcdefgh"}

    assert told() == {""}
    world.experiments.start(TENANT, experiment.experiment_id, "user:1")
    world.clock.now += 30
    assert told() == {"A", "B"}
    world.experiments.stop(TENANT, experiment.experiment_id, "user:1")
    world.clock.now += 30
    assert told() == {""}


def test_while_it_runs_nothing_else_is_published(world: World) -> None:
    experiment = running(world)
    for attempt in (
        lambda: world.prompts.publish(TENANT, experiment.profile_id, 2, "", "user:1"),
        lambda: world.prompts.rollback(TENANT, experiment.profile_id, 1, "", "user:1"),
        lambda: world.prompts.delete(TENANT, experiment.profile_id, "user:1"),
        lambda: world.prompts.save(TENANT, experiment.profile_id, 2, {}, "", "user:1", publish=True),
    ):
        with pytest.raises((Conflict, Unprocessable)) as caught:
            attempt()
        assert caught.value.extra.get("experiment_id", experiment.experiment_id) == experiment.experiment_id
    draft = world.prompts.save(TENANT, experiment.profile_id, 2, {"facts": "three"}, "", "user:1")
    assert draft.version == 3


def test_one_runs_at_a_time_on_a_profile(world: World) -> None:
    profile = two_versions(world)
    first, second = planned(world, profile), planned(world, profile)
    world.experiments.start(TENANT, first.experiment_id, "user:1")
    with pytest.raises(Conflict, match="stop it first"):
        world.experiments.start(TENANT, second.experiment_id, "user:1")
    world.experiments.stop(TENANT, first.experiment_id, "user:1")
    world.experiments.start(TENANT, second.experiment_id, "user:1")
    with pytest.raises(Conflict):  # another one runs: its arms are not to be pushed aside
        world.experiments.promote(TENANT, first.experiment_id, "B", "user:1")


def test_the_winner_is_published_and_the_experiment_ends(world: World) -> None:
    experiment = running(world)
    world.clock.now += 60
    promoted = world.experiments.promote(TENANT, experiment.experiment_id, "B", "user:2")
    assert (promoted.status, promoted.promoted_arm, promoted.ended_at) == ("promoted", "B", world.clock.now)
    profile = world.prompts.get(TENANT, experiment.profile_id)
    assert (profile.published, profile.content.facts, profile.experiment_id) == (2, "two", "")
    assert world.prompts.in_force(TENANT, profile.profile_id).for_session("x").version == 2
    assert world.prompts.rollback(TENANT, profile.profile_id, None, "", "user:1").published == 1
    for attempt in (world.experiments.start, world.experiments.stop):
        with pytest.raises(Conflict):
            attempt(TENANT, experiment.experiment_id, "user:1")


def test_one_that_was_stopped_can_still_be_promoted(world: World) -> None:
    experiment = running(world)
    stopped = world.experiments.stop(TENANT, experiment.experiment_id, "user:1")
    world.clock.now += 60
    promoted = world.experiments.promote(TENANT, experiment.experiment_id, "B", "user:1")
    assert promoted.ended_at == stopped.ended_at
    assert world.prompts.get(TENANT, experiment.profile_id).published == 2


def test_arms_have_to_fit(world: World) -> None:
    profile = two_versions(world)
    for arms in (ARMS[:1], (ARMS[0], ARMS[0]), (ARMS[0], Arm("B", 3, 1)), tuple(Arm(each, 1, 1) for each in "ABCDEF")):
        with pytest.raises(Unprocessable):
            world.experiments.create(TENANT, profile.profile_id, "Tone", arms, "user:1")
    with pytest.raises(NotFound):
        world.experiments.create(TenantId("ten_" + "2" * 32), profile.profile_id, "Tone", ARMS, "user:9")
    experiment = running(world)
    with pytest.raises(Unprocessable):
        world.experiments.promote(TENANT, experiment.experiment_id, "C", "user:1")


def test_of_two_who_end_it_at_once_one_is_told(world: World) -> None:
    experiment = running(world)
    late = replace(experiment, status="stopped", revision=experiment.revision + 1)
    world.experiments.promote(TENANT, experiment.experiment_id, "B", "user:1")
    assert not world.store.write(late)
    assert world.prompts.get(TENANT, experiment.profile_id).published == 2


def test_so_many_are_started_within_a_month(world: World) -> None:
    for _ in range(MOST_AT_ONCE):
        world.experiments.stop(TENANT, running(world).experiment_id, "user:1")
        world.clock.now += 1
    with pytest.raises(Unprocessable, match="within 31 days"):
        running(world)
    world.clock.now += 31 * 86400
    running(world)


def test_another_tenants_experiment_is_a_missing_one(world: World) -> None:
    experiment = running(world)
    other = TenantId("ten_" + "2" * 32)
    for experiment_id in (experiment.experiment_id, "exp_" + "0" * 32, "EXPERIMENT#x"):
        with pytest.raises(NotFound, match="There is no such experiment"):
            world.experiments.get(other, experiment_id)
        with pytest.raises(NotFound, match="There is no such experiment"):
            world.experiments.promote(other, experiment_id, "B", "user:9")
