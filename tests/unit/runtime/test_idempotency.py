"""`Idempotency-Key`: one execution, the same answer to all."""

from __future__ import annotations

import threading
import time as real
from concurrent.futures import ThreadPoolExecutor

import pytest

from noren import ids
from noren.errors import BadRequest, Conflict, NorenError, Unprocessable
from noren.idempotency import LARGEST_BODY, Begin, Idempotency, StoredResponse
from noren.runtime.store import RuntimeStore
from tests.faults import Crash, Faulty
from tests.unit.runtime.conftest import Time

TENANT, OTHER = "ten_a", "ten_b"


class Work:
    """Something that must be done once."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> StoredResponse:
        self.times += 1
        return StoredResponse(201, b'{"n": %d}' % self.times, {"x-a": "1"})


@pytest.fixture
def idempotency(store: RuntimeStore, time: Time) -> Idempotency:
    return Idempotency(store, time, time.sleep)


def test_the_same_key_and_body_get_the_first_answer(idempotency: Idempotency) -> None:
    work = Work()
    first = idempotency.run(TENANT, "POST /sites", "k", b"body", work)
    again = idempotency.run(TENANT, "POST /sites", "k", b"body", work)
    assert (first.replayed, again.replayed, work.times) == (False, True, 1)
    assert (again.status, again.body, again.headers) == (first.status, first.body, first.headers)


def test_of_an_answer_too_long_to_be_kept_it_is_known_that_it_was_given(idempotency: Idempotency, time: Time) -> None:
    given = []

    def work() -> StoredResponse:
        given.append(1)
        return StoredResponse(200, b"x" * (LARGEST_BODY + 1))

    assert len(idempotency.run(TENANT, "POST /vectors", "k", b"body", work).body) == LARGEST_BODY + 1
    for wait in (0, 3600):  # also past the lease: what was done is not done again
        time.sleep(wait)
        with pytest.raises(Conflict) as gone:
            idempotency.run(TENANT, "POST /vectors", "k", b"body", work)
        assert gone.value.code == "answer_gone"
    assert len(given) == 1


def test_another_body_is_refused(idempotency: Idempotency) -> None:
    idempotency.run(TENANT, "POST /sites", "k", b"body", Work())
    with pytest.raises(Unprocessable) as refused:
        idempotency.run(TENANT, "POST /sites", "k", b"other", Work())
    assert refused.value.code == "idempotency_key_reused"


def test_another_tenant_or_route_is_another_key(idempotency: Idempotency) -> None:
    work = Work()
    for scope, route in ((TENANT, "POST /a"), (OTHER, "POST /a"), (TENANT, "POST /b")):
        idempotency.run(scope, route, "k", scope.encode() + route.encode(), work)
    assert work.times == 3


def test_without_a_key_there_is_no_storage(idempotency: Idempotency, client: Faulty) -> None:
    idempotency.run(TENANT, "POST /a", None, b"", Work())
    assert client.calls == []


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\t", "nul\0", "鍵"])
def test_a_malformed_key_is_refused(idempotency: Idempotency, key: str) -> None:
    with pytest.raises(BadRequest):
        idempotency.run(TENANT, "POST /a", key, b"", Work())


def test_the_longest_key_and_every_printable_character_are_fine(idempotency: Idempotency) -> None:
    for key in ("x" * 255, "".join(map(chr, range(0x20, 0x7F))), "#", " "):
        idempotency.run(TENANT, "POST /a", key, b"", Work())


def test_a_key_is_free_again_after_a_day_even_if_ttl_has_not_come(idempotency: Idempotency, time: Time) -> None:
    work = Work()
    idempotency.run(TENANT, "POST /a", "k", b"body", work)
    time.now += 86_399
    idempotency.run(TENANT, "POST /a", "k", b"body", work)
    assert work.times == 1
    time.now += 2
    idempotency.run(TENANT, "POST /a", "k", b"other", work)
    assert work.times == 2


def test_parallel_duplicates_wait_for_the_one_answer(store: RuntimeStore) -> None:
    idempotency = Idempotency(store, real.time)
    times: list[int] = []

    def slow() -> StoredResponse:
        times.append(1)
        real.sleep(0.3)
        return StoredResponse(200, b"once")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: idempotency.run(TENANT, "POST /a", "k", b"", slow), range(8)))
    assert len(times) == 1
    assert {answer.body for answer in answers} == {b"once"}
    assert sum(not answer.replayed for answer in answers) == 1


def test_a_duplicate_gives_up_waiting_in_time(idempotency: Idempotency, time: Time) -> None:
    def inner() -> StoredResponse:
        began = time.now
        with pytest.raises(Conflict) as conflict:
            idempotency.run(TENANT, "POST /a", "k", b"", Work(), wait_s=10)
        assert conflict.value.code == "in_progress"
        assert 10 <= time.now - began < 12
        return StoredResponse(200, b"first")

    assert idempotency.run(TENANT, "POST /a", "k", b"", inner).body == b"first"


def test_a_failure_frees_the_key(idempotency: Idempotency) -> None:
    def fails() -> StoredResponse:
        raise NorenError("no")

    with pytest.raises(NorenError):
        idempotency.run(TENANT, "POST /a", "k", b"", fails)
    assert idempotency.run(TENANT, "POST /a", "k", b"", Work()).replayed is False


def test_a_killed_owner_is_taken_over_once_its_lease_has_run_out(idempotency: Idempotency, time: Time) -> None:
    def killed() -> StoredResponse:
        raise Crash

    with pytest.raises(Crash):
        idempotency.run(TENANT, "POST /a", "k", b"", killed)
    with pytest.raises(Conflict):
        idempotency.run(TENANT, "POST /a", "k", b"", Work(), wait_s=5)
    time.now += 60
    work = Work()
    assert idempotency.run(TENANT, "POST /a", "k", b"", work).replayed is False
    assert idempotency.run(TENANT, "POST /a", "k", b"", work).replayed is True
    assert work.times == 1


def test_an_owner_that_outlived_its_lease_does_not_overwrite_its_heir(idempotency: Idempotency, time: Time) -> None:
    heir = StoredResponse(200, b"heir")

    def slow() -> StoredResponse:
        time.now += 61
        assert idempotency.run(TENANT, "POST /a", "k", b"", lambda: heir) == heir
        return StoredResponse(200, b"late")

    assert idempotency.run(TENANT, "POST /a", "k", b"", slow).body == b"late"
    assert idempotency.run(TENANT, "POST /a", "k", b"", Work()).body == b"heir"


@pytest.mark.parametrize("call", range(2))
@pytest.mark.parametrize("fault", ["throttle", "server", "timeout_before", "timeout_after"])
def test_storage_faults_are_ridden_out(idempotency: Idempotency, client: Faulty, call: int, fault: str) -> None:
    client.plan = {call: fault}  # type: ignore[dict-item]
    work = Work()
    assert idempotency.run(TENANT, "POST /a", "k", b"", work).replayed is False
    assert idempotency.run(TENANT, "POST /a", "k", b"", work).replayed is True
    assert work.times == 1


def test_a_huge_answer_is_given_but_not_kept(idempotency: Idempotency) -> None:
    assert (
        len(idempotency.run(TENANT, "POST /a", "k", b"", lambda: StoredResponse(200, b"x" * 400_000)).body) == 400_000
    )


# -- chats


class Chats:
    """Outcomes by request id, as the usage table would have them."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def begin(
        self, idempotency: Idempotency, key: str = "k", body: bytes = b"hi", wait_s: float = 5
    ) -> tuple[str, bool]:
        begin = idempotency.begin(
            TENANT, "chat", key, body, lambda: ids.new_id("req"), self.outcomes.get, lease_s=180, wait_s=wait_s
        )
        assert begin.is_new is (begin.outcome is None)
        return begin.request_id, begin.is_new


def test_a_chat_is_begun_once_and_found_again(idempotency: Idempotency) -> None:
    chats = Chats()
    request_id, is_new = chats.begin(idempotency)
    assert is_new
    with pytest.raises(Conflict):
        chats.begin(idempotency)
    chats.outcomes[request_id] = "answer"
    assert chats.begin(idempotency) == (request_id, False)
    with pytest.raises(Unprocessable):
        chats.begin(idempotency, body=b"other")


def test_a_chat_that_was_killed_is_begun_anew_under_another_id(idempotency: Idempotency, time: Time) -> None:
    chats = Chats()
    killed, _ = chats.begin(idempotency)
    time.now += 181
    fresh, is_new = chats.begin(idempotency)
    assert is_new
    assert fresh != killed
    with pytest.raises(Conflict):
        chats.begin(idempotency)


def test_a_chat_that_was_denied_may_be_tried_again(idempotency: Idempotency) -> None:
    begin: Begin[str] = idempotency.begin(
        TENANT, "chat", "k", b"", lambda: ids.new_id("req"), lambda _: None, lease_s=180, wait_s=5
    )
    idempotency.abandon(begin)
    assert Chats().begin(idempotency, body=b"")[1]


def test_parallel_chats_have_one_owner(store: RuntimeStore) -> None:
    idempotency, chats, gate = Idempotency(store, real.time), Chats(), threading.Barrier(16)

    def chat(_: int) -> tuple[str, bool]:
        gate.wait()
        request_id, is_new = chats.begin(idempotency)
        if is_new:
            real.sleep(0.2)
            chats.outcomes[request_id] = "answer"
        return request_id, is_new

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(chat, range(16)))
    assert sum(is_new for _, is_new in results) == 1
    assert len({request_id for request_id, _ in results}) == 1
