"""What is remembered of a page so that it need not be read again, and how far it is believed.

A site may say that a page is as it was (ETag, Last-Modified, the sitemap's lastmod) when it is not. So each of them
is believed only until the page's text is once seen to differ under the same value: from then on it is not asked with.
Whoever keeps `Known` should read pages without conditions now and then, or a site that always says 304 is never found
out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, get_args

Validator = Literal["etag", "last_modified", "lastmod"]
VALIDATORS: tuple[Validator, ...] = get_args(Validator)


@dataclass(frozen=True, slots=True)
class Known:
    """A page as it was last seen. "" is what the site does not say."""

    content_hash: str = ""
    etag: str = ""
    last_modified: str = ""
    lastmod: str = ""
    distrusted: frozenset[Validator] = frozenset()
    """Those that were once wrong."""

    @classmethod
    def restored(
        cls, content_hash: str, etag: str, last_modified: str, lastmod: str, distrusted: Collection[str]
    ) -> Known:
        """What was kept of a page, in plain data."""
        wrong = frozenset(each for each in VALIDATORS if each in distrusted)
        return cls(content_hash, etag, last_modified, lastmod, wrong)

    def trusted(self, validator: Validator) -> str:
        """A validator's value if it may be relied on, else ""."""
        value: str = getattr(self, validator)
        return value if self.content_hash and validator not in self.distrusted else ""

    def is_due(self, lastmod: str) -> bool:
        """Whether a page is to be fetched, given what the sitemap says now."""
        return not lastmod or self.trusted("lastmod") != lastmod

    def conditions(self) -> dict[str, str]:
        """The headers of a request that may be answered with 304."""
        asked = {"if-none-match": self.trusted("etag"), "if-modified-since": self.trusted("last_modified")}
        return {name: value for name, value in asked.items() if value}

    def seen(self, content_hash: str, *, etag: str, last_modified: str, lastmod: str) -> Known:
        """What is known after the page was read: a validator that stayed while the text changed is believed no more."""
        new = Known(content_hash, etag, last_modified, lastmod)
        if not self.content_hash or content_hash == self.content_hash:
            return replace(new, distrusted=self.distrusted)
        wrong = {each for each in VALIDATORS if getattr(self, each) and getattr(self, each) == getattr(new, each)}
        return replace(new, distrusted=self.distrusted | wrong)

    def same(self, *, etag: str, last_modified: str, lastmod: str) -> Known:
        """What is known after a 304."""
        return replace(
            self,
            etag=etag or self.etag,
            last_modified=last_modified or self.last_modified,
            lastmod=lastmod or self.lastmod,
        )
