"""How a hold is written on the admission item: `hm {key: "amounts.expiry.nonce"}`, as short as can be.

The item is written twice a chat, and every open hold makes each of those writes dearer, so keys and numbers are
packed: an id's 32 hex digits become 22 characters, times are base 36, the expiry counts from the nonce's time, zeros
are left blank. `Yx3_aQ,1.6p.tqpwxsab-K` holds one chat, for 241 s.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from noren.ids import is_id
from noren.ledger.models import Ask

PREFIX = "req"
"""Of the ids that requests usually have; left out of their keys."""

GRACE_SECONDS = 60
"""A hold outlives the deadline of its request's process by this much."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def key_of(request_id: str) -> str:
    """The hold's key: 22 characters, preceded by `<prefix>_` where the prefix is unusual. Raises ValueError."""
    prefix, _, digits = request_id.partition("_")
    if not is_id(request_id, prefix):
        raise ValueError(f"not an id: {request_id!r}")
    packed = urlsafe_b64encode(bytes.fromhex(digits)).decode().rstrip("=")
    return packed if prefix == PREFIX else f"{prefix}_{packed}"


def request_of(key: str) -> str:
    """The reverse of `key_of`."""
    prefix, packed = (PREFIX, key) if len(key) == 22 else (key[:-23], key[-22:])
    return f"{prefix}_{urlsafe_b64decode(packed + '==').hex()}"


def slot_of(site_id: str) -> str:
    """Where the admission item counts a site's day: 6 characters, the 36 last and random bits of the site's id."""
    return urlsafe_b64encode(bytes.fromhex(site_id[-12:])).decode()[-6:]


def base36(number: int) -> str:
    """A non-negative number in base 36."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text


@dataclass(frozen=True, slots=True)
class Held:
    """What a hold keeps back. `slot` is the site's, "" where the request doesn't count against a site's day."""

    chats: int
    credits: int
    embedding_tokens: int
    slot: str
    expires_at: int
    """Epoch seconds; from then on a sweep may take it."""
    nonce: str
    """Names this attempt: its time (6 digits of base 36) and 4 random characters."""

    @classmethod
    def of(cls, ask: Ask, now: int) -> Held:
        """A fresh hold, with a fresh nonce, for `ask`."""
        slot = slot_of(ask.site_id) if ask.chats or ask.credits else ""
        nonce = base36(now) + secrets.token_urlsafe(3)
        expires_at = max(now, int(ask.deadline) + GRACE_SECONDS)
        return cls(ask.chats, ask.credits, ask.embedding_tokens, slot, expires_at, nonce)

    @classmethod
    def parse(cls, text: str) -> Held:
        """The reverse of `str()`."""
        amounts, expiry, nonce = text.split(".")
        slot, *numbers = amounts.split(",")
        chats, credits, embedding = [*(int(each or 0) for each in numbers), 0, 0, 0][:3]
        return cls(chats, credits, embedding, slot, time_of(nonce) + int(expiry, 36), nonce)

    @property
    def amounts(self) -> str:
        """`site's slot,chats,credits,embedding tokens`."""
        numbers = (self.chats, self.credits, self.embedding_tokens)
        return ",".join((self.slot, *(str(each or "") for each in numbers))).rstrip(",")

    @property
    def made_at(self) -> int:
        """When the hold was made, in epoch seconds: tells whether the period and the day are still its own."""
        return time_of(self.nonce)

    def __str__(self) -> str:
        return f"{self.amounts}.{base36(self.expires_at - self.made_at)}.{self.nonce}"


def time_of(nonce: str) -> int:
    """When the hold of that nonce was made (epoch seconds)."""
    return int(nonce[:-4], 36)
