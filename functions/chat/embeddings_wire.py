"""OpenAI's wire format for vectors: requests in, numbers or their base64 out."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator

from noren.edge.respond import to_json
from noren.llm.models import Embedded, numbers

MAX_BODY = 2 * 1024 * 1024
"""Bytes: as many tokens as a request may have, with room for escapes."""


class EmbeddingBody(BaseModel):
    """The request. What is not named here is a hint that changes nothing, and is ignored."""

    model_config = ConfigDict(extra="ignore")

    input: StrictStr | list[StrictStr]
    model: Annotated[StrictStr, Field(max_length=100)] = ""
    """An embedding model's id, or the provider's name for it; `default` and "": the plan's own."""
    dimensions: Annotated[StrictInt, Field(ge=1, le=16_000)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[StrictStr, Field(max_length=512)] | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, given: Any) -> Any:
        """One message instead of one for each of a thousand wrong items."""
        if isinstance(given, list):
            if any(isinstance(each, int | list) for each in given):
                raise ValueError("token arrays are not taken: send the text itself")
            if not all(isinstance(each, str) for each in given):
                raise ValueError("must be a text or a list of texts")
        elif not isinstance(given, str):
            raise ValueError("must be a text or a list of texts")
        return given

    @property
    def texts(self) -> list[str]:
        """The input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class EmbeddingRow(BaseModel):
    """One text's vector: numbers, or float32 in little-endian order as base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Token counts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(BaseModel):
    """The answer, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[EmbeddingRow]
    model: str
    usage: EmbeddingUsage


def answer_json(made: Embedded, encoding_format: Literal["float", "base64"] | None) -> bytes:
    """An `EmbeddingAnswer`, written by hand: there may be millions of numbers."""
    write = _base64 if encoding_format == "base64" else _numbers
    rows = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, write(vector))
        for index, vector in enumerate(made.vectors)
    )
    usage = to_json(EmbeddingUsage(prompt_tokens=made.tokens, total_tokens=made.tokens))
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (rows, to_json(made.model), usage)


def _base64(vector: bytes) -> bytes:
    return b'"' + b64encode(vector) + b'"'


def _numbers(vector: bytes) -> bytes:
    """Nine digits tell every float32 from its neighbours."""
    values = numbers(vector)
    return b"[" + (b"%.9g," * len(values) % values)[:-1] + b"]"
