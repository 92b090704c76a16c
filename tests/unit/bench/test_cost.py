"""What docs/cost.md says of a chat's storage is what a chat does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from bench import bill, cost
from bench.cost import Operation
from local import emulator

Counts = tuple[dict[str, list[Operation]], cost.ByHolds]


@pytest.fixture(scope="module")
def counts(ministack: str) -> Iterator[Counts]:
    """Counted once, in an account of its own."""
    with pytest.MonkeyPatch.context() as patch, cost.upstream() as url:
        patch.setattr("boto3.DEFAULT_SESSION", None)
        for name, value in emulator.aws_env(ministack, access_key=f"4{os.getpid():011d}").items():
            patch.setenv(name, value)
        yield cost.count(url)


def test_the_document_states_what_is_counted(counts: Counts) -> None:
    stated = cost.DOCUMENT.read_text().partition(cost.BEGIN)[2].partition(cost.END)[0]
    expected = cost.counted_part(*counts)
    assert expected in stated, f"python -m bench.cost --write renews docs/cost.md; counted now:\n{expected}"
    done = counts[0]["a chat in a session"]
    assert bill.section(sum(each.reads for each in done), cost.writes(done)) in stated


def test_the_quota_path_is_three_writes_and_a_bounded_number_of_units(counts: Counts) -> None:
    scenarios = counts[0]
    for name in ("a chat in a session", "the first chat of a session", "one in OpenAI's format (no session)"):
        quota_path = [each.name for each in scenarios[name] if each.table in cost.QUOTA_PATH]
        assert quota_path == ["UpdateItem", "PutItem", "UpdateItem"], name


def test_a_chat_within_quota_takes_at_most_five_units_with_up_to_35_holds_open(counts: Counts) -> None:
    within, on_credits = counts[1][cost.WITHIN_QUOTA], counts[1][cost.ON_CREDITS]
    assert set(within) == set(on_credits) >= {1, 35, 40, 100, 200}
    assert max(cost.writes(done, True) for holds, done in within.items() if holds <= 35) <= 5
    for done in within.values():
        assert [each.writes for each in done if each.table == "usage"] == [1]
    for done in on_credits.values():  # its first reserve, of a chat of the plan, is refused and billed all the same
        assert [each.name for each in done if each.table in cost.QUOTA_PATH] == ["UpdateItem"] * 2 + [
            "PutItem",
            "UpdateItem",
        ]


def test_a_chat_makes_at_most_three_round_trips_before_the_first_token(counts: Counts) -> None:
    made = {name: cost.trips(done) for name, done in counts[0].items()}
    anonymous = made.pop("an anonymous visitor's")  # its lease and its two counters come one after another
    assert max(made.values()) <= 3, made
    assert made["a chat in a session"] == 2
    assert made["one in a session, on credits"] == 3  # the plan's chats are refused first
    assert made["a site's visitor's, in a session"] == 2  # what visitors are limited by is asked with the rest
    assert anonymous <= 5


def test_a_visitors_limits_take_three_writes_more(counts: Counts) -> None:
    members, visitors = (counts[0][name] for name in ("a chat in a session", "a site's visitor's, in a session"))
    more = Counter((each.name, each.when) for each in visitors) - Counter((each.name, each.when) for each in members)
    # its window, its place among its device's, and the end of that
    assert more == {("UpdateItem", "before"): 2, ("DeleteItem", "after"): 1}
    assert cost.writes(visitors) - cost.writes(members) == 3


def test_calls_that_overlap_are_one_trip() -> None:
    def call(name: str, when: str = "before") -> Operation:
        return Operation("t", name, 0, 0, when)

    spans = [
        (0.0, 2.0, call("a")),
        (1.0, 5.0, call("b")),
        (2.5, 3.0, call("c")),
        (5.0, 6.0, call("d")),
        (6.5, 7.0, call("e", "after")),
    ]
    done = cost.in_trips(spans[::-1])
    assert [(each.name, each.trip) for each in done] == [("a", 1), ("b", 1), ("c", 2), ("d", 3), ("e", 4)]
    assert cost.trips(done) == 3


def test_an_item_is_reckoned_as_dynamodb_does() -> None:
    item = {"pk": {"S": "鍵"}, "n": {"N": "12345"}, "m": {"M": {"a": {"BOOL": True}}}, "l": {"L": [{"NULL": True}]}}
    assert cost.item_size(item) == (2 + 3) + (1 + 4) + (1 + 3 + 1 + 1 + 1) + (1 + 3 + 1 + 1)


def test_the_bill_grows_with_chats_and_prod_costs_more_at_rest() -> None:
    for stage in ("dev", "prod"):
        totals = [sum(bill.monthly(chats, stage, 2, 8).values()) for chats in bill.VOLUMES]
        assert totals == sorted(totals)
    assert sum(bill.monthly(0, "prod", 2, 8).values()) > sum(bill.monthly(0, "dev", 2, 8).values()) > 0
    assert bill.monthly(1_000_000, "dev", 2, 8)["DynamoDB, units"] == pytest.approx(8 * 0.715 + 2 * 0.1425)
