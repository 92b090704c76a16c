"""An `Answer` as text and back, for the stored turn that replays rest on. Decimals stay exact."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal

from noren.chat.models import Answer, Credits, Quota, RouteTaken, Source, Suggestion, Tokens
from noren.money import CostSnapshot


def text_of(answer: Answer) -> str:
    """JSON; decimals as strings."""
    return json.dumps(asdict(answer), default=str, ensure_ascii=False, separators=(",", ":"))


def answer_of(text: str) -> Answer:
    """The reverse of `text_of`."""
    raw = json.loads(text)
    route, local = raw["route"], raw["cost_local"]
    return Answer(
        **raw
        | {
            "route": RouteTaken(route["tier"], route["reason"], tuple(route["fallbacks_tried"])),
            "tokens_consumed": Tokens(**raw["tokens_consumed"]),
            "cost_usd": Decimal(raw["cost_usd"]),
            "cost_local": CostSnapshot(Decimal(local[0]), local[1], Decimal(local[2])),
            "quota": Quota(**raw["quota"]) if raw["quota"] else None,
            "sources": tuple(Source(**each) for each in raw["sources"]),
            "credits": Credits(**raw["credits"]),
            "suggestions": tuple(Suggestion(**each) for each in raw.get("suggestions", ())),
        }
    )
