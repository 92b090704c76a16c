"""Our RunPod worker: passes a job to `vllm serve` on localhost and streams its answer back.

In:  {"messages": [{"role", "content"}…] or "prompt": str, "max_tokens": int, "temperature": float, "model": str}
Out: {"delta": str}…, then {"finish_reason", "usage": {"prompt_tokens", "completion_tokens"}, "model"}.
A failed job's error is the JSON text {"status": <HTTP status>, "code": <stable code>, "message": …}.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

BASE_URL = os.environ.get("VLLM_BASE_URL", "http://127.0.0.1:8000/v1").rstrip("/")
MODEL = os.environ.get("VLLM_MODEL", "")
"""What `vllm serve` knows its model by; "" passes on the job's own `model`."""
CONCURRENCY = int(os.environ.get("WORKER_CONCURRENCY", "16"))
"""Jobs that vLLM batches together on this worker's GPU."""
MAX_LINE = 1 << 20

_session: aiohttp.ClientSession | None = None


class Refused(Exception):
    """A failure to be reported: `status` as HTTP would say it, and a stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.document = {"status": status, "code": code, "message": message}


class Lines:
    """Whole lines out of bytes that may be cut anywhere, inside a UTF-8 character too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes. Raises Refused for an endless one or one that is no UTF-8."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        try:
            whole = [line.decode().rstrip("\r") for line in lines]
        except UnicodeDecodeError:
            raise Refused(502, "garbage", "the model server sent no UTF-8") from None
        if len(self._rest) > MAX_LINE:
            raise Refused(502, "garbage", "the model server sent an endless line")
        return whole


async def handler(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """One job. A cancelled job's task is cancelled, which closes the request, and vLLM stops generating."""
    try:
        async for piece in answer(request_of(job["input"])):
            yield piece
    except Refused as refused:
        yield {"error": json.dumps(refused.document)}
    except (aiohttp.ClientError, TimeoutError) as error:
        unreachable = Refused(502, "unreachable", f"the model server broke off: {type(error).__name__}")
        yield {"error": json.dumps(unreachable.document)}


def request_of(given: Any) -> dict[str, Any]:
    """The model server's request for a job's input. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused(400, "invalid_input", "input must be an object")
    messages = given.get("messages")
    if messages is None and isinstance(given.get("prompt"), str):
        messages = [{"role": "user", "content": given["prompt"]}]
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise Refused(400, "invalid_input", "messages must be a list of {role, content}, or prompt a text")
    max_tokens, temperature = given.get("max_tokens", 512), given.get("temperature", 0.7)
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise Refused(400, "invalid_input", "max_tokens must be a positive integer")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise Refused(400, "invalid_input", "temperature must lie between 0 and 2")
    return {
        "model": MODEL or str(given.get("model", "")),
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def answer(body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The answer's pieces as the model server sends them. Raises Refused and aiohttp's errors."""
    end: dict[str, Any] = {"finish_reason": None, "usage": None, "model": body["model"]}
    async with _client().post(f"{BASE_URL}/chat/completions", json=body) as response:
        if response.status != 200:
            raise Refused(response.status, "model_server", f"the model server answered {response.status}")
        lines = Lines()
        async for chunk in response.content.iter_any():
            for line in lines.feed(chunk):
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    break
                for text in take(data, end):
                    yield {"delta": text}
    if end["finish_reason"] is None:
        raise Refused(502, "cut", "the model server ended early")
    yield end


def take(data: str, end: dict[str, Any]) -> list[str]:
    """The text in one chunk ([] or one); what it says about the answer's end goes to `end`. Raises Refused."""
    try:
        chunk = json.loads(data)
        if "error" in chunk:
            raise Refused(502, "model_server", "the model server failed within the answer")
        end["model"] = chunk.get("model") or end["model"]
        if usage := chunk.get("usage"):
            end["usage"] = {name: int(usage[name]) for name in ("prompt_tokens", "completion_tokens")}
        choice = chunk["choices"][0] if chunk.get("choices") else {}
        end["finish_reason"] = choice.get("finish_reason") or end["finish_reason"]
        text = choice.get("delta", {}).get("content")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(502, "garbage", "the model server sent an unreadable chunk") from None
    return [text] if text else []


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
    )


def _client() -> aiohttp.ClientSession:
    global _session
    if _session is None or _session.closed:
        # RunPod's execution limit ends a job; here only a dead server has to be noticed.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
        _session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=CONCURRENCY))
    return _session


def concurrency(_current: int) -> int:
    """Jobs that this worker takes at once."""
    return CONCURRENCY


if __name__ == "__main__":
    import runpod

    runpod.serverless.start({"handler": handler, "concurrency_modifier": concurrency, "return_aggregate_stream": True})
