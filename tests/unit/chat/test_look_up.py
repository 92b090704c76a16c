"""What is asked of storage ahead of the reserve: at once, in its order of refusals, and no more than is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from noren.chat.both import both
from noren.errors import NotFound, RateLimited
from noren.knowledge.retrieval import CURRENT_SECONDS
from noren.llm.breaker import CACHE_SECONDS
from noren.llm.models import Message
from tests.faults import Faulty
from tests.unit.chat.rig import LIMITS, POOL, Container, Inline, Rig

NOBODYS = "00000000-0000-7000-8000-000000000000"


class Counting(Inline):
    """Counts what it is given."""

    def __init__(self) -> None:
        self.given = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.given += 1
        return super().submit(fn, *args, **kwargs)


def warm(rig: Rig, client: Any, pool: Executor = POOL) -> tuple[Container, str]:
    """A process that knows all but the breaker's state, and a session to go on with."""
    process = Container(client, rig, pool=pool)
    answer, _ = process.chats.reply(rig.member(), rig.ask(), rig.run())
    rig.clock.skip(CACHE_SECONDS)
    return process, answer.session_key


def test_session_turns_breaker_and_rate_are_asked_at_once(rig: Rig) -> None:
    client = Faulty(rig.client)
    process, key = warm(rig, client)
    client.calls.clear()
    gate = threading.Barrier(4)

    def meet(name: str, options: dict[str, Any]) -> None:
        if len(met) < 4:
            met.append(f"{name} {options['TableName']}")
            gate.wait(20)  # breaks unless the other three are under way too

    met: list[str] = []
    client.before = meet
    process.chats.reply(rig.member(), rig.ask(session_key=key), rig.run())
    assert sorted(met) == ["get_item runtime", "get_item sites", "query sites", "update_item runtime"]
    assert len(rig.script.prompts[-1].messages) == 4  # the prompt holds the first turn


def test_which_index_is_current_is_asked_at_the_same_time(rig: Rig) -> None:
    client = Faulty(rig.client)
    process, key = warm(rig, client)
    rig.clock.skip(CURRENT_SECONDS)
    gate = threading.Barrier(6)
    at_once: list[str] = []

    def meet(name: str, options: dict[str, Any]) -> None:
        call = f"{name} {options['TableName']}"
        seen.append(call)
        if 2 < len(seen) <= 8:  # the site and its profile come first
            at_once.append(call)
            gate.wait(20)

    seen: list[str] = []
    client.before = meet
    process.chats.reply(rig.member(), rig.ask(session_key=key), rig.run())
    assert "get_item knowledge" in at_once
    assert seen.count("get_item knowledge") == 1


def test_no_thread_is_needed_where_there_is_nothing_to_fetch(rig: Rig) -> None:
    pool = Counting()
    process, key = warm(rig, rig.client, pool)
    managed = rig.ask(history=(Message("user", "Hi"),), source="openai")
    given = []
    for ask in (managed, managed, rig.ask(), rig.ask(session_key=key)):
        pool.given = 0
        process.chats.reply(rig.member(), ask, rig.run())
        given.append(pool.given)
    assert given == [1, 0, 0, 2]  # the breaker's state; session and turns


def test_a_missing_session_is_told_before_a_rate_that_is_exceeded(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_minute=1))
    rig.clock.to_next_minute()
    client = Faulty(rig.client)
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    process = Container(client, rig)  # another one, which does not know yet that the minute is used up
    missing = rig.ask(session_key=NOBODYS)
    with pytest.raises(NotFound):
        process.chats.reply(rig.member(), missing, rig.run())
    client.calls.clear()
    for ask in (rig.ask(session_key=answer.session_key), missing, rig.ask()):
        with pytest.raises(RateLimited):
            process.chats.reply(rig.member(), ask, rig.run())
    assert client.calls == []  # what is known to be too much asks storage nothing
    assert (len(rig.script.prompts), len(rig.records()), rig.open_holds(), rig.chats_used()) == (1, 1, 0, 1)


def test_a_busy_pool_delays_nobody(rig: Rig) -> None:
    busy = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(busy.wait, 60)
        try:
            process, key = warm(rig, rig.client, pool)
            answer, _ = process.chats.reply(rig.member(), rig.ask(session_key=key), rig.run())
        finally:
            busy.set()
    assert answer.session_key == key


def test_both_have_ended_when_one_fails() -> None:
    ended = []

    def slowly() -> None:
        time.sleep(0.1)
        ended.append(True)

    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        both(POOL, slowly, fail)
    assert ended == [True]
    with pytest.raises(ZeroDivisionError):
        both(POOL, lambda: 1 / 0, slowly)
    assert ended == [True, True]


def test_of_two_errors_the_first_ones_is_told() -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ZeroDivisionError):
        both(POOL, lambda: 1 / 0, fail)
    assert both(POOL, lambda: 1, lambda: "two") == (1, "two")
