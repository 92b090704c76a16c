"""The wire formats: what OpenAI, vLLM and Anthropic answer, well and in error."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from typing import Any

from aiohttp import web

from local.llm import ENDPOINTS
from local.llm.embeddings import Wanted
from local.llm.endpoint import Answer, Cut, Endpoint, Fault, Seen
from noren.llm.models import Message

_ENDPOINTS = web.AppKey("endpoints", dict[str, Endpoint])
_KEY = web.AppKey("key", str)
_ANTHROPIC_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
_ANTHROPIC_TYPES |= {429: "rate_limit_error", 500: "api_error", 402: "billing_error"}


def make_app(api_key: str, pace_ms: float) -> web.Application:
    """The server. Without `api_key` every key is refused, as by the real ones."""
    app = web.Application(client_max_size=4 << 20)
    app[_KEY] = api_key
    app[_ENDPOINTS] = {name: Endpoint(name, speaks, pace_ms) for name, speaks in ENDPOINTS.items()}
    app.add_routes(
        [
            web.get("/_stats", _stats),
            web.post("/_control", _control),
            web.post("/{endpoint}/v1/chat/completions", _chat_completions),
            web.post("/{endpoint}/v1/embeddings", _embeddings),
            web.get("/{endpoint}/v1/models", _models),
            web.post("/{endpoint}/v1/messages", _messages),
            web.route("*", "/{endpoint}/{tail:.*}", _unknown),
        ]
    )
    return app


async def _stats(request: web.Request) -> web.Response:
    return web.json_response({name: each.stats() for name, each in request.app[_ENDPOINTS].items()})


async def _control(request: web.Request) -> web.Response:
    change = await request.json()
    name = change.get("endpoint", "*")
    chosen = [each for each in request.app[_ENDPOINTS].values() if name in ("*", each.name)]
    if not chosen:
        return web.json_response({"error": f"no endpoint {name}"}, status=404)
    try:
        for each in chosen:
            each.control(change)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({each.name: each.fault for each in chosen})


async def _unknown(request: web.Request) -> web.Response:
    endpoint = _endpoint(request)
    return _error(endpoint, 404, "not_found", f"Unknown request URL: {request.method} {request.path}")


async def _models(request: web.Request) -> web.Response:
    endpoint = _endpoint(request)
    if refusal := _refuse_key(request, endpoint):
        return refusal
    model = {"id": endpoint.model, "object": "model", "created": int(time.time()), "owned_by": "noren"}
    return web.json_response({"object": "list", "data": [model]})


async def _chat_completions(request: web.Request) -> web.StreamResponse:
    endpoint = _endpoint(request)
    if endpoint.speaks == "anthropic":
        return await _unknown(request)
    if refusal := _refuse_key(request, endpoint):
        return refusal
    try:
        body = await request.json()
        messages = [_message(each, ("system", "developer", "user", "assistant")) for each in body["messages"]]
        max_tokens = int(body.get("max_completion_tokens") or body.get("max_tokens") or 4096)
        model = str(body["model"])
        if not messages or max_tokens < 1 or not 0 <= float(body.get("temperature", 1)) <= 2:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        return _error(endpoint, 400, "invalid_value", "The request is not valid.")
    seen, fault = endpoint.begin(model, max_tokens)
    try:
        if failure := await _fail(endpoint, fault, body):
            seen.outcome = str(fault)
            return failure
        answer = Answer.to(endpoint, seen, fault, messages, max_tokens)
        if body.get("stream"):
            usage_wanted = bool((body.get("stream_options") or {}).get("include_usage"))
            return await _openai_stream(request, answer, usage_wanted)
        return await _openai_whole(answer)
    except (asyncio.CancelledError, ConnectionError):
        seen.outcome = "disconnected"
        raise


async def _openai_whole(answer: Answer) -> web.Response:
    try:
        text = "".join([piece async for piece in answer.emit()])
    except Cut:
        return _error(answer.endpoint, 500, "server_error", "The server had an error.")
    answer.seen.outcome = "ok"
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.reason}
    document = {**_openai_head(answer, "chat.completion"), "choices": [choice], "usage": _openai_usage(answer)}
    return web.json_response(document)


async def _openai_stream(request: web.Request, answer: Answer, usage_wanted: bool) -> web.StreamResponse:
    response = await _open_stream(request)
    head = _openai_head(answer, "chat.completion.chunk")
    extra: dict[str, Any] = {"usage": None} if usage_wanted else {}

    async def send(delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        await response.write(_data({**head, "choices": [choice], **extra}))

    if answer.fault == "garbage":
        return await _garbage(response, answer.seen)
    await send({"role": "assistant", "content": ""})
    try:
        async for piece in answer.emit():
            await send({"content": piece})
    except Cut:
        if answer.fault == "error":
            message = {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}
            await response.write(_data({"error": message}))
        return _cut(request, response, answer)
    await send({}, answer.reason)
    if usage_wanted:
        await response.write(_data({**head, "choices": [], "usage": _openai_usage(answer)}))
    await response.write(b"data: [DONE]\n\n")
    answer.seen.outcome = "ok"
    return response


async def _embeddings(request: web.Request) -> web.StreamResponse:
    endpoint = _endpoint(request)
    if endpoint.speaks == "anthropic":
        return await _unknown(request)
    if refusal := _refuse_key(request, endpoint):
        return refusal
    try:
        wanted = Wanted.of(await request.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return _error(endpoint, 400, "invalid_value", "The request is not valid.")
    seen, fault = endpoint.begin(wanted.model, 0)
    try:
        if failure := await _fail(endpoint, fault, {}):
            seen.outcome = str(fault)
            return failure
        await asyncio.sleep(endpoint.first_ms / 1000)
        body = json.dumps(await asyncio.to_thread(wanted.answer, endpoint.embedding_model)).encode()
        if fault in ("cut", "stall", "garbage"):
            return await _half(request, seen, fault, body)
    except (asyncio.CancelledError, ConnectionError):
        seen.outcome = "disconnected"
        raise
    seen.tokens, seen.outcome = wanted.billed, "ok"
    return web.Response(body=body, content_type="application/json")


async def _half(request: web.Request, seen: Seen, fault: Fault, body: bytes) -> web.StreamResponse:
    """Half an answer: `stall` leaves the caller waiting, `cut` hangs up, `garbage` ends as if that were all."""
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if fault == "stall":
        await asyncio.Event().wait()
    seen.outcome = fault
    if fault == "cut" and request.transport is not None:
        request.transport.abort()
    return response


async def _messages(request: web.Request) -> web.StreamResponse:
    endpoint = _endpoint(request)
    if endpoint.speaks != "anthropic":
        return await _unknown(request)
    if refusal := _refuse_key(request, endpoint):
        return refusal
    try:
        body = await request.json()
        messages = [_message(each, ("user", "assistant")) for each in body["messages"]]
        if "system" in body:
            messages.insert(0, Message("system", _text(body["system"])))
        max_tokens, model = int(body["max_tokens"]), str(body["model"])
        if (
            max_tokens < 1
            or not 0 <= float(body.get("temperature", 1)) <= 1
            or "anthropic-version" not in request.headers
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        return _error(endpoint, 400, "invalid_value", "The request is not valid.")
    seen, fault = endpoint.begin(model, max_tokens)
    try:
        if failure := await _fail(endpoint, fault, body):
            seen.outcome = str(fault)
            return failure
        answer = Answer.to(endpoint, seen, fault, messages, max_tokens)
        return await (_anthropic_stream(request, answer) if body.get("stream") else _anthropic_whole(answer))
    except (asyncio.CancelledError, ConnectionError):
        seen.outcome = "disconnected"
        raise


async def _anthropic_whole(answer: Answer) -> web.Response:
    try:
        text = "".join([piece async for piece in answer.emit()])
    except Cut:
        return _error(answer.endpoint, 500, "api_error", "Internal server error")
    answer.seen.outcome = "ok"
    message = _anthropic_message(answer) | {
        "content": [{"type": "text", "text": text}],
        "stop_reason": _stop_reason(answer),
        "usage": {"input_tokens": answer.prompt_tokens, "output_tokens": len(answer.pieces)},
    }
    return web.json_response(message)


async def _anthropic_stream(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = await _open_stream(request)

    async def send(kind: str, **members: Any) -> None:
        await response.write(f"event: {kind}\n".encode() + _data({"type": kind, **members}))

    if answer.fault == "garbage":
        return await _garbage(response, answer.seen)
    await send("message_start", message=_anthropic_message(answer))
    await send("content_block_start", index=0, content_block={"type": "text", "text": ""})
    await send("ping")
    try:
        async for piece in answer.emit():
            await send("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    except Cut:
        if answer.fault == "error":
            await send("error", error={"type": "overloaded_error", "message": "Overloaded"})
        return _cut(request, response, answer)
    await send("content_block_stop", index=0)
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    await send("message_delta", delta=delta, usage={"output_tokens": len(answer.pieces)})
    await send("message_stop")
    answer.seen.outcome = "ok"
    return response


async def _open_stream(request: web.Request) -> web.StreamResponse:
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


async def _fail(endpoint: Endpoint, fault: Fault | None, body: dict[str, Any]) -> web.Response | None:
    match fault:
        case "no_sampling" if "temperature" in body:
            return _error(endpoint, 400, "unsupported_value", "Unsupported value: 'temperature'.")
        case "hang":
            await asyncio.Event().wait()
        case "401":
            return _error(endpoint, 401, "invalid_api_key", "Incorrect API key provided.")
        case "429":
            response = _error(endpoint, 429, "rate_limit_exceeded", "Rate limit reached.")
            response.headers["retry-after"] = "7"
            return response
        case "quota":
            # Claude tells an empty purse by a status of its own, OpenAI by a code.
            status = 402 if endpoint.speaks == "anthropic" else 429
            return _error(endpoint, status, "insufficient_quota", "You exceeded your current quota.")
        case "500":
            return _error(endpoint, 500, "server_error", "The server had an error.")
    return None


async def _garbage(response: web.StreamResponse, seen: Seen) -> web.StreamResponse:
    seen.outcome = "garbage"
    await response.write(b'data: {"this is": no JSON\n\ndata: \xff\xfe\n\n')
    return response


def _cut(request: web.Request, response: web.StreamResponse, answer: Answer) -> web.StreamResponse:
    answer.seen.outcome = str(answer.fault)
    if answer.fault == "cut" and request.transport is not None:
        request.transport.abort()
    return response


def _endpoint(request: web.Request) -> Endpoint:
    endpoint = request.app[_ENDPOINTS].get(request.match_info["endpoint"])
    if endpoint is None:
        raise web.HTTPNotFound
    return endpoint


def _refuse_key(request: web.Request, endpoint: Endpoint) -> web.Response | None:
    if endpoint.speaks == "vllm":
        return None
    given = request.headers.get("x-api-key", "")
    if endpoint.speaks == "openai":
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if given and hmac.compare_digest(given.encode(), request.app[_KEY].encode()):
        return None
    return _error(endpoint, 401, "invalid_api_key", "Incorrect API key provided.")


def _error(endpoint: Endpoint, status: int, code: str, message: str) -> web.Response:
    if endpoint.speaks == "anthropic":
        inner = {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": message}
        return web.json_response(
            {"type": "error", "error": inner, "request_id": f"req_{secrets.token_hex(12)}"}, status=status
        )
    kind = "invalid_request_error" if status < 429 else "requests" if status == 429 else "server_error"
    kind = "insufficient_quota" if code == "insufficient_quota" else kind
    return web.json_response({"error": {"message": message, "type": kind, "param": None, "code": code}}, status=status)


def _message(given: dict[str, Any], roles: tuple[str, ...]) -> Message:
    role = given["role"]
    if role not in roles:
        raise ValueError(role)
    return Message("system" if role == "developer" else role, _text(given["content"]))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def _openai_head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(answer.seen.at),
        "model": answer.endpoint.model,
    }


def _openai_usage(answer: Answer) -> dict[str, Any]:
    spent = len(answer.pieces)
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": spent,
        "total_tokens": answer.prompt_tokens + spent,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    }


def _anthropic_message(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": answer.endpoint.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": answer.prompt_tokens, "output_tokens": 1},
    }


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.reason == "length" else "end_turn"
