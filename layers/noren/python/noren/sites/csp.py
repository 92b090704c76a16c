"""Whether a page's Content-Security-Policy lets it load something (CSP level 3, as far as our snippet needs it)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from urllib.parse import SplitResult, urlsplit

Policy = Mapping[str, list[str]]

SCRIPTS = ("script-src-elem", "script-src", "default-src")
CALLS = ("connect-src", "default-src")
IMAGES = ("img-src", "default-src")
MOST_POLICIES = 20
"""Of a page's headers, and of its meta tags; pages have one or two."""
LONGEST_POLICY = 20_000
MOST_SOURCES = 500

_READ = {*SCRIPTS, *CALLS, *IMAGES, "trusted-types"}
_HOST = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[a-z0-9._-]+)(?::([0-9]{1,5}|\*))?(/.*)?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def policies(header: str, metas: Iterable[str] = ()) -> list[Policy]:
    """The policies of a page's header, where commas part them, and of its meta tags, where they don't.

    Of a directive that stands twice in one the first counts. What no page has so much of is left out.
    """
    texts = [*header.split(",", MOST_POLICIES)[:MOST_POLICIES], *islice(metas, MOST_POLICIES)]
    return [_policy(text[:LONGEST_POLICY]) for text in texts]


def _policy(text: str) -> Policy:
    policy: dict[str, list[str]] = {}
    for directive in text.split(";"):
        name, *sources = directive.split()[:MOST_SOURCES] or [""]
        if name.lower() in _READ:
            policy.setdefault(name.lower(), sources)
    return policy


def allows(every: Iterable[Policy], directives: tuple[str, ...], url: str, page: str, nonce: str = "") -> bool:
    """Whether all policies let `page` load `url`. `directives`: the one that is asked for, then what stands in for it.

    `nonce` is that of the script's tag.
    """
    return all(_allows(policy, directives, url, page, nonce) for policy in every)


def lets_us_make_scripts(every: Iterable[Policy], name: str) -> bool:
    """Whether Trusted Types, where a page asks for them, let our policy of that name be made."""
    for policy in every:
        names = policy.get("trusted-types")
        if names is not None and name not in names and "*" not in names:
            return False
    return True


def _allows(policy: Policy, directives: tuple[str, ...], url: str, page: str, nonce: str) -> bool:
    sources = next((policy[name] for name in directives if name in policy), None)
    if sources is None:
        return True
    if nonce and f"'nonce-{nonce}'" in sources:
        return True
    if "'strict-dynamic'" in (each.lower() for each in sources) and directives == SCRIPTS:
        return False
    target, own = urlsplit(url), urlsplit(page)
    return any(_matches(each, target, own) for each in sources)


def _matches(source: str, target: SplitResult, own: SplitResult) -> bool:
    word = source.lower()
    if word == "*":
        return target.scheme in _PORTS
    if word == "'self'":
        ports = _port(target) == _port(own) or (_is_usual(target) and _is_usual(own))
        return target.hostname == own.hostname and ports and _fits(own.scheme, target.scheme)
    if word.endswith(":"):
        return _fits(word[:-1], target.scheme)
    found = _HOST.fullmatch(source)
    if not found:
        return False
    scheme, host, port, path = found.groups()
    name = target.hostname or ""
    if not _fits((scheme or own.scheme).lower(), target.scheme):
        return False
    if host != "*" and not (name.endswith(host[1:].lower()) if host.startswith("*.") else name == host.lower()):
        return False
    if port is None:
        is_port = _is_usual(target)
    else:
        is_port = (
            port == "*"
            or int(port) == _port(target)
            or (port == "80" and target.scheme == "https" and _is_usual(target))
        )
    if not is_port:
        return False
    if not path or path == "/":
        return True
    return target.path.startswith(path) if path.endswith("/") else target.path == path


def _fits(wanted: str, given: str) -> bool:
    """http lets https through, nothing the other way round."""
    return wanted == given or (wanted, given) == ("http", "https")


def _port(url: SplitResult) -> int | None:
    return url.port or _PORTS.get(url.scheme)


def _is_usual(url: SplitResult) -> bool:
    return _port(url) == _PORTS.get(url.scheme)
