"""OpenAI's own SDK asks for vectors, unchanged; and what is refused, in its envelope."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse

from noren.llm.models import ProviderFault
from tests.unit.chat.rig import LIMITS, Rig
from tests.unit.chat.web import Web, served
from tests.unit.llm.vectors import LOCAL, SMALL, Vectors

PATH = "/v1/embeddings"
QUOTA = 500_000


@pytest.fixture
def vectors() -> Vectors:
    return Vectors()


@pytest.fixture
def web(aws: str, vectors: Vectors) -> Iterator[Web]:
    rig = Rig(
        replace(LIMITS, embedding_tokens_per_month=QUOTA),
        providers={"openai": vectors},  # type: ignore[dict-item]
    )
    rig.catalogue.embeddings = (SMALL, LOCAL)
    with served(rig) as running:
        yield running


@pytest.fixture
def client(web: Web) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="key", base_url=f"{web.base}/v1", max_retries=0) as made:
        yield made


def used(web: Web) -> int:
    return web.rig.ledger.standing(web.rig.tenant.tenant_id).embedding_tokens_used


def test_one_text_and_many(web: Web, client: openai.OpenAI) -> None:
    one = client.embeddings.create(model="text-embedding-3-small", input="hello")
    assert [(row.index, row.object, row.embedding) for row in one.data] == [(0, "embedding", [5.0] * 3)]
    assert (one.model, one.object) == ("reported-e1", "list")
    assert (one.usage.prompt_tokens, one.usage.total_tokens) == (5, 5)
    many = client.embeddings.create(model="default", input=["a", "bb", "ccc"], user="u-1")
    assert [row.embedding[0] for row in many.data] == [1.0, 2.0, 3.0]
    assert [row.index for row in many.data] == [0, 1, 2]
    assert used(web) == 5 + 6
    record = web.rig.records()[-1]
    assert (record.source, record.caller, record.chats) == ("openai", "key:k1", 0)
    assert record.trace_id == web.rig.records()[-1].trace_id != ""


def test_both_formats_hold_the_same_float32(web: Web, vectors: Vectors) -> None:
    made = vectors.embed(SMALL, ["x"], None, None)  # type: ignore[arg-type]
    row = struct.pack("<7f", 0.1, -1e-7, 1 / 3, 3e38, 1e-38, 0.0, 16_777_217.0)
    vectors.embed = lambda *_: replace(made, vectors=(row,))  # type: ignore[method-assign]
    body = {"model": "embedding_3_small", "input": "x"}
    given = web.call("POST", PATH, body, token="key")
    numbers = CreateEmbeddingResponse.model_validate_json(given.content, extra="forbid").data[0].embedding
    assert struct.pack("<7f", *numbers) == row
    with openai.OpenAI(api_key="key", base_url=f"{web.base}/v1", max_retries=0) as client:
        for changes in ({}, {"encoding_format": "float"}):
            made_by_sdk = client.embeddings.create(**body, **changes)  # type: ignore[arg-type]
            assert struct.pack("<7f", *made_by_sdk.data[0].embedding) == row
        raw: Any = client.embeddings.create(**body, encoding_format="base64").data[0].embedding  # type: ignore[arg-type]
    assert isinstance(raw, str)


def test_shorter_vectors(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="embedding_3_small", input="hello", dimensions=2)
    assert len(made.data[0].embedding) == 2


def test_the_most_that_may_be_asked_for(web: Web, client: openai.OpenAI, vectors: Vectors) -> None:
    texts = ["word " * 110 + str(number) for number in range(2_048)]
    assert len(json.dumps(texts)) > 1_000_000
    made = client.embeddings.create(model="default", input=texts)
    assert [row.index for row in made.data] == list(range(2_048))
    assert [row.embedding[0] for row in made.data] == [float(len(text)) for text in texts]
    assert [len(call) for call in vectors.calls] == [100] * 20 + [48]


REFUSED: dict[str, tuple[Any, str | None]] = {
    "tokens": ({"input": [1, 2, 3]}, "input"),
    "lists of tokens": ({"input": [[1, 2], [3]]}, "input"),
    "texts and tokens": ({"input": ["a", 1]}, "input"),
    "a number": ({"input": 5}, "input"),
    "nothing": ({"input": None}, "input"),
    "an object": ({"input": {"text": "x"}}, "input"),
    "a truth": ({"input": [True]}, "input"),
    "none": ({"input": []}, "input"),
    "an empty text": ({"input": ""}, "input.0"),
    "a blank text": ({"input": ["x", "\u3000\n"]}, "input.1"),
    "too many": ({"input": ["x"] * 2_049}, "input"),
    "too long": ({"input": "漢" * 6_000}, "input.0"),
    "too long in all": ({"input": ["漢" * 3_000] * 41}, "input"),
    "a format": ({"encoding_format": "int8"}, "encoding_format"),
    "no size": ({"dimensions": 0}, "dimensions"),
    "a size below none": ({"dimensions": -5}, "dimensions"),
    "a size as text": ({"dimensions": "8"}, "dimensions"),
    "a size in parts": ({"dimensions": 1.5}, "dimensions"),
    "a size beyond the model's": ({"dimensions": 1_537}, "dimensions"),
    "a size for another model": ({"dimensions": 8, "model": "local_llm"}, "dimensions"),
    "a model of another kind": ({"model": ["x"]}, "model"),
    "a model's long name": ({"model": "x" * 101}, "model"),
    "NUL": (b'{"model": "default", "input": "a\\u0000b"}', None),
    "a lone surrogate": (b'{"model": "default", "input": "a\\ud800b"}', None),
    "one member twice": (b'{"input": "a", "input": "b"}', None),
    "no JSON": (b"input=a", None),
    "nothing at all": (b"", "input"),
}


def test_what_cannot_be_honoured_is_refused_before_anything_is_held(web: Web, vectors: Vectors) -> None:
    for case, (changes, field) in REFUSED.items():
        body = changes if isinstance(changes, bytes) else {"model": "default", "input": "hello"} | changes
        response = web.call("POST", PATH, body, token="key")
        error = response.json()["error"]
        assert (response.status_code, error["type"]) == (400, "invalid_request_error"), case
        assert error["param"] == field, case
        assert "漢漢" not in error["message"], case
    assert "send the text itself" in web.call("POST", PATH, {"input": [1]}, token="key").json()["error"]["message"]
    assert (vectors.calls, used(web), web.rig.records()) == ([], 0, [])


def test_a_body_beyond_all_is_too_large(web: Web) -> None:
    response = web.call("POST", PATH, {"input": "x" * (2 * 1024 * 1024)}, token="key")
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    chat = web.call("POST", "/v1/chat/completions", {"messages": "x" * 70_000}, token="key")
    assert chat.status_code == 413, "elsewhere 64 KiB stay the limit"


def test_a_model_outside_the_plan(client: openai.OpenAI, vectors: Vectors) -> None:
    for model in ("text-embedding-3-large", "small", "gpt-4"):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.embeddings.create(model=model, input="hello")
        assert caught.value.code == "model_not_in_plan"
    assert vectors.calls == []


def test_a_plan_without_embeddings(web: Web, client: openai.OpenAI) -> None:
    web.rig.catalogue.embeddings = ()
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.embeddings.create(model="default", input="hello")
    assert caught.value.code == "no_embeddings"


def test_spent_quota_is_insufficient_quota_and_not_retried(web: Web, vectors: Vectors) -> None:
    tenant = replace(web.rig.tenant, overrides={"embedding_tokens_per_month": 8})
    web.rig.registry.tenants[tenant.tenant_id] = tenant
    web.rig.ledger.change_limits(tenant, web.rig.catalogue.entitlement(tenant).limits)
    sent: list[str] = []
    with openai.OpenAI(api_key="key", base_url=f"{web.base}/v1", max_retries=3) as client:
        client._client.event_hooks["request"].append(lambda request: sent.append(request.url.path))
        client.embeddings.create(model="default", input="hello")
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="default", input="hello")
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(sent) == 2
    assert (len(vectors.calls), used(web)) == (1, 5)


def test_who_may(web: Web) -> None:
    body = {"model": "default", "input": "hello"}
    answers = {token: web.call("POST", PATH, body, token=token).status_code for token in ("key", "editor", "colleague")}
    assert set(answers.values()) == {200}
    for token, status in (("", 401), ("mika", 403), ("reader", 403), (web.device(), 403)):
        assert web.call("POST", PATH, body, token=token).status_code == status
    assert web.call("GET", PATH, token="key").status_code == 405


def test_one_tenants_quota_is_not_anothers(web: Web) -> None:
    assert web.call("POST", PATH, {"model": "default", "input": "hello"}, token="stranger").status_code == 200
    assert used(web) == 0


def test_a_model_that_fails_is_a_status_that_sdks_retry(web: Web, client: openai.OpenAI, vectors: Vectors) -> None:
    vectors.faults = [ProviderFault("unauthorized", "sk-secret is wrong")]
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="default", input="hello")
    assert caught.value.status_code == 502
    assert "sk-secret" not in str(caught.value)
    vectors.faults = [ProviderFault("rejected", "x")]
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="default", input="hello")
    assert refused.value.code == "input_refused"
    assert used(web) == 0


def test_one_key_is_one_request(web: Web, vectors: Vectors) -> None:
    body, headers = {"model": "default", "input": "hello"}, {"idempotency-key": "k-1"}
    first, again = (web.call("POST", PATH, body, token="key", headers=headers) for _ in range(2))
    assert (first.content, again.headers["idempotency-replayed"]) == (again.content, "true")
    assert (len(vectors.calls), used(web)) == (1, 5)
    other = web.call("POST", PATH, body | {"input": "bye"}, token="key", headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_an_answer_too_long_to_be_kept_is_not_paid_twice(web: Web, vectors: Vectors) -> None:
    vectors.size = 3_000
    body = {"model": "default", "input": ["hello"] * 60, "encoding_format": "base64"}
    headers = {"idempotency-key": "k-2"}
    first, again = (web.call("POST", PATH, body, token="key", headers=headers) for _ in range(2))
    assert first.status_code == 200
    assert len(first.json()["data"]) == 60
    assert (again.status_code, again.json()["error"]["code"]) == (409, "answer_gone")
    web.rig.clock.skip(3_600)
    assert web.call("POST", PATH, body, token="key", headers=headers).status_code == 409
    assert (len(vectors.calls), used(web)) == (1, 300)


def test_models_tell_of_the_vectors_too(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["embedding_3_small", "large", "local_llm", "small"]
