"""OpenAI by its own SDK, and any service that speaks its wire format (vLLM, Ollama, LM Studio)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noren.llm import tokens
from noren.llm.models import (
    Cancel,
    Delta,
    Embedded,
    Event,
    FaultKind,
    Finish,
    Message,
    Prompt,
    ProviderFault,
    TimeLimits,
    TokenUsage,
)
from noren.llm.providers import embedding_wire, faults
from noren.llm.providers.sse import events
from noren.llm.providers.watch import SLACK, Watch, attach
from noren.plans.models import ModelPolicy, ProviderName

if TYPE_CHECKING:
    import httpx2
    from openai import OpenAI, Stream
    from openai.types.chat import ChatCompletionChunk

_REASONS: dict[str, Any] = {"length": "length", "content_filter": "content_filter"}


class OpenAIProvider:
    """One service. `name` tells OpenAI itself from a compatible one (`local_llm`), which may want no key."""

    def __init__(self, base_url: str, api_key: Callable[[], str], name: ProviderName = "openai") -> None:
        self.name: str = name
        self._base_url = base_url
        self._api_key = api_key
        self._plain: set[str] = set()
        """Models that refuse sampling parameters (learned from their answers)."""

    @cached_property
    def _client(self) -> OpenAI:
        from openai import OpenAI

        # The key is asked for each call: a new one needs no new container. A compatible server may take any.
        key: Callable[[], str] = lambda: self._api_key() or "none"  # noqa: E731
        return OpenAI(api_key=key, base_url=self._base_url, max_retries=0, http_client=_http_client())

    def close(self) -> None:
        """Close the pooled connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        """See `llm.models.Provider`."""
        self._make_ready()
        import httpx2
        import openai

        answer = _Answer(prompt.messages, policy.model)
        with Watch(limits, cancel) as watch:
            try:
                with self._open(policy.model, prompt, watch) as stream:
                    # The SDK would make an object tree of every piece, which costs more than all else of an answer.
                    for event in events(stream.response.iter_bytes()):
                        if event.data.startswith("[DONE]"):
                            break
                        if text := answer.take(json.loads(event.data)):
                            watch.produced()
                            yield Delta(text)
                        if watch.check():
                            break
            except openai.APIStatusError as error:
                raise faults.of_status(error.status_code, error.response.headers, error.body) from error
            except (openai.APITimeoutError, httpx2.TimeoutException) as error:
                raise watch.fault(answer.fault("timeout", type(error).__name__)) from error
            except openai.APIConnectionError as error:
                if watch.why != "cancelled" and not answer.reason:
                    kind = "cut" if answer.started else "connection"
                    raise watch.fault(answer.fault(kind, type(error).__name__)) from error
            except (httpx2.TransportError, OSError) as error:
                if watch.why != "cancelled" and not answer.reason:
                    raise watch.fault(answer.fault("cut", type(error).__name__)) from error
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, no UTF-8, another shape
                raise watch.fault(answer.fault("garbage", f"unreadable chunk: {type(error).__name__}")) from error
            if answer.reason:
                yield Finish(_REASONS.get(answer.reason, "stop"), answer.usage(), answer.model)
            elif watch.why == "cancelled":
                yield Finish("cancelled", answer.usage(), answer.model)
            else:
                kind = "cut" if answer.started else "garbage"
                raise watch.fault(answer.fault(kind, "the stream ended early"))

    def embed(self, policy: ModelPolicy, texts: Sequence[str], dimensions: int | None, limits: TimeLimits) -> Embedded:
        """See `llm.models.Embedding`."""
        self._make_ready()
        import httpx2
        import openai

        options: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}
        timeout = httpx2.Timeout(limits.total + SLACK, connect=limits.connect, pool=limits.connect)
        asked = self._client.embeddings.with_streaming_response.create(
            model=policy.model, input=list(texts), encoding_format="base64", timeout=timeout, **options
        )
        is_taken = False
        with Watch(limits, lambda: False) as watch, ExitStack() as stack:
            try:
                response = watch.bound(lambda: stack.enter_context(asked))
                is_taken = True
                watch.produced()
                body = response.read()
            except openai.APIStatusError as error:
                raise faults.of_status(error.status_code, error.response.headers, error.body) from error
            except (openai.APIConnectionError, httpx2.TransportError, OSError) as error:
                detail = type(error).__name__
                if watch.check() or isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
                    kind: FaultKind = "timeout"
                else:
                    kind = "cut" if is_taken else "connection"
                fault = embedding_wire.lost(kind, detail, texts) if is_taken else ProviderFault(kind, detail)
                raise fault from error
        return embedding_wire.read(body, texts, dimensions, policy.model)

    def _make_ready(self) -> None:
        """Raise ProviderFault where nobody can be called; make the client, which takes a while that is our own."""
        if not self._base_url:
            raise ProviderFault("not_found", f"no URL is set for {self.name}")
        if self.name == "openai" and not self._api_key():
            raise ProviderFault("unauthorized", "no key is set")
        _ = self._client

    def _open(self, model: str, prompt: Prompt, watch: Watch) -> Stream[ChatCompletionChunk]:
        import openai

        sampling = model not in self._plain
        try:
            return self._create(model, prompt, watch, sampling)
        except openai.BadRequestError:
            if not sampling:
                raise
        # Reasoning models refuse sampling parameters; nothing tells but the refusal, which is free.
        stream = self._create(model, prompt, watch, sampling=False)
        self._plain.add(model)
        return stream

    def _create(self, model: str, prompt: Prompt, watch: Watch, sampling: bool) -> Stream[ChatCompletionChunk]:
        import httpx2

        # Compatible servers know the bound by its old name; those that ignore the new one would answer without any.
        bound = "max_completion_tokens" if self.name == "openai" else "max_tokens"
        options: dict[str, Any] = {bound: prompt.max_tokens}
        if sampling:
            options["temperature"] = prompt.temperature
        limits = watch.limits
        timeout = httpx2.Timeout(limits.total + SLACK, connect=limits.connect, pool=limits.connect)
        messages: Any = [{"role": message.role, "content": message.content} for message in prompt.messages]
        stream: Stream[ChatCompletionChunk] = watch.bound(
            lambda: self._client.chat.completions.create(
                model=model,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                timeout=timeout,
                **options,
            )
        )
        return stream


class _Answer:
    """What has arrived of one answer."""

    def __init__(self, messages: tuple[Message, ...], model: str) -> None:
        self.model = model
        self.reason = ""
        self.started = False
        self._messages = messages
        self._text: list[str] = []
        self._usage: TokenUsage | None = None

    @property
    def produced(self) -> bool:
        """Whether any text has arrived."""
        return bool(self._text)

    def take(self, chunk: dict[str, Any]) -> str:
        """Take in a chunk; the text that it brought, "" for those with the role, the reason or the counts.

        Raises ProviderFault for an error document, KeyError, TypeError or AttributeError for what is no chunk.
        """
        if error := chunk.get("error"):
            fault = faults.of_code(error, produced=self.produced)
            fault.usage = self.usage() if self.produced else TokenUsage()
            raise fault
        choices = chunk["choices"]
        self.started = True
        self.model = str(chunk.get("model") or self.model)
        if usage := chunk.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            self._usage = TokenUsage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]), int(cached))
        if not choices:
            return ""
        self.reason = str(choices[0].get("finish_reason") or self.reason)
        delta = choices[0].get("delta") or {}
        text = str(delta.get("content") or delta.get("refusal") or "")
        if text:
            self._text.append(text)
        return text

    def usage(self) -> TokenUsage:
        """The upstream's counts; ours where it gave none (it was cut off, or can't count)."""
        if self._usage:
            return self._usage
        if not self.started:
            return TokenUsage()
        output = tokens.estimate("".join(self._text))
        return TokenUsage(tokens.prompt_tokens(self._messages), output, estimated=True)

    def fault(self, kind: Any, detail: str) -> ProviderFault:
        """A fault at this point of the answer."""
        return ProviderFault(kind, detail, produced=self.produced, usage=self.usage() if self.produced else None)


def _http_client() -> httpx2.Client:
    """The SDK's own client, over connections that report their sockets to the current Watch."""
    import httpcore2
    import httpx2
    from openai import DefaultHttpxClient

    class Stream(httpcore2.NetworkStream):
        def __init__(self, inner: httpcore2.NetworkStream) -> None:
            self._inner = inner

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            attach(self._inner.get_extra_info("socket"))
            return self._inner.read(max_bytes, timeout)

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._inner.write(buffer, timeout)

        def close(self) -> None:
            self._inner.close()

        def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
            return Stream(self._inner.start_tls(*args, **kwargs))

        def get_extra_info(self, info: str) -> Any:
            return self._inner.get_extra_info(info)

    class Backend(httpcore2.SyncBackend):
        def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
            return Stream(super().connect_tcp(*args, **kwargs))

    class Transport(httpx2.HTTPTransport):
        def __init__(self) -> None:
            context = httpx2.create_ssl_context()
            super().__init__(verify=context)
            # There is no public way to give a transport its network backend.
            self._pool = httpcore2.ConnectionPool(
                ssl_context=context,
                max_connections=64,
                max_keepalive_connections=16,
                keepalive_expiry=60,
                network_backend=Backend(),
            )

    return DefaultHttpxClient(transport=Transport())
