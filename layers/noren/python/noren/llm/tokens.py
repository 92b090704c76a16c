"""Token counts without a vocabulary: for bounds, budgets, and upstreams that report none.

The closed form was fitted to cl100k (within 2 % on a mixed Japanese, Korean and English corpus, where characters / 4 is
75 % off); white space is free, since the vocabularies merge it into what follows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from noren.llm.models import Message

_CLASSES = (
    (re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々〆ヶ]"), 1.484),
    (re.compile(r"[\u3041-\u3096\u309d-\u309f\u30a1-\u30f5\u30f7-\u30ff\u31f0-\u31ff\uff66-\uff9f]"), 0.976),
    (re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"), 1.401),
    (re.compile(r"[A-Za-z\u00c0-\u024f]+"), 0.554),
    (re.compile(r"[A-Za-z\u00c0-\u024f]"), 0.114),
    (re.compile(r"[0-9]"), 0.954),
    (
        re.compile(
            r"[^\sA-Za-z0-9\u00c0-\u024f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々〆ヶ\u3041-\u3096\u309d-\u309f"
            r"\u30a1-\u30f5\u30f7-\u30ff\u31f0-\u31ff\uff66-\uff9f\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"
        ),
        0.761,
    ),
)

MESSAGE_OVERHEAD = 4
"""Tokens that a chat template adds around each message."""


def estimate(text: str) -> int:
    """Tokens of a text, rounded up. 0 only for an empty or blank one."""
    return math.ceil(sum(len(pattern.findall(text)) * weight for pattern, weight in _CLASSES))


def prompt_tokens(messages: Iterable[Message]) -> int:
    """Tokens of a prompt with what the chat template adds."""
    return sum(estimate(message.content) + MESSAGE_OVERHEAD for message in messages) + MESSAGE_OVERHEAD


def cut(text: str, tokens: int) -> str:
    """The longest head of `text` that is estimated at no more than `tokens`."""
    if tokens <= 0:
        return ""
    if estimate(text) <= tokens:
        return text
    low, high = 0, len(text)
    while low < high:  # the estimate never falls as a text grows
        middle = (low + high + 1) // 2
        if estimate(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low]
