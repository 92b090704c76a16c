"""A mock of both upstreams that costs next to nothing: OpenAI's chat completions, and RunPod's job API.

    python -m bench.upstream PORT

It answers at once: with one text of twenty words, or as many deltas. A RunPod job is complete at its first look, and
its `/status` names the execution time that `/stream` leaves out, as RunPod's own do.
"""

from __future__ import annotations

import asyncio
import json
import sys

WORDS = ["The ", "shop ", *["is ", "open ", "from ", "nine ", "to ", "six "] * 3]
ANSWER = "".join(WORDS)
MODEL = "bench-7f3a"
USAGE = {"prompt_tokens": 50, "completion_tokens": len(WORDS), "total_tokens": 50 + len(WORDS)}


def _json(value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(choices: list[object], **more: object) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": MODEL}
    return b"data: " + json.dumps(head | {"choices": choices} | more).encode() + b"\n\n"


def _choice(delta: dict[str, str], reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _sse(events: list[bytes]) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in events) + b"0\r\n\r\n"


PLAIN = _json(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
STREAM = _sse(
    [
        _chunk([_choice({"role": "assistant", "content": ""})]),
        *(_chunk([_choice({"content": word})]) for word in WORDS),
        _chunk([_choice({}, "stop")]),
        _chunk([], usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)
RUN = _json({"id": "bench-job-u1", "status": "IN_QUEUE"})
_END = {"finish_reason": "stop", "usage": USAGE, "model": MODEL}
LOOK = _json(
    {
        "status": "COMPLETED",
        "stream": [{"metrics": {}, "output": each} for each in (*({"delta": word} for word in WORDS), _END)],
    }
)
STATUS = _json({"id": "bench-job-u1", "status": "COMPLETED", "delayTime": 3, "executionTime": 250, "workerId": "bench"})

DONE = _json(
    {
        "id": "bench-job-u1",
        "status": "COMPLETED",
        "delayTime": 3,
        "executionTime": 250,
        "workerId": "bench",
        "output": [*({"delta": word} for word in WORDS), _END],
    }
)


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            total = end + 4 + int(length or 0)
            if len(self._rest) < total:
                return
            body, self._rest = self._rest[end + 4 : total], self._rest[total:]
            self._transport.write(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    path = head.split(b" ", 2)[1]
    if path.endswith(b"/chat/completions"):
        return STREAM if b'"stream":true' in body.replace(b" ", b"") else PLAIN
    if path.endswith(b"/run"):
        return RUN
    if b"/runsync" in path:
        return DONE
    if b"/stream/" in path:
        return LOOK
    if b"/status/" in path:
        return STATUS
    return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
