"""Claude: the Messages API over plain HTTP (the SDK would cost 0.7 s of import)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noren.llm import tokens
from noren.llm.models import Cancel, Delta, Event, Finish, Prompt, ProviderFault, TimeLimits, TokenUsage
from noren.llm.providers import faults
from noren.llm.providers.http import new_session
from noren.llm.providers.sse import ServerEvent, events
from noren.llm.providers.watch import SLACK, Watch
from noren.plans.models import ModelPolicy

if TYPE_CHECKING:
    import requests

VERSION = "2023-06-01"
_REASONS: dict[str, Any] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class AnthropicProvider:
    """`api_key` is asked at the first call, so that nothing is fetched for routes that never come here."""

    name = "anthropic"

    def __init__(self, base_url: str, api_key: Callable[[], str]) -> None:
        self._url = f"{base_url.rstrip('/')}/v1/messages"
        self._api_key = api_key
        self._plain: set[str] = set()
        """Models that refuse sampling parameters (learned from their answers)."""

    @cached_property
    def _session(self) -> requests.Session:
        return new_session()

    def close(self) -> None:
        """Close the pooled connections."""
        if "_session" in self.__dict__:
            self._session.close()

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        """See `llm.models.Provider`."""
        if not self._api_key():
            raise ProviderFault("unauthorized", "no key is set")
        import requests

        _ = self._session  # making it takes a while that is not the upstream's
        answer = _Answer(prompt, policy.model)
        with Watch(limits, cancel) as watch:
            try:
                with self._open(policy.model, prompt, watch) as response:
                    for event in events(response.iter_content(None)):
                        if text := answer.take(event):
                            watch.produced()
                            yield Delta(text)
                        if answer.complete or watch.check():
                            break
            except (requests.RequestException, OSError) as error:
                if watch.why != "cancelled":
                    raise watch.fault(_broken(error, answer)) from error
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, no UTF-8, another shape
                raise watch.fault(answer.fault("garbage", f"unreadable event: {type(error).__name__}")) from error
            if answer.complete:
                yield answer.finish()
            elif watch.why == "cancelled":
                yield Finish("cancelled", answer.usage(), answer.model)
            else:
                raise watch.fault(answer.fault("cut", "the stream ended early"))

    def _open(self, model: str, prompt: Prompt, watch: Watch) -> requests.Response:
        sampling = model not in self._plain
        response = self._post(_body(model, prompt, sampling), watch)
        if response.status_code == 400 and sampling:
            # Newer models refuse sampling parameters; nothing tells but the refusal, which is free.
            response.close()
            response = self._post(_body(model, prompt, sampling=False), watch)
            if response.status_code == 200:
                self._plain.add(model)
        if response.status_code != 200:
            with response:
                raise faults.of_status(response.status_code, response.headers, _json(response))
        if "text/event-stream" not in response.headers.get("content-type", ""):
            response.close()
            raise ProviderFault("garbage", "the answer is no event stream")
        return response

    def _post(self, body: dict[str, Any], watch: Watch) -> requests.Response:
        headers = {"x-api-key": self._api_key(), "anthropic-version": VERSION}
        timeout = (watch.limits.connect, watch.limits.total + SLACK)
        return watch.bound(
            lambda: self._session.post(self._url, json=body, headers=headers, stream=True, timeout=timeout)
        )


class _Answer:
    """What has arrived of one answer."""

    def __init__(self, prompt: Prompt, model: str) -> None:
        self.model = model
        self.complete = False
        self._prompt = prompt
        self._text: list[str] = []
        self._reason = "end_turn"
        self._started = False
        self._input = self._cached = self._output = 0

    def take(self, event: ServerEvent) -> str:
        """Take in an event; the text that it brought, mostly ""."""
        data = json.loads(event.data)
        match data["type"]:
            case "message_start":
                self._started = True
                self.model = str(data["message"]["model"])
                self._count(data["message"]["usage"])
            case "content_block_delta" if data["delta"]["type"] == "text_delta":
                text = str(data["delta"]["text"])
                self._text.append(text)
                return text
            case "message_delta":
                self._reason = data["delta"].get("stop_reason") or self._reason
                self._count(data.get("usage", {}))
            case "message_stop":
                self.complete = True
            case "error":
                fault = faults.of_code(data, produced=bool(self._text))
                fault.usage = self.usage() if self._text else TokenUsage()
                raise fault
        return ""

    def _count(self, usage: dict[str, Any]) -> None:
        if "input_tokens" in usage:
            read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
            self._input, self._cached = int(usage["input_tokens"]) + int(read) + int(written), int(read)
        self._output = max(self._output, int(usage.get("output_tokens") or 0))

    def usage(self) -> TokenUsage:
        """The upstream's counts; of an unfinished answer, ours for what it did not come to say."""
        if self.complete:
            return TokenUsage(self._input, self._output, self._cached)
        if not self._started:
            return TokenUsage()
        output = max(self._output, tokens.estimate("".join(self._text)))
        return TokenUsage(self._input, output, self._cached, estimated=True)

    def finish(self) -> Finish:
        """The end of a complete answer."""
        return Finish(_REASONS.get(self._reason, "stop"), self.usage(), self.model)

    def fault(self, kind: Any, detail: str) -> ProviderFault:
        """A fault at this point of the answer."""
        produced = bool(self._text)
        return ProviderFault(kind, detail, produced=produced, usage=self.usage() if produced else None)


def _broken(error: Exception, answer: _Answer) -> ProviderFault:
    from requests import ConnectTimeout, ReadTimeout

    if isinstance(error, (ConnectTimeout, ReadTimeout)):
        return answer.fault("timeout", type(error).__name__)
    return answer.fault("cut" if answer._started else "connection", type(error).__name__)


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _body(model: str, prompt: Prompt, sampling: bool) -> dict[str, Any]:
    system = "\n\n".join(message.content for message in prompt.messages if message.role == "system")
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": prompt.max_tokens,
        "stream": True,
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages if m.role != "system"],
    }
    if system:
        body["system"] = system
    if sampling:
        body["temperature"] = min(prompt.temperature, 1.0)  # the scale of ours ends at 2, Claude's at 1
    return body
