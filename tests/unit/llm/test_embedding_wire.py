"""What upstreams may answer to a request for vectors, and what we make of it."""

from __future__ import annotations

import json
import math
import struct
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.llm.models import Embedded, ProviderFault
from noren.llm.providers.embedding_wire import bound, estimated, read

FLOATS = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=2)


def packed(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def row(index: int, numbers: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": numbers}


def read_document(document: Any, texts: tuple[str, ...] = ("one", "two"), dimensions: int | None = None) -> Embedded:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read(body, texts, dimensions, "asked")


@given(FLOATS, FLOATS, st.booleans(), st.booleans())
def test_numbers_and_base64_are_one(one: list[float], two: list[float], turned: bool, as_text: bool) -> None:
    rows = [row(at, b64encode(packed(each)).decode() if as_text else each) for at, each in enumerate((one, two))]
    document = {"data": rows[::-1] if turned else rows, "model": "m", "usage": {"prompt_tokens": 7}}
    made = read_document(document)
    assert made == Embedded((packed(one), packed(two)), 7, "m")
    assert made.dimensions == 2


def test_without_counts_ours_are_used_and_said_to_be() -> None:
    made = read_document({"data": [row(0, [1, 0]), row(1, [0, 1])]})
    assert (made.tokens, made.estimated, made.model) == (estimated(["one", "two"]), True, "asked")


def test_a_bill_beyond_reason_is_bounded() -> None:
    texts = ("one", "営業")
    made = read_document({"data": [row(0, [1.0]), row(1, [1.0])], "usage": {"prompt_tokens": 10**40}}, texts)
    assert made.tokens == bound(texts) == 3 + 2 + 6 + 2


GOOD = [row(0, [1.0, 2.0]), row(1, [3.0, 4.0])]
HOSTILE: dict[str, Any] = {
    "no JSON": b"<html>Bad gateway</html>",
    "no UTF-8": b"\xff\xfe",
    "half": b'{"data": [{"index": 0, "embe',
    "a list": [],
    "a number": 7,
    "nothing": None,
    "no data": {"model": "m"},
    "data of another kind": {"data": "rows"},
    "rows of another kind": {"data": [1, 2]},
    "too few": {"data": GOOD[:1]},
    "too many": {"data": [*GOOD, row(2, [1.0, 1.0])]},
    "none": {"data": []},
    "one twice": {"data": [GOOD[0], GOOD[0]]},
    "one twice and the other": {"data": [GOOD[0], *GOOD]},
    "a place that there is not": {"data": [row(0, [1.0]), row(5, [1.0])]},
    "two sizes": {"data": [row(0, [1.0, 2.0]), row(1, [1.0])]},
    "empty": {"data": [row(0, []), row(1, [])]},
    "texts": {"data": [row(0, ["1"]), row(1, ["2"])]},
    "truths": {"data": [row(0, [True]), row(1, [False])]},
    "nulls": {"data": [row(0, [None]), row(1, [None])]},
    "not finite": b'{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1.0]}]}',
    "beyond float32": {"data": [row(0, [1e300]), row(1, [1.0])]},
    "an integer beyond all": {"data": [row(0, [10**400]), row(1, [1.0])]},
    "no base64": {"data": [row(0, "not base64!"), row(1, "AAAA")]},
    "half a number": {"data": [row(0, b64encode(b"abc").decode()), row(1, b64encode(b"abc").decode())]},
    "hidden infinity": {"data": [row(at, b64encode(packed([math.inf])).decode()) for at in (0, 1)]},
    "counts of another kind": {"data": GOOD, "usage": {"prompt_tokens": "many"}},
    "usage of another kind": {"data": GOOD, "usage": [1]},
    "deep": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_answer_is_garbage_that_was_billed(case: str) -> None:
    with pytest.raises(ProviderFault) as raised:
        read_document(HOSTILE[case])
    fault = raised.value
    assert (fault.kind, fault.produced) == ("garbage", True)
    assert fault.usage.input == estimated(["one", "two"])
    assert "Bad gateway" not in str(fault), "details name no foreign text"


def test_another_size_than_was_asked_for_is_garbage() -> None:
    with pytest.raises(ProviderFault):
        read_document({"data": GOOD}, dimensions=3)
    assert read_document({"data": GOOD}, dimensions=2).dimensions == 2
