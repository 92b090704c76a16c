"""The state of the stand-in: objects, a clock that can be moved, timers, and the events that changes leave behind.

It knows neither HTTP nor the real time, and with a seed it is deterministic. What Stripe's objects do lives in the
modules beside it, as functions that take the world.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import pickle
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local.stripe.errors import missing

Obj = dict[str, Any]
"""A Stripe object as JSON. Members that begin with `_` are the stand-in's own and are never shown."""

API_VERSION = "2026-10-28.endive"
DAY = 86_400
_ALPHABET = string.ascii_letters + string.digits
_LENGTHS = {"cus": 14, "prod": 14, "price": 24, "sub": 24, "si": 14, "cs_test": 58}

_INDEXED = {
    "charge": ("payment_intent", "customer"),
    "dispute": ("charge", "payment_intent"),
    "invoice": ("customer",),
    "invoice_payment": ("invoice", "_intent"),
    "invoiceitem": ("customer",),
    "payment_method": ("customer",),
    "refund": ("charge", "payment_intent"),
    "subscription": ("customer",),
}
"""Members by which objects are found without looking at all of their kind."""

_NOT_KEPT = ("_clock", "_random", "_index", "url")

Action = Callable[["World", str], None]


class World:
    """One Stripe account in test mode."""

    def __init__(self, clock: Callable[[], float], *, seed: int | None = None, url: str = "http://stripe.test") -> None:
        self.url = url.rstrip("/")
        """Where the hosted pages are."""
        self.objects: dict[str, Obj] = {}
        self.kinds: dict[str, dict[str, Obj]] = {}
        self.outbox: list[Obj] = []
        """Events that nobody has collected yet, oldest first."""
        self.request: Obj = {"id": None, "idempotency_key": None}
        """What events name as their cause: nulls for what happens by time, on pages or in the dashboard."""
        self.settings: Obj = {"dunning_days": [3, 5, 7], "after_dunning": "cancel", "account_name": "Noren 株式会社"}
        self._clock = clock
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)
        self._shift = 0
        self._at: int | None = None
        self._index: dict[tuple[str, str, str], dict[str, None]] = {}
        self._timers: list[tuple[int, int, int, Action, str]] = []
        self._order = itertools.count()

    def afresh(self) -> World:
        """A new account beside the same clock."""
        return World(self._clock, url=self.url)

    # Time

    def now(self) -> int:
        """Seconds since the epoch; while timers run, the moment for which they were set."""
        return self._at if self._at is not None else int(self._clock()) + self._shift

    def at(self, when: int, action: Action, identifier: str, *, rank: int = 5) -> None:
        """Do `action(world, identifier)` at `when`; of those at the same moment the lower rank goes first."""
        heapq.heappush(self._timers, (when, rank, next(self._order), action, identifier))

    def advance(self, seconds: int) -> None:
        """Move the clock on; what falls due happens in its order and at its own moment."""
        self._shift += seconds
        self.tick()

    def tick(self) -> None:
        """Do what has fallen due."""
        if self._at is not None:
            return
        until = self.now()
        try:
            while self._timers and self._timers[0][0] <= until:
                when, _, _, action, identifier = heapq.heappop(self._timers)
                self._at = when
                if identifier in self.objects:
                    action(self, identifier)
        finally:
            self._at = None

    # Objects

    def token(self, length: int) -> str:
        """Random letters and digits."""
        return "".join(self._random.choices(_ALPHABET, k=length))

    def id(self, prefix: str) -> str:
        """A new id."""
        return f"{prefix}_{self.token(_LENGTHS.get(prefix, 24))}"

    def add(self, obj: Obj) -> Obj:
        """Store a new object under its `id` and `object`."""
        self.objects[obj["id"]] = obj
        self.kinds.setdefault(obj["object"], {})[obj["id"]] = obj
        self.index(obj)
        return obj

    def index(self, obj: Obj) -> None:
        """Note what a new object, or one that now belongs to another, is found by."""
        for member in _INDEXED.get(obj["object"], ()):
            if obj.get(member):
                self._index.setdefault((obj["object"], member, obj[member]), {})[obj["id"]] = None

    def remove(self, obj: Obj) -> None:
        """Forget an object."""
        del self.objects[obj["id"]], self.kinds[obj["object"]][obj["id"]]

    def get(self, kind: str, identifier: str, param: str = "id") -> Obj:
        """The object. Raises Refusal (resource_missing), 404 for `id`, else 400 naming the parameter."""
        found = self.kinds.get(kind, {}).get(identifier)
        if found is None:
            raise missing(kind, identifier, param)
        return found

    def all(self, kind: str) -> list[Obj]:
        """Every object of a kind, oldest first."""
        return list(self.kinds.get(kind, {}).values())

    def find(self, kind: str, **wanted: str | None) -> list[Obj]:
        """Those whose members have these values, oldest first; a value of None does not narrow."""
        named = {member: value for member, value in wanted.items() if value is not None}
        known = next((member for member in _INDEXED.get(kind, ()) if member in named), None)
        found = self.all(kind)
        if known:
            of_kind = self.kinds.get(kind, {})
            ids = self._index.get((kind, known, named[known] or ""), {})
            found = [of_kind[each] for each in ids if each in of_kind]
        return [each for each in found if all(each.get(member) == value for member, value in named.items())]

    # Events

    def emit(self, kind: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Record that something happened to `obj`, as it is now."""
        data: Obj = {"object": clone(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": self.id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": dict(self.request),
            "type": kind,
        }
        self.add(event)
        self.outbox.append(event)
        return event

    @contextlib.contextmanager
    def changing(self, kind: str, obj: Obj) -> Iterator[None]:
        """Emit `kind` with the previous attributes if the block changes the object."""
        before = clone(obj)
        yield
        after = clone(obj)
        previous = _difference(before, after)
        if previous:
            self.emit(kind, obj, previous)

    def take_events(self) -> list[Obj]:
        """The events since the last call, oldest first."""
        taken, self.outbox = self.outbox, []
        return taken

    # Keeping

    def save(self, path: Path, **more: Any) -> None:
        """Write everything to a file, with what else the server keeps."""
        state = {name: value for name, value in vars(self).items() if name not in _NOT_KEPT}
        scratch = path.with_suffix(".tmp")
        scratch.touch(mode=0o600)
        scratch.write_bytes(pickle.dumps({"world": state, **more}))
        scratch.rename(path)

    def load(self, path: Path) -> Obj:
        """Take up what `save` wrote; returns what else was kept. A file of ours, never somebody else's."""
        kept: Obj = pickle.loads(path.read_bytes())
        vars(self).update(kept.pop("world"))
        for obj in self.objects.values():
            self.index(obj)
        return kept


def clone(value: Any) -> Any:
    """A deep copy of JSON, without what is not to be shown."""
    if isinstance(value, dict):
        return {
            key: dict(each) if key == "metadata" and isinstance(each, dict) else clone(each)
            for key, each in value.items()
            if key[:1] != "_"
        }
    if isinstance(value, list):
        return [clone(each) for each in value]
    return value


def _difference(before: Obj, after: Obj) -> Obj:
    """The old values of what differs, as `previous_attributes` shows them."""
    changed: Obj = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old != new:
            nested = isinstance(old, dict) and isinstance(new, dict)
            changed[name] = _difference(old, new) if nested else old  # type: ignore[arg-type]
    return changed


def merge_metadata(obj: Obj, given: Any) -> None:
    """Update `metadata` as the API does: an empty value removes a key, the empty string all."""
    if given == "":
        obj["metadata"] = {}
    elif given:
        merged = {**obj["metadata"], **given}
        obj["metadata"] = {key: value for key, value in merged.items() if value != ""}


def currency_symbol(amount: int, currency: str) -> str:
    """An amount as Stripe's messages and pages write it: ¥7,800."""
    if currency in ZERO_DECIMAL:
        return f"{ {'jpy': '¥', 'krw': '₩'}.get(currency, currency.upper() + ' ') }{amount:,}"
    return f"{ {'usd': '$', 'eur': '€'}.get(currency, currency.upper() + ' ') }{amount / 100:,.2f}"


ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())
MINIMUM = {"jpy": 50, "krw": 100, "usd": 50, "eur": 50, "gbp": 30}
"""The least that may be charged, in minor units."""
