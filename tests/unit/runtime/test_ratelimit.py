"""Rate limits, exact counters, leases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from noren.errors import RateLimited
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from tests.faults import Faulty
from tests.unit.runtime.conftest import Time


def admitted(limiter: Limiter, key: str, limit: int, tries: int) -> int:
    """How many of `tries` requests get in."""
    count = 0
    for _ in range(tries):
        try:
            limiter.check(key, limit)
        except RateLimited:
            continue
        count += 1
    return count


def test_no_more_than_the_limit_in_one_window(store: RuntimeStore, time: Time, client: Faulty) -> None:
    assert admitted(Limiter(store, time), "rpm#a", 5, 20) == 5
    assert admitted(Limiter(store, time), "rpm#a", 5, 20) == 0  # another container
    assert admitted(Limiter(store, time), "rpm#b", 5, 20) == 5  # another key


def test_a_check_is_one_write_and_a_known_refusal_none(store: RuntimeStore, time: Time, client: Faulty) -> None:
    limiter = Limiter(store, time)
    limiter.check("k", 3)
    client.calls.clear()
    limiter.check("k", 3)
    limiter.check("k", 3)
    assert len(client.calls) == 2
    assert admitted(limiter, "k", 3, 10) == 0
    assert len(client.calls) == 3


def test_the_window_slides(store: RuntimeStore, time: Time) -> None:
    """Never more than the limit in any 60 s, as far as the two counters can tell; all of it again after two windows."""
    time.now = 1_795_000_020.0 - 1_795_000_020.0 % 60 + 59  # at the end of a window
    limiter = Limiter(store, time)
    assert admitted(limiter, "k", 10, 20) == 10
    time.now += 2  # the next window has begun, and nearly all of the last one still counts
    assert admitted(Limiter(store, time), "k", 10, 20) <= 1
    time.now += 120
    assert admitted(Limiter(store, time), "k", 10, 20) == 10


@pytest.mark.parametrize("second", [0, 1, 20, 59])
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_whoever_comes_again_after_retry_after_gets_in(
    store: RuntimeStore, time: Time, second: int, limit: int
) -> None:
    time.now += 60 - time.now % 60 + second
    limiter = Limiter(store, time)
    admitted(limiter, "k", limit, limit)
    for _ in range(2):
        with pytest.raises(RateLimited) as limited:
            limiter.check("k", limit)
        time.now += limited.value.extra["retry_after"]
        limiter.check("k", limit)
        admitted(limiter, "k", limit, limit)


def test_a_limit_of_nothing_lets_nobody_in(store: RuntimeStore, time: Time) -> None:
    assert admitted(Limiter(store, time), "k", 0, 3) == 0
    with pytest.raises(RateLimited):
        Limiter(store, time).count_up_to("k", 0, time.now + 60)


def test_a_clock_that_lags_behind_counts_in_the_newest_window(store: RuntimeStore, time: Time) -> None:
    assert admitted(Limiter(store, lambda: time.now + 60), "k", 5, 4) == 4
    assert admitted(Limiter(store, time), "k", 5, 4) == 1


def test_throttled_storage_refuses(store: RuntimeStore, time: Time, client: Faulty) -> None:
    client.plan = {0: "throttle"}
    with pytest.raises(RateLimited):
        Limiter(store, time).check("k", 5)


def test_an_exact_counter_under_64_threads(store: RuntimeStore, time: Time) -> None:
    limiter = Limiter(store, time)
    until = time.now + 3600

    def one(_: int) -> int:
        try:
            return limiter.count_up_to("device#1", 10, until)
        except RateLimited as limited:
            return 0 if limited.extra["retry_after"] == 3600 else -1

    with ThreadPoolExecutor(64) as pool:
        counts = sorted(pool.map(one, range(64)))
    assert counts == [0] * 54 + list(range(1, 11))
    limiter.give_back("device#1", until)
    assert limiter.count_up_to("device#1", 10, until) == 10
    assert limiter.count_up_to("device#1", 10, until + 86400) == 1  # tomorrow's counter is another


def test_few_at_a_time(store: RuntimeStore, time: Time) -> None:
    limiter = Limiter(store, time)
    waits: list[int] = []

    def refused() -> bool:
        try:
            with limiter.few_at_a_time("device#1", 2, 120):
                return False
        except RateLimited as limited:
            waits.append(limited.extra["retry_after"])
            return True

    with limiter.few_at_a_time("device#1", 2, 120):
        assert not refused()
        with limiter.few_at_a_time("device#1", 2, 120):
            assert refused()
            with limiter.few_at_a_time("device#2", 2, 120):
                pass
        assert not refused()
    killed = limiter.few_at_a_time("device#1", 1, 120)
    killed.__enter__()  # and never left
    with limiter.few_at_a_time("device#1", 2, 300):
        time.now += 119
        assert refused()
        time.now += 2
        assert not refused()
    assert all(1 <= wait <= 5 for wait in waits)


def together(limiter: Limiter, **who: str) -> str:
    """What became of one request of an address and a device."""
    limits = {"n": 5, f"a{who['address']}": 3, f"d{who['device']}": 2}
    try:
        limiter.check_together("visits#1", limits)
    except RateLimited as limited:
        return f"wait {limited.extra['retry_after']}"
    return "in"


def test_several_limits_are_one_write_and_one_decision(store: RuntimeStore, time: Time, client: Faulty) -> None:
    time.now += 50 - time.now % 60
    limiter = Limiter(store, time)
    client.calls.clear()
    assert [together(limiter, address="1", device="1") for _ in range(3)] == ["in", "in", "wait 10"]
    assert len(client.calls) == 3
    assert together(limiter, address="1", device="1") == "wait 10"
    assert len(client.calls) == 3  # known by then
    assert [together(limiter, address="1", device=device) for device in "23"] == ["in", "wait 10"]
    # what was refused is counted nowhere: two more fit in the window of five
    assert [together(Limiter(store, time), address="2", device=device) for device in "456"] == ["in", "in", "wait 10"]
    time.now += 10
    assert together(limiter, address="1", device="1") == "in"


def test_several_limits_hold_among_64_threads(store: RuntimeStore, time: Time) -> None:
    def one(number: int) -> str:
        return together(Limiter(store, time), address=str(number % 8), device=str(number))

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(one, range(64))).count("in") == 5
    assert "in" not in map(one, range(64, 72))
