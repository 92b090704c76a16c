"""Public keys of sites: they name a site to visitors' browsers, and are no secret."""

from __future__ import annotations

import re
import secrets

_KEY = re.compile(r"pk_([0-9a-f]{32})_[0-9a-f]{24}")


def new_key(site_id: str) -> str:
    """A fresh key of a site. It holds the site's id, so that it leads there without an index."""
    return f"pk_{site_id.partition('_')[2]}_{secrets.token_hex(12)}"


def site_id_of(site_key: str) -> str | None:
    """The site that a key names, which may have another key by now; None for what is no key."""
    found = _KEY.fullmatch(site_key)
    return f"site_{found[1]}" if found else None
