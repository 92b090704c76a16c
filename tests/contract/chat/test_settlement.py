"""What every state and failure of RunPod means for the caller and for the books: `docs/routes.md`, row by row."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from local import emulator
from noren.llm.models import TimeLimits
from tests.contract.chat.conftest import MISTRAL, Models
from tests.unit.chat.rig import Rig
from tests.unit.chat.web import Web, events_of, served

LIMITS = TimeLimits(connect=1, first_token=2.5, total=4)
FACT = "営業時間: 10:00〜19:00、ラストオーダーは18:30、日曜日は17:00までです🏮。"


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    what: str
    answer: str
    code: str
    decision: str
    status: str
    error_code: str
    calls: str
    chats: str
    cost: str


def rows() -> list[Row]:
    """The table of `docs/routes.md` under "RunPod"."""
    text = (emulator.ROOT / "docs" / "routes.md").read_text()
    lines = re.findall(r"^\| (?!what happens)(.*) \|$", text, re.MULTILINE)
    return [Row(*(cell.strip() for cell in line.split("|"))) for line in lines]


Act = Callable[[Models], None]


def nothing(_: Models) -> None:
    """All is well."""


def plane(**change: Any) -> Act:
    return lambda models: models.plane(**change)


def model(**change: Any) -> Act:
    return lambda models: models.served(**change)


def both(*acts: Act) -> Act:
    def act(models: Models) -> None:
        for each in acts:
            each(models)

    return act


BROUGHT_ABOUT: dict[str, Act] = {
    "COMPLETED": nothing,
    "FAILED (an HTTP 200), then well": model(fault="500", times=1),
    "FAILED (an HTTP 200), twice": model(fault="500"),
    "FAILED because the model is overloaded": model(fault="429"),
    "FAILED because the worker's key is refused": model(fault="401"),
    "FAILED in the middle of the answer": model(fault="cut", pace_ms=30),
    "FAILED in the middle of an answer that nobody reads piece by piece": model(fault="cut", pace_ms=5),
    "TIMED_OUT before the first word": both(plane(execution_ms=300), model(first_ms=3000)),
    "TIMED_OUT in the middle": both(plane(execution_ms=1500), model(pace_ms=200)),
    "CANCELLED by somebody else, before the first word": both(
        plane(ends="CANCELLED", ends_ms=200), model(first_ms=3000)
    ),
    "CANCELLED by somebody else, in the middle": both(plane(ends="CANCELLED", ends_ms=1500), model(pace_ms=200)),
    "IN_QUEUE past our limit": plane(cold_ms=600_000),
    "silent past our limit": model(fault="hang"),
    "stalled past our limit": model(fault="stall"),
    "401": plane(fault="401", on="run"),
    "404": plane(fault="404", on="run"),
    "429": plane(fault="429", on="run"),
    "500": plane(fault="500", on="run"),
    "garbage": plane(fault="garbage", on="run"),
    "garbage in the middle": model(pace_ms=250),
    "the connection cut": plane(fault="cut", on="run"),
    "the connection cut in the middle": model(pace_ms=250),
    "the client cancels in the middle": model(pace_ms=250),
    "on a paid route: Mistral 7B FAILED, Phi-3 Mini answers": model(endpoint="mistral", fault="500"),
    "on a paid route: Mistral 7B and Phi-3 Mini FAILED": both(
        model(endpoint="mistral", fault="500"), model(fault="500")
    ),
}


def cancel(web: Web, _: Models, request_id: str) -> None:
    assert web.call("POST", f"/api/v1/chat/{request_id}/cancel").status_code == 202


def leave(web: Web, models: Models, request_id: str) -> None:
    """What is to happen has been set up before."""


IN_THE_MIDDLE: dict[str, Callable[[Web, Models, str], None]] = {
    "garbage in the middle": lambda web, models, id: models.plane(fault="garbage", on="stream"),
    "the connection cut in the middle": lambda web, models, id: models.plane(fault="cut", on="stream"),
    "the client cancels in the middle": cancel,
}
"""Done to a streamed answer once its first word has come."""


@pytest.fixture
def rig(aws: str, models: Models) -> Rig:
    rig = Rig(providers=models.providers, time_limits=LIMITS)
    tell(rig, FACT)
    return rig


def tell(rig: Rig, facts: str) -> None:
    """Let the tenant's site know something."""
    rig.tell(facts=facts)


def ask(web: Web, models: Models, row: Row) -> tuple[str, dict[str, Any]]:
    """One question; how it was answered (as the table writes it), and with what."""
    body = {"message": "営業時間は?"}
    if row.answer.isdigit():
        response = web.call("POST", "/api/v1/chat", body)
        return str(response.status_code), response.json()
    response = web.call("POST", "/api/v1/chat", body | {"stream": True}, stream=True)
    request_id, is_begun = "", False
    for name, data in events_of(response):
        if name == "meta":
            request_id = data["id"]
        elif name == "delta" and not is_begun:
            is_begun = True
            IN_THE_MIDDLE.get(row.what, leave)(web, models, request_id)
        elif name in ("done", "error"):
            return f"{name} event", data
    raise AssertionError("the stream ended without an end")


def test_every_row_is_played() -> None:
    assert [row.what for row in rows()] == list(BROUGHT_ABOUT)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.what)
def test_answer_and_settlement(rig: Rig, models: Models, row: Row) -> None:
    rig.catalogue.models = (models.phi3,)
    if row.what.startswith("on a paid route"):
        rig.catalogue.tier, rig.catalogue.models = "paid", (models.mistral, models.phi3)
    BROUGHT_ABOUT[row.what](models)
    with served(rig) as web:
        answer, told = ask(web, models, row)
    (record,) = rig.records()
    seen = Row(
        what=row.what,
        answer=answer,
        code=told.get("code", ""),
        decision=record.decision,
        status=record.status,
        error_code=record.error_code,
        calls=" ".join(call.status for call in record.calls),
        chats=str(record.chats),
        cost="yes" if record.cost_usd else "no",
    )
    assert seen == row
    assert (rig.chats_used(), rig.open_holds()) == (record.chats, 0)
    assert record.cost_usd == sum(call.cost_usd for call in record.calls)
    if row.code:
        assert told["retry_after"] >= 1
        assert told["trace_id"] == record.trace_id
        assert told["id"] == record.request_id
    else:
        assert told["cost_usd"] == format(record.cost_usd, "f")
        assert told["quota"]["chats_used"] == record.chats
    if record.chats:
        assert record.tokens_output > 0
        assert FACT.startswith(told["answer"]) or row.answer == "200"
        assert told["answer"]
    else:
        assert (record.tokens_output, record.credits) == (0, 0)
    models.heal()
    until = time.monotonic() + 8
    while models.open_jobs() + models.open_jobs(MISTRAL):
        assert time.monotonic() < until, "RunPod was left with a job that nobody waits for"
        time.sleep(0.05)
