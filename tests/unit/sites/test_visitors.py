"""Visitor tokens: bound to site, origin and device, good for an hour, void as soon as the site says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.clock import Clock
from noren.errors import Forbidden, NorenError, NotFound, RateLimited, Unauthenticated
from noren.ids import TenantId
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore, Window
from noren.secrets import Secrets, Signer
from noren.settings import Settings
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.sites.visitors import KEPT_SECONDS, TOKEN_SECONDS, Visitor, Visitors

SHOP, KURA = "https://shop.example", "https://kura.example"
ADDRESS = "203.0.113.9"


class Ticks:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Fixed(Secrets):
    def __init__(self) -> None:
        super().__init__(Settings(), time.time)

    def signing_secret(self) -> str:
        return "a secret of some length"


class Known:
    """Sites in memory, by their keys."""

    def __init__(self) -> None:
        self.sites = {
            key: Site(
                f"site_{key}",
                TenantId(f"ten_{key}"),
                key,
                "prof_1",
                0.0,
                site_key=key,
                embed_script_id=f"emb_{key}",
                allowed_domains=(SHOP, "https://*.shop.example") if key == "a" else (KURA, SHOP),
            )
            for key in ("a", "b")
        }

    def of_key(self, key: str) -> Site:
        """Meets `Sites.of_key`."""
        if key not in self.sites:
            raise NotFound("There is no such site")
        return self.sites[key]

    def of_id(self, site_id: str) -> Site:
        """Meets `Sites.of_id`."""
        return self.of_key(site_id.removeprefix("site_"))

    def change(self, **changes: Any) -> None:
        self.sites["a"] = replace(self.sites["a"], **changes)


class Windows:
    """The rate windows of the runtime table in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Window] = {}

    def count_in_window(self, key: str, number: int, room: int, expires_at: float) -> tuple[Window, bool]:
        """Meets `RuntimeStore.count_in_window`."""
        window = self.kept.get(key, Window(-1, 0, 0))
        if window.number != number or window.count >= room:
            return window, False
        self.kept[key] = replace(window, count=window.count + 1)
        return self.kept[key], True

    def start_window(self, key: str, found: int, fresh: Window, expires_at: float) -> bool:
        """Meets `RuntimeStore.start_window`."""
        self.kept[key] = fresh
        return True


class Doors:
    """Two sites of two tenants, and those who knock."""

    def __init__(self, clock: Clock) -> None:
        self.known, self.windows = Known(), Windows()
        self.signer = Signer(Fixed(), clock)
        limiter = Limiter(cast(RuntimeStore, self.windows), clock)
        self.suspended: set[TenantId] = set()
        parts = cast(Sites, self.known), lambda tenant_id: tenant_id in self.suspended
        self.visitors = Visitors(*parts, self.signer, limiter)

    def token(
        self, key: str = "a", origin: str = SHOP, old: str = "", address: str = ADDRESS, embed_id: str = ""
    ) -> str:
        """One for a page that was loaded just now, unless another `embed_id` is said."""
        site = self.known.sites.get(key)
        embed_id = embed_id or (site.embed_script_id if site else "")
        return self.visitors.token(key, embed_id, origin, address, old)

    def device(self, token: str, key: str = "a", origin: str = SHOP) -> str:
        return self.visitors.visitor(token, key, origin).device


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def doors(clock: Ticks) -> Doors:
    return Doors(clock)


def test_a_suspended_tenants_sites_let_nobody_in(doors: Doors) -> None:
    token = doors.token()
    doors.suspended.add(TenantId("ten_a"))
    ways_in: list[Callable[[], str]] = [doors.token, lambda: doors.token(old=token), lambda: doors.device(token)]
    for way_in in ways_in:
        with pytest.raises(Forbidden) as refused:
            way_in()
        assert refused.value.code == "site_disabled"
    assert doors.device(doors.token("b", KURA), "b", KURA), "others go on"
    doors.suspended.clear()
    assert doors.device(token)


def test_a_token_names_site_origin_and_device(doors: Doors) -> None:
    visitor = doors.visitors.visitor(doors.token(), "a", SHOP)
    assert visitor == Visitor(TenantId("ten_a"), "site_a", SHOP, visitor.device)
    assert len(bytes.fromhex(visitor.device)) == 16
    assert doors.device(doors.token()) != visitor.device


REFUSED: dict[str, tuple[Callable[[Doors], object], type[NorenError], str]] = {
    "a forged one": (lambda doors: doors.device(doors.token()[:-2] + "AA"), Unauthenticated, "invalid_token"),
    "one of another purpose": (
        lambda doors: doors.device(doors.signer.sign("device", {"d": "x"})),
        Unauthenticated,
        "invalid_token",
    ),
    "none": (lambda doors: doors.device(""), Unauthenticated, "invalid_token"),
    "with another site's key": (lambda doors: doors.device(doors.token(), key="b"), Unauthenticated, "invalid_token"),
    "with no key": (lambda doors: doors.device(doors.token(), key=""), NotFound, "not_found"),
    "from another origin": (
        lambda doors: doors.device(doors.token(), origin="https://www.shop.example"),
        Forbidden,
        "origin_not_allowed",
    ),
    "without an origin": (lambda doors: doors.device(doors.token(), origin=""), Forbidden, "origin_not_allowed"),
    "for a refused origin": (lambda doors: doors.token(origin=KURA), Forbidden, "origin_not_allowed"),
    "for no origin": (lambda doors: doors.token(origin=""), Forbidden, "origin_not_allowed"),
    "for another site's loader": (lambda doors: doors.token(embed_id="emb_b"), Forbidden, "embed_replaced"),
    "for an unknown key": (lambda doors: doors.token(key="c"), NotFound, "not_found"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_visitors_is_refused(doors: Doors, kind: str) -> None:
    attempt, error, code = REFUSED[kind]
    with pytest.raises(error) as refused:
        attempt(doors)
    assert refused.value.code == code


CHANGES: dict[str, tuple[dict[str, Any], type[NorenError], str]] = {
    "another embed script": ({"embed_script_id": "emb_new"}, Unauthenticated, "invalid_token"),
    "embedding off": ({"is_embed_enabled": False}, Forbidden, "embed_disabled"),
    "switched off": ({"status": "disabled"}, Forbidden, "site_disabled"),
    "the domain taken out": ({"allowed_domains": (KURA,)}, Forbidden, "origin_not_allowed"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_the_site_is_now_counts(doors: Doors, kind: str) -> None:
    changes, error, code = CHANGES[kind]
    token = doors.token()
    doors.known.change(**changes)
    with pytest.raises(error) as refused:
        doors.device(token)
    assert refused.value.code == code
    if error is Forbidden:
        with pytest.raises(Forbidden) as refused:
            doors.token(old=token)
        assert refused.value.code == code


def test_a_token_ends_and_its_device_goes_on(doors: Doors, clock: Ticks) -> None:
    token = doors.token()
    device = doors.device(token)
    clock.now += TOKEN_SECONDS
    with pytest.raises(Unauthenticated) as refused:
        doors.device(token)
    assert refused.value.code == "token_expired"
    clock.now += KEPT_SECONDS - 1
    again = doors.token(old=token)
    assert doors.device(again) == device
    clock.now += TOKEN_SECONDS
    with pytest.raises(Unauthenticated) as refused:
        doors.device(token)  # long gone, and still told to get another
    assert refused.value.code == "token_expired"
    assert doors.device(doors.token(old=token)) != device


def test_a_device_is_kept_for_the_same_site_origin_and_script_alone(doors: Doors) -> None:
    token = doors.token()
    device = doors.device(token)
    other_origin = "https://www.shop.example"
    assert doors.device(doors.token(origin=other_origin, old=token), origin=other_origin) != device
    assert doors.device(doors.token(key="b", old=token), key="b") != device  # which lets in the same origin
    for old in ("", "x", "a.b", token[:-1], doors.signer.sign("device", {"d": device})):
        assert doors.device(doors.token(old=old)) != device
    assert doors.device(doors.token(old=token)) == device
    doors.known.change(embed_script_id="emb_new")
    assert doors.device(doors.token(old=token)) != device


def test_a_loader_from_before_a_rotation_gets_no_token(doors: Doors) -> None:
    token = doors.token()
    doors.known.change(embed_script_id="emb_new")
    for old in ("", token):
        with pytest.raises(Forbidden) as refused:
            doors.token(embed_id="emb_a", old=old)
        assert refused.value.code == "embed_replaced"
    assert doors.device(doors.token(embed_id="emb_new"))


def test_a_servers_token_is_for_calls_without_an_origin(doors: Doors) -> None:
    doors.known.change(allow_server_calls=True)
    token = doors.token(origin="")
    assert doors.visitors.visitor(token, "a", "").origin == ""
    with pytest.raises(Forbidden):
        doors.device(token, origin=SHOP)
    with pytest.raises(Forbidden):
        doors.device(doors.token(), origin="")
    doors.known.change(allow_server_calls=False)
    with pytest.raises(Forbidden):
        doors.device(token, origin="")


def test_an_address_gets_so_many_tokens_an_hour_and_a_site_gives_so_many_a_minute(doors: Doors) -> None:
    waits: list[int] = []

    def given(count: int, address: Callable[[int], str], key: str = "a") -> int:
        before = len(waits)
        for number in range(count):
            try:
                doors.token(key=key, address=address(number))
            except RateLimited as limited:
                waits.append(limited.extra["retry_after"])
        return count + before - len(waits)

    assert given(70, lambda _: ADDRESS) == 60
    assert given(70, lambda _: ADDRESS, key="b") == 60  # the neighbours of many share one address
    assert given(70, lambda number: f"198.51.100.{number}") == 60  # 120 of the site with those before
    assert min(waits) >= 1
    assert not any(ADDRESS in key for key in doors.windows.kept)  # no address stands anywhere as it is


def test_who_is_refused_takes_nothing_from_the_limits(doors: Doors) -> None:
    for _ in range(100):
        with pytest.raises(Forbidden):
            doors.token(origin="https://evil.example")
        with pytest.raises(Forbidden):
            doors.token(embed_id="emb_old")
    assert doors.windows.kept == {}


@given(origin=st.text(max_size=30), key=st.sampled_from(["a", "b", "c", ""]), late=st.integers(0, 2 * TOKEN_SECONDS))
def test_only_the_very_origin_and_key_are_let_in(origin: str, key: str, late: int) -> None:
    clock = Ticks()
    doors = Doors(clock)
    token = doors.token()
    clock.now += late
    try:
        visitor = doors.visitors.visitor(token, key, origin)
    except (Unauthenticated, Forbidden, NotFound):
        return
    assert (visitor.origin, key, late < TOKEN_SECONDS) == (SHOP, "a", True)
