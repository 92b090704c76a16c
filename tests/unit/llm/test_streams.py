"""Event streams cut at any byte, ours and the worker's."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.llm.providers.sse import MAX_EVENT, Decoder, ServerEvent, events
from workers.runpod.handler import Lines, Refused, request_of, take

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
cuts = st.lists(st.integers(0, 400), max_size=20)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(
    st.lists(st.tuples(st.sampled_from(["", "delta", "終わり"]), texts), max_size=6),
    cuts,
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(sent: list[tuple[str, str]], at: list[int], end: str) -> None:
    stream = "".join(
        f": a comment{end}" + (f"event: {name}{end}" if name else "") + f"data: {text}{end}{end}" for name, text in sent
    )
    got = list(events(pieces(stream.encode(), at)))
    assert got == [ServerEvent(name or "message", text) for name, text in sent]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_single_cut(end: str) -> None:
    stream = f"event: 終{end}data: é🏮{end}data: b{end}{end}".encode()
    for at in range(len(stream)):
        assert list(events([stream[:at], b"", stream[at:]])) == [ServerEvent("終", "é🏮\nb")]


def test_data_lines_are_joined_and_an_unfinished_event_is_none() -> None:
    assert list(events([b"data: a\ndata:b\n\ndata: lost\n"])) == [ServerEvent("message", "a\nb")]


@pytest.mark.parametrize("flood", [b"data: " + b"x" * (MAX_EVENT + 1), b"data: xxxxxxxxxxxx\n" * (MAX_EVENT // 10)])
def test_an_endless_event_is_refused(flood: bytes) -> None:
    with pytest.raises(ValueError, match="without end"):
        list(Decoder().feed(flood))


@given(st.lists(texts, max_size=8), cuts)
def test_the_worker_reads_whole_lines_wherever_they_are_cut(lines: list[str], at: list[int]) -> None:
    decoder = Lines()
    data = "".join(f"{line}\r\n" for line in lines).encode()
    assert [line for piece in pieces(data, at) for line in decoder.feed(piece)] == lines


def test_the_worker_refuses_what_is_no_utf8() -> None:
    with pytest.raises(Refused):
        Lines().feed(b"data: \xff\xfe\n")


@given(texts.filter(bool), texts)
def test_the_worker_takes_text_model_usage_and_end(text: str, model: str) -> None:
    end = {"finish_reason": None, "usage": None, "model": "asked"}
    chunk = {"model": model, "choices": [{"delta": {"content": text}, "finish_reason": None}], "usage": None}
    assert take(json.dumps(chunk), end) == [text]
    assert take(json.dumps({"choices": [{"delta": {}, "finish_reason": "length"}]}), end) == []
    assert take(json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "x": 1}}), end) == []
    assert end == {
        "finish_reason": "length",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        "model": model or "asked",
    }


@pytest.mark.parametrize(
    "data", ["", "[]", "{", '{"choices": 3}', '{"choices": [3]}', '{"usage": {"prompt_tokens": "x"}}']
)
def test_the_worker_refuses_unreadable_chunks(data: str) -> None:
    with pytest.raises(Refused) as refused:
        take(data, {"finish_reason": None, "usage": None, "model": ""})
    assert refused.value.document["code"] == "garbage"


@pytest.mark.parametrize(
    "given_input",
    [
        None,
        {},
        {"messages": []},
        {"messages": [{"role": "user"}]},
        {"prompt": "x", "max_tokens": 0},
        {"prompt": "x", "max_tokens": True},
        {"prompt": "x", "max_tokens": "9"},
        {"prompt": "x", "temperature": 3},
        {"prompt": "x", "temperature": float("nan")},
    ],
)
def test_the_worker_refuses_bad_jobs(given_input: object) -> None:
    with pytest.raises(Refused) as refused:
        request_of(given_input)
    assert refused.value.document["status"] == 400


def test_a_prompt_becomes_a_message() -> None:
    assert request_of({"prompt": "hi", "model": "m"})["messages"] == [{"role": "user", "content": "hi"}]
