"""What is asked about a site, and what a look at it came to. Plain data: it crosses from one function to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from noren.knowledge.crawl.scope import Scope, folder_of
from noren.knowledge.survey.extent import Span


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of a site is meant; the patterns are those of `crawl.scope.Scope`."""

    max_pages: int | None = None
    """None: as many as there is room for."""
    max_depth: int = 10
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def at(self, start: str) -> Reach:
        """How much that is from a start address in canonical form: its folder, where no patterns say what."""
        return self if self.include else replace(self, include=folder_of(start))

    def most(self, room: int) -> int:
        """How many pages that are at most, where there is room for so many."""
        return room if self.max_pages is None else min(self.max_pages, room)


@dataclass(frozen=True, slots=True)
class KnownPage:
    """A page that the site's assistant has learnt, and what tells whether it has changed."""

    url: str
    content_hash: str
    etag: str = ""
    last_modified: str = ""
    lastmod: str = ""
    distrusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be looked over."""

    url: str
    domains: tuple[str, ...] = ()
    """Further hosts that are the site's."""
    reach: Reach = Reach()
    known: tuple[KnownPage, ...] = ()
    """None where everything is to be learnt anew."""
    entry: str = ""
    """Where `url` has been found to lead: there the look begins."""
    seconds: float = 15.0
    """For the look, at most."""

    def scope(self, today: date) -> Scope:
        """What belongs to it. Raises ValueError where `url` is no http(s) URL."""
        reach = self.reach
        return Scope(
            self.url,
            domains=self.domains,
            include=reach.include,
            exclude=reach.exclude,
            max_depth=reach.max_depth,
            today=today,
        )

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Ask:
        """The reverse of `dataclasses.asdict`, with JSON in between."""
        reach = {name: _tuple(value) for name, value in told["reach"].items()}
        known = ({name: _tuple(value) for name, value in each.items()} for each in told["known"])
        plain = {**told, "domains": tuple(told["domains"]), "reach": Reach(**reach)}
        return cls(**{**plain, "known": tuple(KnownPage(**each) for each in known)})


@dataclass(frozen=True, slots=True)
class Left:
    """Pages that would be left out, for one reason. `count` is of the whole site; where the sample tells, projected."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What a site comes to. `tokens` are those to be embedded: of pages that are new or have changed."""

    pages: Span
    unchanged: int
    """Of the pages, those that are known and need not be embedded again (likely)."""
    tokens: Span
    skipped: tuple[Left, ...]
    listed: int
    """Pages that the site lists itself, or that links led to."""
    sampled: int
    is_cut: bool
    """Whether there is more than `max_pages`."""
    is_growing: bool
    """Whether links were still leading to new pages when the time was over."""

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Survey:
        """The reverse of `dataclasses.asdict`, with JSON in between."""
        spans = {name: Span(**told[name]) for name in ("pages", "tokens")}
        return cls(**{**told, **spans, "skipped": tuple(Left(**each) for each in told["skipped"])})

    def told(self) -> dict[str, Any]:
        """As it crosses to another function."""
        return asdict(self)


class SiteUnreadable(Exception):
    """Nothing of the site can be read. `reason`: `robots` (it forbids it), `robots_unavailable`, or what became of its
    first page: a reason of `Skipped` or `Failed`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LeadsElsewhere(Exception):
    """The first page is on another host of the site, which may be called only if whoever asks lets it be: then with
    `url` as the entry.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
