"""The offline provider: answers from the prompt's own facts and passages, without any model service."""

from __future__ import annotations

from collections.abc import Iterator

from noren.llm import tokens
from noren.llm.models import Cancel, Delta, Event, Finish, Prompt, TimeLimits, TokenUsage
from noren.plans.models import ModelPolicy

MODEL = "offline-extractive"


class OfflineProvider:
    """Deterministic: the same prompt has the same answer, whatever the temperature."""

    name = "offline"

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        """See `llm.models.Provider`."""
        from noren.llm import answerer  # its patterns take their time, and few platforms ever ask it

        pieces = answerer.pieces(answerer.answer(prompt.messages))
        sent = 0
        for piece in pieces[: prompt.max_tokens]:
            if cancel():
                break
            sent += 1
            yield Delta(piece)
        usage = TokenUsage(tokens.prompt_tokens(prompt.messages), sent)
        if sent == len(pieces):
            yield Finish("stop", usage, MODEL)
        else:
            yield Finish("length" if sent >= prompt.max_tokens else "cancelled", usage, MODEL)
