"""A chat in an experiment: which version it is told, what its record and its rating say, what comes out at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from noren.clock import day_of
from noren.errors import Busy, NorenError
from noren.llm.models import Message, ProviderFault
from noren.sites.canned_models import Pattern
from noren.sites.prompt_models import Arm, Experiment
from noren.usage.models import UsageRecord
from noren.usage.reports import UsageReports, Wanted
from noren.usage.store import UsageStore
from noren.usage.summaries import UsageSummaries
from noren.usage.summary_store import SummaryStore
from tests.faults import Faulty
from tests.unit.chat.rig import Container, Rig
from tests.unit.usage.world import dirty, expected_arms, plain_arm

FACTS = {"A": "The bath opens at nine.", "B": "The bath opens at ten."}


@pytest.fixture
def experiment(rig: Rig) -> Experiment:
    """Two versions, half and half."""
    profile_id = rig.tell(facts=FACTS["A"]).profile_id
    rig.tell(facts=FACTS["B"])
    arms = (Arm("A", 2, 1), Arm("B", 3, 1))
    made = rig.sites.experiments.create(rig.tenant.tenant_id, profile_id, "Hours", arms, "user:1")
    return rig.sites.experiments.start(rig.tenant.tenant_id, made.experiment_id, "user:1")


def told(rig: Rig) -> str:
    """The arm whose facts the last prompt held."""
    system = rig.script.prompts[-1].messages[0].content
    (arm,) = [arm for arm, facts in FACTS.items() if facts in system]
    return arm


def talk(rig: Rig, turns: int = 1, **ask: Any) -> list[UsageRecord]:
    """A conversation; its records."""
    key = ""
    for _ in range(turns):
        answer, _ = rig.chats.reply(rig.member(), rig.ask(session_key=key, **ask), rig.run())
        key = answer.session_key
    return rig.records()[-turns:]


def test_a_session_stays_in_its_arm_and_its_records_say_which(rig: Rig, experiment: Experiment) -> None:
    arms: list[str] = []
    while set(arms) != {"A", "B"} and len(arms) < 40:
        first, *later = talk(rig, 2)
        assert (first.prompt_profile, first.experiment_id) == (experiment.profile_id, experiment.experiment_id)
        assert first.prompt_version == {"A": 2, "B": 3}[first.prompt_arm]
        assert (told(rig), [each.prompt_arm for each in later]) == (first.prompt_arm, [first.prompt_arm])
        assert [first.is_new_session, *(each.is_new_session for each in later)] == [True, False]
        arms.append(first.prompt_arm)
    assert set(arms) == {"A", "B"}


def test_without_a_session_the_request_decides(rig: Rig, experiment: Experiment) -> None:
    history = (Message("user", "Hi"), Message("assistant", "Hello"))
    (record,) = talk(rig, history=history, source="openai")
    content = rig.sites.prompts.in_force(rig.tenant.tenant_id, experiment.profile_id).for_session(record.request_id)
    assert (record.prompt_arm, record.session_key, record.is_new_session) == (content.arm, "", False)
    assert told(rig) == record.prompt_arm


def test_a_canned_answer_is_no_arms(rig: Rig, experiment: Experiment) -> None:
    pattern = Pattern("normalized", rig.ask().message)
    site_id = rig.sites.default_id(rig.tenant)
    rig.canned.create(rig.tenant.tenant_id, site_id, [pattern], "At nine.", "user:1")
    (record,) = talk(rig)
    assert (record.status, record.experiment_id, record.prompt_arm) == ("canned", "", "")
    rig.feedback.rate(rig.member(), record.request_id, 1, "")
    assert ratings(rig, experiment) == {}


def test_no_experiment_leaves_no_arm(rig: Rig) -> None:
    (record,) = talk(rig)
    assert (record.experiment_id, record.prompt_arm, record.prompt_version) == ("", "", 1)


def test_a_rollback_reaches_the_chats_of_another_process_within_30_seconds(rig: Rig) -> None:
    rig.tell(facts=FACTS["A"])
    rig.tell(facts=FACTS["B"])
    other = Container(rig.client, rig)

    def ask(process: Container) -> None:
        process.chats.reply(rig.member(), rig.ask(), rig.run())

    ask(other)
    assert told(rig) == "B"
    profile_id = rig.sites.create_default(rig.tenant).prompt_profile
    rig.sites.prompts.rollback(rig.tenant.tenant_id, profile_id, None, "", "user:1")
    ask(rig)
    assert told(rig) == "A"
    rig.clock.skip(30)
    ask(other)
    assert told(rig) == "A"
    assert rig.records()[-1].prompt_version == 2


def test_a_running_experiment_costs_a_warm_chat_no_storage_call(rig: Rig, experiment: Experiment) -> None:
    client = Faulty(rig.client)
    process = Container(client, rig)

    def calls() -> list[str]:
        client.calls.clear()
        process.chats.reply(rig.member(), rig.ask(), rig.run())
        return list(client.calls)

    calls()
    during = calls()
    rig.sites.experiments.stop(rig.tenant.tenant_id, experiment.experiment_id, "user:1")
    rig.clock.skip(60)
    calls()
    assert len(calls()) == len(during)


def ratings(rig: Rig, experiment: Experiment) -> dict[str, dict[int, int]]:
    found = rig.sites.experiments.ratings(experiment)
    return {arm: {rating: count for rating, count in each.items() if count} for arm, each in found.items()}


def test_a_rating_counts_once_and_moves_when_it_is_changed(rig: Rig, experiment: Experiment) -> None:
    (record,) = talk(rig)
    for rating, comment in ((2, "meh"), (2, "still meh"), (5, "")):
        feedback = rig.feedback.rate(rig.member(), record.request_id, rating, comment)
        assert (feedback.rating, feedback.comment) == (rating, comment)
        assert ratings(rig, experiment) == {record.prompt_arm: {rating: 1}}
    assert feedback.updated_at > feedback.created_at


def test_racing_changes_of_one_rating_leave_one(rig: Rig, experiment: Experiment) -> None:
    (record,) = talk(rig)

    def rate(rating: int) -> None:
        with suppress(Busy):
            rig.feedback.rate(rig.member(), record.request_id, rating % 5 + 1, "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rate, range(24)))
    (found,) = ratings(rig, experiment).values()
    assert sum(found.values()) == 1
    row = rig.client.query(
        TableName="sites",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"FB#{rig.tenant.tenant_id}#{record.site_id}"}},
    )["Items"][0]
    assert set(found) == {int(row["rating"]["N"])}
    assert (row["experiment_id"]["S"], row["prompt_arm"]["S"]) == (experiment.experiment_id, record.prompt_arm)


def test_the_sums_of_a_report_are_those_of_the_records(rig: Rig, experiment: Experiment) -> None:
    for number in range(6):
        rig.script.fault = ProviderFault("server", "scripted") if number == 2 else None
        rig.script.fails_at = 2 if number == 2 else None
        try:
            talk(rig, 2)
        except NorenError:
            rig.script.fault = None
    records = rig.records()
    assert {each.status for each in records} == {"ok", "partial"}
    store = SummaryStore(rig.client, "usage")
    summaries = UsageSummaries(store, UsageStore(rig.client, "usage"), lambda _: "Asia/Tokyo")
    for _ in range(2):  # a stream repeats itself
        summaries.refresh(rig.tenant.tenant_id, dirty(records))
    first, last = (day_of(rig.clock() + shift, "Asia/Tokyo") for shift in (-86400, 86400))
    wanted = Wanted(rig.tenant.tenant_id, "Asia/Tokyo", "month", first, last)
    found = UsageReports(store).arms(wanted, experiment.experiment_id)
    assert {arm: plain_arm(tally) for arm, tally in found.items()} == expected_arms(records, experiment.experiment_id)


def test_summaries_are_told_what_their_profile_says(rig: Rig) -> None:
    made = rig.sites.prompts.create(
        rig.tenant.tenant_id, "Notes", "summary", {"system_prompt": "Write in verse.", "max_tokens": 50}, "", "user:1"
    )
    talk(rig, 9)
    ((_, owner, key, trace),) = rig.queue.put_messages[-1:]
    assert rig.summaries.renew(rig.tenant.tenant_id, owner, key, trace)
    prompt, record = rig.script.prompts[-1], rig.records()[-1]
    assert prompt.messages[0].content.startswith("Write in verse.\n\nYou keep notes of a conversation")
    assert (prompt.max_tokens, prompt.temperature) == (50, 0.7)
    assert (record.source, record.prompt_profile, record.prompt_version) == ("summary", made.profile_id, 1)
