"""Chats beyond the plan's, paid by credits: held for the most that they can take, charged by what they took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from noren.chat.models import Credits
from noren.ledger import prices
from noren.ledger.models import Ask, Hold
from noren.usage.models import UsageRecord

LEAST_ANSWER = 128
"""Tokens: for a shorter answer than this no credits are held."""


class TokenBound(NamedTuple):
    """The most tokens that a request's prompt and answer can take."""

    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Overage:
    """The price of one chat. `base`: the plan's credits for a chat."""

    bound: TokenBound
    base: int

    def ask(self, chat: Ask) -> Ask:
        """The same request on credits instead of one of the plan's chats."""
        return replace(chat, chats=0, credits=prices.price(self.base, sum(self.bound)))

    def within(self, credits: int) -> Overage:
        """The same question, with a shorter answer where so few credits pay for that one only."""
        is_paid = prices.price(self.base, sum(self.bound)) <= credits
        return self if is_paid else self.shortened(credits) or self

    def shortened(self, credits: int) -> Overage | None:
        """What so few credits pay for: the same question with a shorter answer; None where that were too short."""
        answer = min(self.bound.answer, prices.affordable(self.base, credits) - self.bound.prompt)
        return replace(self, bound=self.bound._replace(answer=answer)) if answer >= LEAST_ANSWER else None

    def charge(self, hold: Hold) -> None:
        """Set what the request costs: by the tokens of the call that answered, or the fee of its failure."""
        record = hold.record
        record.credits = used(record, self.base)
        if not record.tokens_output and record.status == "failed":
            hold.fee = record.credits = min(prices.FAILURE_FEES.get(record.error_code, 0), hold.held.credits)


def used(record: UsageRecord, base: int) -> int:
    """Credits by the tokens of the last call and of drafts: earlier ones failed, and that was not the asker's fault."""
    last = next((each for each in reversed(record.calls) if each.purpose == "answer"), None)
    paid = [each for each in record.calls if each.purpose == "draft" and each.status == "ok"]
    paid += [last] if last else []
    return prices.price(base, sum(each.tokens_input + each.tokens_output for each in paid)) if paid else 0


def credits_of(hold: Hold, base: int) -> Credits:
    """What the answer says of credits: what it took, and what is left once the rest of the hold is given back."""
    taken = min(used(hold.record, base), hold.held.credits) if hold.held.credits else 0
    return Credits(taken, hold.credits_left + hold.held.credits - taken)
