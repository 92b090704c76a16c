"""OpenAI's official SDKs, Python and Node, unchanged but for key and address, against the whole run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from local import emulator
from tests.e2e.client import Client, Stack

pytestmark = pytest.mark.e2e

QUESTION = "How long is the Tsubame Rail Pass valid?"
ASK: list[Any] = [{"role": "user", "content": QUESTION}]
EMBEDDING_MODELS = {"embedding_3_small", "embedding_3_large", "local_llm"}
NODE_SCRIPT = Path(__file__).parent / "openai_node" / "client.mjs"


@dataclass(frozen=True)
class Account:
    """A tenant on the plan `enterprise`, with API keys made as its owner makes them."""

    owner: Client
    base_url: str
    key: str
    weak_key: str
    """May only read."""

    def records(self, limit: int = 1) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.owner.ok("GET", f"/api/v1/usage/records?limit={limit}")["items"]
        return found


def make_key(owner: Client, *scopes: str) -> str:
    made = owner.ok("POST", "/api/v1/api-keys", {"name": f"sdk {time.time_ns()}", "scopes": list(scopes)})
    secret: str = made["secret"]
    return secret


@pytest.fixture(scope="module")
def account(stack: Stack) -> Account:
    owner = stack.user("enterprise")
    return Account(owner, stack["inference_url"] + "/v1", make_key(owner, "chat"), make_key(owner, "read"))


@pytest.fixture
def client(account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=account.key, base_url=account.base_url, max_retries=0) as made:
        yield made


def test_models(client: openai.OpenAI, account: Account) -> None:
    models = list(client.models.list())
    chat = {each["id"] for each in account.owner.ok("GET", "/api/v1/me")["models"]}
    assert [model.id for model in models] == sorted(chat | EMBEDDING_MODELS)
    assert client.models.retrieve(models[0].id) == models[0]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-none")
    assert caught.value.code == "model_not_found"


def test_a_chat_is_answered_and_accounted_for(client: openai.OpenAI, account: Account, stack: Stack) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="default",
        messages=[
            {"role": "developer", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "text", "text": "I want to travel."}]},
            {"role": "assistant", "content": "Gladly."},
            *ASK,
        ],
        max_completion_tokens=200,
        temperature=0.2,
        n=1,
        user="u-1",
        seed=7,
    )
    made = raw.parse()
    assert made.choices[0].message.role == "assistant"
    assert "seven days" in (made.choices[0].message.content or "")
    assert made.choices[0].finish_reason == "stop"
    assert abs(made.created - time.time()) < 30
    assert made.model == stack.models()["anthropic"]["model"], "what the upstream itself reported"
    assert made.usage is not None
    (record,) = account.records()
    assert (record["request_id"], record["source"]) == (made.id, "openai")
    assert (record["tokens_input"], record["tokens_output"]) == (made.usage.prompt_tokens, made.usage.completion_tokens)
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert raw.headers["x-trace-id"] == record["trace_id"] == made._request_id


def test_a_stream_arrives_as_it_is_made_and_ends_in_usage(
    client: openai.OpenAI, account: Account, stack: Stack
) -> None:
    stack.control("*", pace_ms=100)
    arrived: list[tuple[float, Any]] = []
    try:
        with client.chat.completions.create(
            model="default", messages=ASK, stream=True, stream_options={"include_usage": True}
        ) as stream:
            arrived += [(time.time(), chunk) for chunk in stream]
    finally:
        stack.control("*")
    *chunks, last = [chunk for _, chunk in arrived]
    assert "seven days" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.usage for chunk in chunks} == {None}
    assert last.choices == []
    assert last.usage is not None
    (record,) = account.records()
    assert {chunk.id for _, chunk in arrived} == {record["request_id"]}
    assert last.usage.total_tokens == record["tokens_input"] + record["tokens_output"] > 0
    first = next(at for at, chunk in arrived if chunk.choices and chunk.choices[0].delta.content)
    made = stack.models()["anthropic"]["log"][-1]["last_token_at"]
    assert first < made - 0.1, "the first text waited for the last"


def test_the_sdks_own_accumulator_takes_our_chunks(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="default", messages=ASK) as stream:
        stream.until_done()
        made = stream.get_final_completion()
    assert "seven days" in (made.choices[0].message.content or "")
    assert made.choices[0].finish_reason == "stop"


def test_a_client_that_leaves_pays_for_what_was_made(client: openai.OpenAI, account: Account, stack: Stack) -> None:
    stack.control("*", pace_ms=300)
    try:
        with client.chat.completions.create(model="default", messages=ASK, stream=True) as stream:
            seen = next(chunk for chunk in stream if chunk.choices[0].delta.content)
        deadline = time.monotonic() + 30
        while account.records()[0]["request_id"] != seen.id and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        stack.control("*")
    (record,) = account.records()
    assert (record["request_id"], record["status"], record["chats"]) == (seen.id, "cancelled", 1)
    assert account.owner.ok("GET", "/api/v1/me")["remaining"]["concurrent_chats"]["used"] == 0


FAILURES: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], int, str, str | None]] = {
    "a model outside the plan": ({"model": "gpt-none"}, openai.PermissionDeniedError, 403, "model_not_in_plan", None),
    "a number out of range": ({"temperature": 3}, openai.BadRequestError, 400, "invalid_request", "temperature"),
    "no message": ({"messages": []}, openai.BadRequestError, 400, "invalid_request", "messages"),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example"}}]}]},
        openai.BadRequestError,
        400,
        "invalid_request",
        "messages.0.content.parts.0.type",
    ),
    "several choices": ({"n": 2}, openai.BadRequestError, 400, "invalid_request", "n"),
    "tools": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        openai.BadRequestError,
        400,
        "unsupported_parameter",
        "tools",
    ),
    "a form of answer": (
        {"response_format": {"type": "json_object"}},
        openai.BadRequestError,
        400,
        "unsupported_parameter",
        "response_format",
    ),
    "too long": (
        {"model": "phi-3-mini", "messages": [{"role": "user", "content": "字" * 5_000}]},
        openai.BadRequestError,
        400,
        "context_length_exceeded",
        None,
    ),
}
"""What is asked, and the SDK's exception, status, code and `param` for it."""


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_the_sdks_own_exceptions(client: openai.OpenAI, stack: Stack, case: str, stream: bool) -> None:
    changes, kind, status, code, param = FAILURES[case]
    before = stack.model_calls()
    ask: Any = client.chat.completions.create
    with pytest.raises(kind) as caught:
        ask(**({"model": "default", "messages": ASK, "stream": stream} | changes))
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (status, code, param)
    assert caught.value.request_id
    assert stack.model_calls() == before


def test_keys_that_may_not(account: Account) -> None:
    for key, kind, code in (
        ("nrn_nobodys", openai.AuthenticationError, "invalid_api_key"),
        ("sk-of-another-service", openai.AuthenticationError, "invalid_token"),
        (account.weak_key, openai.PermissionDeniedError, "forbidden"),
    ):
        with openai.OpenAI(api_key=key, base_url=account.base_url, max_retries=2) as client:
            for call in (client.models.list, partial(client.chat.completions.create, model="default", messages=ASK)):
                with pytest.raises(kind) as caught:
                    call()
                assert caught.value.code == code


def test_a_path_that_we_lack_is_not_found_in_openais_envelope(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt="a curtain")
    assert (caught.value.code, caught.value.type) == ("not_found", "invalid_request_error")


def test_vectors_are_made_and_accounted_for(client: openai.OpenAI, account: Account, stack: Stack) -> None:
    texts = ["How long is the pass valid?", "The pass is valid for seven days.", "返金は10日以内です。"]
    before = account.owner.ok("GET", "/api/v1/me")["remaining"]
    raw = client.embeddings.with_raw_response.create(model="default", input=texts, user="u-1")
    made = raw.parse()
    assert made.model == stack.models()["openai"]["embedding_model"], "what the upstream itself reported"
    assert [(row.index, len(row.embedding)) for row in made.data] == [(0, 3072), (1, 3072), (2, 3072)]
    one, passage, other = (row.embedding for row in made.data)
    near, far = (sum(a * b for a, b in zip(one, each, strict=True)) for each in (passage, other))
    assert near > far
    (record,) = account.records()
    assert (record["source"], record["function"], record["chats"]) == ("openai", "embedding", 0)
    assert record["tokens_embedding"] == made.usage.total_tokens == stack.models()["openai"]["log"][-1]["tokens"]
    assert [(call["purpose"], call["policy_id"]) for call in record["calls"]] == [("embedding", "embedding_3_large")]
    assert Decimal(record["cost_usd"]) == Decimal(made.usage.total_tokens) * Decimal("0.13") / 1_000_000
    assert raw.headers["x-trace-id"] == record["trace_id"]
    after = account.owner.ok("GET", "/api/v1/me")["remaining"]
    used = [each["embedding_tokens"]["used"] for each in (before, after)]
    assert used[1] - used[0] == made.usage.total_tokens
    assert after["chats"] == before["chats"]
    numbers = client.embeddings.create(model="default", input=texts, encoding_format="float")
    assert [array("f", row.embedding) for row in numbers.data] == [array("f", row.embedding) for row in made.data]


@pytest.mark.parametrize("model", sorted(EMBEDDING_MODELS))
def test_each_embedding_model_of_the_plan(client: openai.OpenAI, model: str) -> None:
    sizes = {"embedding_3_small": 1536, "embedding_3_large": 3072, "local_llm": 384}
    assert len(client.embeddings.create(model=model, input="hello").data[0].embedding) == sizes[model]


def test_more_texts_than_one_call_takes_in_a_body_that_no_chat_may_have(client: openai.OpenAI) -> None:
    texts = [f"{number} " + "word " * 80 for number in range(202)]
    made = client.embeddings.create(model="text-embedding-3-small", input=texts, dimensions=64, timeout=60)
    assert [row.index for row in made.data] == list(range(202))
    assert {len(row.embedding) for row in made.data} == {64}
    one = client.embeddings.create(model="text-embedding-3-small", input=texts[-1], dimensions=64)
    assert one.data[0].embedding == made.data[-1].embedding


VECTOR_FAILURES: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str, str | None]] = {
    "a model outside the plan": ({"model": "gpt-none"}, openai.PermissionDeniedError, "model_not_in_plan", None),
    "a chat model": ({"model": "phi-3-mini"}, openai.PermissionDeniedError, "model_not_in_plan", None),
    "tokens": ({"input": [1, 2, 3]}, openai.BadRequestError, "invalid_request", "input"),
    "nothing": ({"input": ""}, openai.BadRequestError, "invalid_request", "input.0"),
    "too long": ({"input": "漢" * 6_000}, openai.BadRequestError, "invalid_request", "input.0"),
    "too large a size": ({"dimensions": 3_073}, openai.BadRequestError, "invalid_request", "dimensions"),
}


@pytest.mark.parametrize("case", VECTOR_FAILURES)
def test_vectors_that_are_refused(client: openai.OpenAI, stack: Stack, case: str) -> None:
    changes, kind, code, param = VECTOR_FAILURES[case]
    before = stack.model_calls()
    make: Any = client.embeddings.create
    with pytest.raises(kind) as caught:
        make(**({"model": "default", "input": "hello"} | changes))
    assert (caught.value.code, caught.value.param) == (code, param)
    assert stack.model_calls() == before


def test_spent_embedding_tokens_are_not_retried(stack: Stack) -> None:
    owner, me = stack.newcomer("sdk-vectors")
    overrides = {"embedding_tokens_per_month": 12}
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{me['tenant']['tenant_id']}", {"overrides": overrides})
    before = stack.model_calls()
    with openai.OpenAI(
        api_key=make_key(owner, "chat"), base_url=stack["inference_url"] + "/v1", max_retries=3
    ) as client:
        client.embeddings.create(model="default", input="hello")
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="default", input="What is written on the ticket, and where do I buy it?")
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert stack.model_calls() - before == 1
    assert owner.ok("GET", "/api/v1/me")["remaining"]["chats"]["used"] == 0


def test_an_upstreams_outage_costs_no_tokens(client: openai.OpenAI, account: Account, stack: Stack) -> None:
    before = account.owner.ok("GET", "/api/v1/me")["remaining"]["embedding_tokens"]["used"]
    stack.control("openai", fault="cut", times=1)
    try:
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="default", input="hello")
        (record,) = account.records()
        assert (record["decision"], record["error_code"]) == ("RELEASE", "cut")
        stack.control("openai", fault="500", times=1)
        assert client.embeddings.create(model="default", input="hello").data, "a passing fault is tried once more"
    finally:
        stack.control("openai")
    (record,) = account.records()
    used = account.owner.ok("GET", "/api/v1/me")["remaining"]["embedding_tokens"]["used"]
    assert used - before == record["tokens_embedding"]


def test_a_key_makes_vectors_once(client: openai.OpenAI, stack: Stack) -> None:
    before = stack.model_calls()
    headers = {"Idempotency-Key": f"sdk-{time.time_ns()}"}
    make = partial(client.embeddings.with_raw_response.create, model="default", extra_headers=headers)
    first, again = make(input="hello"), make(input="hello")
    assert first.parse() == again.parse()
    assert again.headers["idempotency-replayed"] == "true"
    assert stack.model_calls() - before == 1


def test_spent_quota_is_not_retried(stack: Stack) -> None:
    owner, me = stack.newcomer("sdk-quota")
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{me['tenant']['tenant_id']}", {"overrides": {"chats_per_month": 1}})
    before = stack.model_calls()
    sent = []
    with openai.OpenAI(
        api_key=make_key(owner, "chat"), base_url=stack["inference_url"] + "/v1", max_retries=3
    ) as client:
        client._client.event_hooks["request"].append(lambda request: sent.append(request.url.path))
        client.chat.completions.create(model="default", messages=ASK)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model="default", messages=ASK, stream=stream)
            assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
            assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(sent) == 3
    assert stack.model_calls() - before == 1


def test_a_minutes_requests_are_waited_for(stack: Stack) -> None:
    """The SDK may retry here, as long as it is told to wait."""
    owner, me = stack.newcomer("sdk-rate")
    overrides = {"requests_per_minute": 2}
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{me['tenant']['tenant_id']}", {"overrides": overrides})
    key = make_key(owner, "chat")
    with openai.OpenAI(api_key=key, base_url=stack["inference_url"] + "/v1", max_retries=0) as client:
        ask = partial(client.chat.completions.create, model="default", messages=ASK)
        if (second := time.time() % 60) > 40:  # as a minute turns, one more is let through
            time.sleep(60 - second)
        ask()
        ask()
        with pytest.raises(openai.RateLimitError) as caught:
            ask()
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 61
    assert "x-should-retry" not in caught.value.response.headers


def test_an_idempotency_key_answers_once(client: openai.OpenAI, stack: Stack) -> None:
    before = stack.model_calls()
    ask = partial(
        client.chat.completions.with_raw_response.create,
        model="default",
        extra_headers={"Idempotency-Key": f"sdk-{time.time_ns()}"},
    )
    first, again = ask(messages=ASK), ask(messages=ASK)
    assert first.parse() == again.parse()
    assert again.headers["idempotency-replayed"] == "true"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        ask(messages=[{"role": "user", "content": "Something else"}])
    assert caught.value.code == "idempotency_key_reused"
    assert stack.model_calls() - before == 1


def test_the_node_sdk_works_unchanged(account: Account, stack: Stack) -> None:
    done = subprocess.run(
        ["node", str(NODE_SCRIPT), str(emulator.HOME / "node"), account.base_url],
        env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": account.key, "WEAK_KEY": account.weak_key},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    chat = {each["id"] for each in account.owner.ok("GET", "/api/v1/me")["models"]}
    assert seen["models"] == sorted(chat | EMBEDDING_MODELS)
    assert [row["index"] for row in seen["embeddings"]["data"]] == [0, 1]
    assert [len(row["embedding"]) for row in seen["embeddings"]["data"]] == [64, 64]
    assert seen["one"]["id"] == seen["models"][0]
    assert "seven days" in seen["completion"]["choices"][0]["message"]["content"]
    assert seen["completion"]["usage"]["completion_tokens"] > 0
    assert seen["request_id"] == seen["trace_id"] != ""
    *chunks, last = seen["chunks"]
    assert "seven days" in "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0
    assert "seven days" in seen["final"]["choices"][0]["message"]["content"]
    assert seen["replay"][0] == seen["replay"][1]
    errors = {name: (error["name"], error["status"], error["code"]) for name, error in seen["errors"].items()}
    assert errors == {
        "stranger": ("AuthenticationError", 401, "invalid_api_key"),
        "weak": ("PermissionDeniedError", 403, "forbidden"),
        "model": ("PermissionDeniedError", 403, "model_not_in_plan"),
        "retrieve": ("NotFoundError", 404, "model_not_found"),
        "path": ("NotFoundError", 404, "not_found"),
        "invalid": ("BadRequestError", 400, "invalid_request"),
        "tools": ("BadRequestError", 400, "unsupported_parameter"),
        "reused": ("UnprocessableEntityError", 422, "idempotency_key_reused"),
    }
    assert all(error["request_id"] for error in seen["errors"].values())
