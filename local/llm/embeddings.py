"""A request for vectors as OpenAI takes it, and its answer."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from local.llm import ngrams
from noren.llm import tokens

MOST_TEXTS = 2_048
MOST_TOKENS_OF_A_TEXT = 8_192
MOST_TOKENS = 300_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. Token arrays are not taken here: nobody of ours sends any."""

    model: str
    texts: list[str]
    dimensions: int
    encoding_format: str

    @classmethod
    def of(cls, body: dict[str, Any]) -> Wanted:
        """The body, checked. Raises ValueError, KeyError, TypeError, AttributeError for what OpenAI would refuse."""
        model, given = str(body["model"]), body["input"]
        texts = [given] if isinstance(given, str) else list(given)
        sizes = [tokens.estimate(text) for text in texts]
        if not 1 <= len(texts) <= MOST_TEXTS or not all(texts):
            raise ValueError("too few or too many")
        if max(sizes) > MOST_TOKENS_OF_A_TEXT or sum(sizes) > MOST_TOKENS:
            raise ValueError("too long")
        full = ngrams.SIZES.get(model, ngrams.SIZE)
        dimensions = int(body.get("dimensions", full))
        if not 1 <= dimensions <= full or ("dimensions" in body and model not in ngrams.SIZES):
            raise ValueError("no such size")
        encoding_format = body.get("encoding_format", "float")
        if encoding_format not in ("float", "base64"):
            raise ValueError("no such format")
        return cls(model, texts, dimensions, encoding_format)

    @property
    def billed(self) -> int:
        """Tokens of all texts."""
        return sum(map(ngrams.billed, self.texts))

    def answer(self, model: str) -> dict[str, Any]:
        """OpenAI's document, by the model of that name."""
        rows = [
            {"object": "embedding", "index": index, "embedding": self._written(ngrams.vector(text, self.dimensions))}
            for index, text in enumerate(self.texts)
        ]
        usage = {"prompt_tokens": self.billed, "total_tokens": self.billed}
        return {"object": "list", "data": rows, "model": model, "usage": usage}

    def _written(self, vector: bytes) -> Any:
        if self.encoding_format == "base64":
            return b64encode(vector).decode()
        return list(struct.unpack(f"<{len(vector) // 4}f", vector))
