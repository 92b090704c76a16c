"""Vectors of the stand-in, by OpenAI's own SDK and types; and our provider against it, well and in every fault."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import requests
from openai.types import CreateEmbeddingResponse

from local import emulator, llm
from noren.knowledge.embeddings import to_hold
from noren.llm import tokens
from noren.llm.models import Embedded, Embedding, FaultKind, ProviderFault, TimeLimits, numbers
from noren.llm.providers.offline import OfflineProvider
from noren.llm.providers.openai import OpenAIProvider
from noren.plans.models import ProviderName
from tests.contract.llm.conftest import StandIn, policy

LIMITS = TimeLimits(connect=1, first_token=1.5, total=1.5)
NAMES: tuple[ProviderName, ...] = ("openai", "local_llm")
ENDPOINT = {"openai": "openai", "local_llm": "local"}
TEXTS = [
    "営業時間は午前10時から午後7時までです。",
    "Our shop is open from ten to seven.",
    "환불은 구입 후 7일 이내에 가능합니다.",
]

Make = Callable[..., OpenAIProvider]


@pytest.fixture
def sdk(standin: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=llm.API_KEY, base_url=f"{standin.url}/openai/v1", max_retries=0) as made:
        yield made


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[OpenAIProvider] = []

    def provider(name: ProviderName, url: str, key: str = llm.API_KEY) -> OpenAIProvider:
        made.append(OpenAIProvider(f"{url}/{ENDPOINT[name]}/v1", lambda: key, name))
        return made[-1]

    yield provider
    for each in made:
        each.close()


def nearness(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(numbers(one), numbers(other), strict=True))


def ask(provider: OpenAIProvider, texts: list[str] = TEXTS, dimensions: int | None = None) -> Embedded:
    return provider.embed(policy("openai", "text-embedding-3-small"), texts, dimensions, LIMITS)


# the stand-in


def test_the_answer_is_what_the_sdk_expects(sdk: openai.OpenAI, standin: StandIn) -> None:
    got = sdk.embeddings.with_raw_response.create(model="text-embedding-3-small", input=TEXTS, encoding_format="float")
    document = CreateEmbeddingResponse.model_validate(json.loads(got.content), extra="forbid")
    assert [row.index for row in document.data] == [0, 1, 2]
    assert {len(row.embedding) for row in document.data} == {1_536}
    assert re.fullmatch(r"offline-ngrams-[0-9a-f]{8}", document.model)
    assert document.model == standin.stats("openai")["embedding_model"]
    assert document.usage.prompt_tokens == document.usage.total_tokens > 0
    assert sdk.embeddings.create(model="text-embedding-3-small", input=TEXTS).data == document.data
    raw: Any = sdk.embeddings.create(model="text-embedding-3-large", input="a", encoding_format="base64")
    assert len(b64decode(raw.data[0].embedding)) == 4 * 3_072


def test_vectors_are_units_that_mean_a_little(make: Make, standin: StandIn) -> None:
    texts = ["How long is the pass valid?", "The pass is valid for seven days.", "Refunds take ten days.", TEXTS[0]]
    made = ask(make("openai", standin.url), [*texts, "営業時間は？"])
    for vector in made.vectors:
        assert math.isclose(nearness(vector, vector), 1, abs_tol=1e-5)
    question, passage, other, hours, when = made.vectors
    assert nearness(question, passage) > nearness(question, other) > nearness(question, hours)
    assert nearness(when, hours) > max(nearness(when, each) for each in (question, passage, other))
    assert ask(make("openai", standin.url), [*texts, "営業時間は？"]).vectors == made.vectors, "always the same"


def test_the_bill_is_its_own_and_within_what_is_held(make: Make, standin: StandIn) -> None:
    texts = ["word " * number + "字" * (number % 3) for number in range(1, 80)]
    made = ask(make("openai", standin.url), texts)
    ours = sum(map(tokens.estimate, texts))
    assert made.tokens != ours
    assert abs(made.tokens - ours) < 0.05 * ours
    assert made.tokens <= to_hold(texts)
    assert standin.stats("openai")["log"][-1]["tokens"] == made.tokens


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ""},
        {"input": []},
        {"input": ["x", ""]},
        {"input": [1, 2]},
        {"input": ["x"] * 2_049},
        {"input": "漢" * 6_000},
        {"dimensions": 1_537},
        {"dimensions": 0},
        {"model": "text-embedding-ada-002", "dimensions": 8},
        {"encoding_format": "int8"},
    ],
)
def test_what_openai_refuses_is_refused(standin: StandIn, changes: dict[str, Any]) -> None:
    body = {"model": "text-embedding-3-small", "input": "x"} | changes
    headers = {"authorization": f"Bearer {llm.API_KEY}"}
    answer = requests.post(f"{standin.url}/openai/v1/embeddings", json=body, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_claude_makes_no_vectors(standin: StandIn) -> None:
    body = {"model": "x", "input": "x"}
    answer = requests.post(f"{standin.url}/anthropic/v1/embeddings", json=body, headers={"x-api-key": "x"}, timeout=5)
    assert answer.status_code == 404


# our provider


@pytest.mark.parametrize("name", NAMES)
def test_vectors_in_order_with_the_upstreams_count_and_name(make: Make, standin: StandIn, name: ProviderName) -> None:
    provider = make(name, standin.url)
    made = ask(provider)
    stats = standin.stats(ENDPOINT[name])
    assert (made.model, made.tokens) == (stats["embedding_model"], stats["log"][-1]["tokens"])
    assert not made.estimated
    assert (len(made.vectors), made.dimensions) == (3, 1_536)
    assert list(made.vectors) == [ask(provider, [text]).vectors[0] for text in TEXTS]
    assert ask(provider, dimensions=64).dimensions == 64


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "kind", "produced"),
    [
        ("401", "unauthorized", False),
        ("429", "rate_limited", False),
        ("quota", "out_of_quota", False),
        ("500", "server", False),
        ("hang", "timeout", False),
        ("stall", "timeout", True),
        ("cut", "cut", True),
        ("garbage", "garbage", True),
    ],
)
def test_faults_and_whether_the_texts_were_taken(
    make: Make, standin: StandIn, name: ProviderName, fault: str, kind: FaultKind, produced: bool
) -> None:
    standin.set(ENDPOINT[name], fault=fault)
    with pytest.raises(ProviderFault) as raised:
        ask(make(name, standin.url))
    assert (raised.value.kind, raised.value.produced) == (kind, produced)
    assert (raised.value.usage.input > 0) == produced
    assert raised.value.retry_after == (7 if fault == "429" else None)


def test_what_the_model_refuses_is_rejected(make: Make, standin: StandIn) -> None:
    with pytest.raises(ProviderFault) as raised:
        ask(make("openai", standin.url), dimensions=1_537)
    assert (raised.value.kind, raised.value.produced) == ("rejected", False)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_there_and_a_wrong_key(make: Make, standin: StandIn, name: ProviderName) -> None:
    with pytest.raises(ProviderFault) as raised:
        ask(make(name, f"http://127.0.0.1:{emulator.free_port()}"))
    assert (raised.value.kind, raised.value.produced) == ("connection", False)
    with pytest.raises(ProviderFault) as raised:
        ask(make(name, standin.url, "sk-secret-key-that-must-not-show"))
    assert raised.value.kind == "unauthorized"
    assert "secret" not in f"{raised.value} {raised.value.detail}"


def test_without_a_key_or_an_address_nobody_is_called(make: Make, standin: StandIn) -> None:
    calls = standin.stats("openai")["calls"]
    for provider, kind in ((make("openai", standin.url, ""), "unauthorized"), (OpenAIProvider("", str), "not_found")):
        with pytest.raises(ProviderFault) as raised:
            ask(provider)
        assert raised.value.kind == kind
    assert standin.stats("openai")["calls"] == calls


def test_who_makes_vectors() -> None:
    assert isinstance(OpenAIProvider("", str), Embedding)
    assert not isinstance(OfflineProvider(), Embedding), "without a model search is lexical"
