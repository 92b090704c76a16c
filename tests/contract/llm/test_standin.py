"""The stand-in answers in the shapes that the vendors' own types and documents describe."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from local import emulator, llm
from tests.contract.llm.conftest import FACT, StandIn

MESSAGES: Any = [{"role": "system", "content": f"<facts>{FACT}</facts>"}, {"role": "user", "content": "営業時間は?"}]
ANTHROPIC = {"x-api-key": llm.API_KEY, "anthropic-version": "2023-06-01"}


def client(standin: StandIn, key: str = llm.API_KEY) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{standin.url}/openai/v1", max_retries=0)


def claude(standin: StandIn, **body: Any) -> requests.Response:
    system, user = MESSAGES
    whole = {"model": "claude", "max_tokens": 50, "system": system["content"], "messages": [user]} | body
    return requests.post(f"{standin.url}/anthropic/v1/messages", json=whole, headers=ANTHROPIC, timeout=10)


def test_a_whole_answer_is_what_the_sdk_expects(standin: StandIn) -> None:
    with client(standin) as sdk:
        got = sdk.chat.completions.with_raw_response.create(model="gpt", messages=MESSAGES)
        ChatCompletion.model_validate_json(got.content)
        answer = got.parse()
        assert answer.choices[0].message.content == FACT
        assert re.fullmatch(r"offline-extractive-[0-9a-f]{8}", answer.model)
        assert answer.usage
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert [model.id for model in sdk.models.list()] == [answer.model]


def test_a_stream_is_what_the_sdk_expects(standin: StandIn) -> None:
    body = {"model": "gpt", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"authorization": f"Bearer {llm.API_KEY}"}
    url = f"{standin.url}/openai/v1/chat/completions"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.content.decode().split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(line), extra="forbid") for line in lines]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert isinstance(chunks[-1].usage, CompletionUsage)
    assert chunks[-1].choices == []
    pieces = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert "".join(piece or "" for piece in pieces) == FACT
    assert chunks[-1].usage.completion_tokens == len(pieces)


def test_usage_is_streamed_only_when_asked_for(standin: StandIn) -> None:
    with client(standin) as sdk:
        chunks = list(sdk.chat.completions.create(model="gpt", messages=MESSAGES, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("401", openai.AuthenticationError, "invalid_api_key"),
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("500", openai.InternalServerError, "server_error"),
    ],
)
def test_openai_errors(standin: StandIn, fault: str, error: type[openai.APIStatusError], code: str) -> None:
    standin.set("openai", fault=fault, times=1)
    with client(standin) as sdk:
        with pytest.raises(error) as failed:
            sdk.chat.completions.create(model="gpt", messages=MESSAGES)
        assert failed.value.code == code
        sdk.chat.completions.create(model="gpt", messages=MESSAGES)  # once only


def test_wrong_keys_and_unknown_paths(standin: StandIn) -> None:
    calls = standin.stats("openai")["calls"]
    with client(standin, "sk-wrong") as sdk, pytest.raises(openai.AuthenticationError):
        sdk.chat.completions.create(model="gpt", messages=MESSAGES)
    with client(standin) as sdk, pytest.raises(openai.NotFoundError):
        sdk.images.generate(prompt="a curtain")
    with client(standin) as sdk, pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="gpt", messages=MESSAGES, temperature=9)
    assert standin.stats("openai")["calls"] == calls
    assert requests.get(f"{standin.url}/nobody/v1/models", timeout=5).status_code == 404
    wrong = requests.post(f"{standin.url}/anthropic/v1/messages", json={}, headers={"x-api-key": "x"}, timeout=5)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")


def test_claudes_whole_answer(standin: StandIn) -> None:
    answer = claude(standin).json()
    assert answer["content"] == [{"type": "text", "text": FACT}]
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    assert set(answer["usage"]) == {"input_tokens", "output_tokens"}


def test_claudes_stream_has_its_events_in_order(standin: StandIn) -> None:
    blocks = [block.split("\n") for block in claude(standin, stream=True).content.decode().split("\n\n") if block]
    names = [name.removeprefix("event: ") for name, _ in blocks]
    documents = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert names == [document["type"] for document in documents]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(each["delta"]["text"] for each in documents[3:-3]) == FACT
    assert documents[-2]["usage"]["output_tokens"] == len(documents[3:-3])


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [("429", 429, "rate_limit_error"), ("500", 500, "api_error"), ("quota", 402, "billing_error")],
)
def test_claudes_errors(standin: StandIn, fault: str, status: int, kind: str) -> None:
    standin.set("anthropic", fault=fault)
    failed = claude(standin)
    assert (failed.status_code, failed.json()["type"], failed.json()["error"]["type"]) == (status, "error", kind)


def test_claude_wants_its_version_and_a_temperature_of_its_own_scale(standin: StandIn) -> None:
    assert claude(standin, temperature=1.2).status_code == 400
    url = f"{standin.url}/anthropic/v1/messages"
    body = {"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    assert requests.post(url, json=body, headers={"x-api-key": llm.API_KEY}, timeout=5).status_code == 400


def test_every_call_is_counted_with_the_times_of_its_tokens(standin: StandIn) -> None:
    before = standin.stats("anthropic")["calls"]
    standin.set("anthropic", pace_ms=30)
    asked = time.time()
    claude(standin)
    stats = standin.stats("anthropic")
    assert stats["calls"] == before + 1
    seen = stats["log"][-1]
    assert asked <= seen["at"] <= seen["first_token_at"] < seen["last_token_at"] <= time.time()
    assert (seen["outcome"], seen["max_tokens"], seen["model"]) == ("ok", 50, "claude")


def test_an_overrun_ignores_the_bound(standin: StandIn) -> None:
    standin.set("openai", fault="overrun", pace_ms=0)
    with (
        client(standin) as sdk,
        sdk.chat.completions.create(model="gpt", messages=MESSAGES, max_tokens=5, stream=True) as stream,
    ):
        assert sum(1 for _, _ in zip(stream, range(100), strict=False)) == 100


def test_each_endpoint_and_each_start_reports_a_model_of_its_own(standin: StandIn, tmp_path: Path) -> None:
    names = {standin.stats(endpoint)["model"] for endpoint in llm.ENDPOINTS}
    assert len(names) == len(llm.ENDPOINTS)
    port = emulator.free_port()
    process = llm.start(port, log=tmp_path / "llm.log")
    try:
        again = StandIn(f"http://127.0.0.1:{port}").stats("openai")["model"]
    finally:
        emulator.stop(process)
    assert again not in names
