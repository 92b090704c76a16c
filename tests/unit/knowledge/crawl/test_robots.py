from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.fetching.client import Fetcher
from noren.knowledge.crawl.robots import DEFAULT_DELAY, MAX_DELAY, MAX_SITEMAPS, Robots, RobotsUnavailable, robots_of
from tests.unit.fetching.net import Net, leads, says

HOME = "https://shop.example"
FILE = """
User-agent: *
Disallow: /private
Allow: /private/open
Disallow: /*.pdf$
Disallow: /カート

User-agent: Noren
User-agent: Other
Crawl-delay: 4
Disallow: /not-for-noren

Sitemap: https://shop.example/map.xml
Sitemap: /second.xml
"""


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a", True),
        (FILE, "/private", True),  # our own group alone counts
        (FILE, "/not-for-noren/a", False),
        (FILE.replace("Noren", "Nobody"), "/private/a", False),
        (FILE.replace("Noren", "Nobody"), "/private/open/a", True),
        (FILE.replace("Noren", "Nobody"), "/a.pdf", False),
        (FILE.replace("Noren", "Nobody"), "/a.pdf?x", True),
        (FILE.replace("Noren", "Nobody"), "/%E3%82%AB%E3%83%BC%E3%83%88", False),
        (FILE.replace("Noren", "noren/1.0"), "/private", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("Disallow: /", "/a", True),
        ("<html>not found</html>", "/a", True),
        ("user-agent: NOREN\ndisallow: /", "/a", False),
    ],
)
def test_rules(text: str, path: str, allowed: bool) -> None:
    assert Robots(text).allows(HOME + path) is allowed


def test_sitemaps_are_listed_whole() -> None:
    found = Robots(FILE, f"{HOME}/robots.txt").sitemaps
    assert found == ("https://shop.example/map.xml", "https://shop.example/second.xml")
    many = "\n".join(f"Sitemap: https://shop.example/{number}.xml" for number in range(1000))
    assert len(Robots(many).sitemaps) == MAX_SITEMAPS


@pytest.mark.parametrize(
    ("line", "delay"),
    [
        ("", DEFAULT_DELAY),
        ("Crawl-delay: 0", 0.0),
        ("Crawl-delay: 2.5", 2.5),
        ("Crawl-delay: 86400", MAX_DELAY),
        ("Crawl-delay: -1", DEFAULT_DELAY),
        ("Crawl-delay: nan", DEFAULT_DELAY),
        ("Crawl-delay: inf", DEFAULT_DELAY),
    ],
)
def test_the_delay_is_bounded(line: str, delay: float) -> None:
    assert Robots(f"User-agent: *\n{line}\nDisallow: /x").delay == delay


@pytest.mark.parametrize(
    ("status", "allowed"), [("200 OK", False), ("404 Not Found", True), ("403 Forbidden", True), ("410 Gone", True)]
)
def test_a_host_without_the_file_allows_everything(net: Net, status: str, allowed: bool) -> None:
    net.serve(says(b"User-agent: *\nDisallow: /", status=status))
    assert robots_of(Fetcher(network=net), "http://shop.example/a/b").allows("http://shop.example/a") is allowed
    assert net.requests[0].startswith(b"GET /robots.txt ")


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Slow down"])
def test_a_host_in_trouble_is_left_alone(net: Net, status: str) -> None:
    net.serve(says(b"", status=status))
    with pytest.raises(RobotsUnavailable):
        robots_of(Fetcher(network=net), "http://shop.example/")


def test_a_host_that_does_not_answer_is_left_alone(net: Net) -> None:
    with pytest.raises(RobotsUnavailable):
        robots_of(Fetcher(network=net), "http://shop.example/")


def test_a_redirect_that_goes_round_is_no_file(net: Net) -> None:
    net.serve(leads("/robots.txt"))
    assert robots_of(Fetcher(network=net), "http://shop.example/").allows("http://shop.example/a")


def test_thousands_of_robots_times_thousands_of_rules_are_no_bomb() -> None:
    agents = "\n".join(f"User-agent: bot{number}" for number in range(8_000))
    rules = "\n".join(f"Disallow: /{number}" for number in range(8_000))
    robots = Robots(f"{agents}\nUser-agent: *\n{rules}")
    assert not robots.allows(f"{HOME}/77")
    stars = Robots("User-agent: *\nDisallow: /" + "*a" * 900 + "b")
    assert stars.allows(HOME + "/" + "a" * 1_000)


@given(st.text(max_size=200))
def test_any_text_is_a_file(text: str) -> None:
    Robots(text).allows(f"{HOME}/a")
    Robots(f"User-agent: *\nDisallow: {text}").allows(f"{HOME}/{'a' * 50}")
