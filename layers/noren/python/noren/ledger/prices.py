"""What AI functions cost in credits (chapter 3). Integers throughout, rounded up once."""

from __future__ import annotations

from typing import Literal, get_args

FunctionType = Literal["chatbot", "recommendation", "prediction", "analysis", "custom"]
FUNCTIONS: tuple[FunctionType, ...] = get_args(FunctionType)

BASE: dict[FunctionType, int] = {"chatbot": 2, "recommendation": 5, "prediction": 8, "analysis": 10, "custom": 15}
"""Credits of one call that takes no more than `COVERED` tokens."""
COVERED = 2_000
STEP = 1_000
"""Each further started `STEP` tokens add a quarter of the base."""

FAILURE_FEES: dict[str, int] = {"out_of_quota": 0, "rate_limited": 1, "timeout": 0}
"""Credits that a call which gave nothing costs all the same, by its error code; any other fault is ours: 0."""


def price(base: int, tokens: int) -> int:
    """Credits of a call of `tokens` tokens, in and out: base x (1 + 0.25 x started thousands beyond 2,000)."""
    steps = -(-max(0, tokens - COVERED) // STEP)
    return -(-base * (4 + steps) // 4)


def affordable(base: int, credits: int) -> int:
    """The most tokens that `credits` pay for: `price(base, affordable(base, c)) <= c`. -1 where they pay for none."""
    if credits < base:
        return -1
    if base <= 0:
        return COVERED
    return COVERED + (4 * credits // base - 4) * STEP
