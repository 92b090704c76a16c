from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event

import pytest

from noren.fetching.client import Fetched, Fetcher
from noren.knowledge.chunks import cut
from noren.knowledge.extract import html
from noren.knowledge.extract.digest import content_hash
from noren.knowledge.survey.findings import kind_of
from noren.knowledge.survey.models import Ask, KnownPage, LeadsElsewhere, Reach, SiteUnreadable, Survey
from noren.knowledge.survey.surveyor import Patience, Surveyor
from tests.unit.fetching.net import Net
from tests.unit.knowledge.web import HOME, Answer, Web
from tests.websites.generated import Made, Plan, generate, sitemap
from tests.websites.server import Options, Visit, Website

QUICK = Patience(seconds=60.0, robots_seconds=30.0, sitemaps_seconds=30.0, page_seconds=30.0, delay=0.0)


def tokens_of(site: Website, path: str) -> int:
    """What a page comes to when it is trained."""
    page = html.read(file_of(site, path).read_bytes())
    return sum(each.tokens for each in cut(page.extracted))


def file_of(site: Website, path: str) -> Path:
    file = site.file_of(path)
    assert file
    return file


def look(site: Website, patience: Patience = QUICK, **more: object) -> Survey:
    return Surveyor(site.fetcher, patience=patience).survey(Ask(site.url, seconds=60.0, **more))  # type: ignore[arg-type]


def says(body: bytes, **more: object) -> Callable[[Visit], None]:
    return lambda visit: visit.says(body, **more)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Website:
    return Website(tmp_path)


def made(site: Website, plan: Plan) -> Made:
    assert site.folder
    return generate(site.folder, plan, site.url[:-1])


def test_a_small_site_is_told_exactly(site: Website) -> None:
    with site:
        told = made(site, Plan(1, "ja", pages=25, bad_share=0.2))
        survey = look(site)
        tokens = sum(tokens_of(site, path) for path in set(told.paths) - set(told.left_out))
    assert survey.pages.likely == survey.pages.low == survey.pages.high == 25 - len(told.left_out)
    assert survey.tokens.likely == tokens
    assert survey.sampled == survey.listed == 25
    assert (survey.is_cut, survey.is_growing) == (False, False)
    (noindex,) = survey.skipped
    assert noindex.reason == "noindex"
    assert noindex.count == len(told.left_out)
    assert noindex.example.removeprefix(site.url[:-1]) in told.left_out


def test_a_large_site_is_sampled_and_no_more_is_asked_than_promised(site: Website) -> None:
    with site:
        told = made(site, Plan(2, "ko", pages=150))
        survey = look(site, replace(QUICK, pages=30))
        tokens = sum(tokens_of(site, path) for path in told.paths)
    assert survey.pages.low <= 150 <= survey.pages.high
    # Which pages are read differs with the address, and so with the port; how often a range holds is test_ranges'.
    assert survey.tokens.low / 2 <= tokens <= survey.tokens.high * 2
    assert survey.sampled == 30
    # Besides those read: robots.txt, the sitemap, a page that can't be there.
    assert len(site.log) == 30 + 3


def test_without_a_sitemap_links_are_followed(site: Website) -> None:
    with site:
        made(site, Plan(3, "en", pages=80, has_sitemap=False))
        survey = look(site)
    assert survey.pages.low <= 80 <= survey.pages.high
    assert survey.is_growing


def test_queries_that_are_left_out_are_told_and_products_are_not() -> None:
    links = [f"/p?product_id={number}" for number in range(70)] + [f"/list?page={number}" for number in range(60)]
    anchors = "".join(f'<a href="{each}">{each}</a> ' for each in links)

    def page(visit: Visit) -> None:
        text = f"This is what {visit.path} says, and no other page of this shop does. " * 3
        visit.says(f"<title>{visit.path}</title><main><p>{text}</p></main><nav>{anchors}</nav>".encode())

    with Website(made={"/": page, "/p": page, "/list": page}) as site:
        survey = look(site)
    assert survey.listed == 1 + 70 + 40
    assert [(each.reason, each.count) for each in survey.skipped] == [("too_many_queries", 20)]


def test_what_the_owner_leaves_out_is_told_with_an_example(site: Website) -> None:
    with site:
        made(site, Plan(4, "en", pages=60))
        survey = look(site, reach=Reach(exclude=("/blog/*",)))
    (left,) = [each for each in survey.skipped if each.reason == "excluded"]
    assert left.count > 5
    assert "/blog/" in left.example
    assert not [path for path in site.fetched() if path.startswith("/blog/")]


def test_pages_beyond_the_limit_are_said(site: Website) -> None:
    with site:
        made(site, Plan(5, "en", pages=120))
        survey = look(site, replace(QUICK, pages=8), reach=Reach(max_pages=50))
    assert survey.is_cut
    assert survey.pages.high <= 50


def test_pages_that_have_not_changed_cost_nothing(site: Website) -> None:
    with site:
        told = made(site, Plan(6, "ja", pages=30))
        known = []
        for path in told.paths:
            url = site.url[:-1] + path
            page = html.read(file_of(site, path).read_bytes(), url, content_type="text/html; charset=utf-8")
            etag = site.fetcher.get(url).headers["etag"]
            known.append(KnownPage(url, content_hash(page.extracted), etag=etag))
        site.log.clear()
        survey = look(site, known=tuple(known))
        assert (survey.tokens.high, survey.pages.likely, survey.unchanged) == (0, 30, 30)
        assert len(site.fetched(304)) == 30
        edited = told.paths[7]
        file = file_of(site, edited)
        file.write_text(file.read_text().replace("</main>", "<p>新しいお知らせです。</p></main>"))
        survey = look(site, known=tuple(known))
        assert survey.tokens.likely == tokens_of(site, edited)
        assert survey.unchanged == 29
        dated = tuple(replace(each, lastmod="2026-11-01") for each in known)
        site.log.clear()
        assert look(site, known=dated).unchanged == 30
        assert len(site.fetched(304)) == 1  # the first page; of the others the sitemap's date is believed


def test_hosts_are_called_as_slowly_as_they_ask(site: Website) -> None:
    with site:
        made(site, Plan(7, "en", pages=60, crawl_delay=1.0))
        survey = look(site, replace(QUICK, seconds=2.9))
    assert 2 <= survey.sampled <= 3  # the first page at once, the next ones a second later each
    assert survey.pages.high >= 55


def test_one_that_nothing_may_be_read_of(site: Website) -> None:
    with site:
        site.made = {"/robots.txt": says(b"User-agent: *\nDisallow: /", kind="text/plain")}
        with pytest.raises(SiteUnreadable, match=r"^robots$"):
            look(site)
        site.made = {"/robots.txt": says(b"down", status=503)}
        with pytest.raises(SiteUnreadable, match="robots_unavailable"):
            look(site)
        site.made = {"/": lambda visit: visit.begins(302, {"location": "http://192.168.0.1/", "content-length": "0"})}
        with pytest.raises(SiteUnreadable, match="other_site"):
            look(site)
    with pytest.raises(SiteUnreadable, match="unreachable"):
        look(site)
    with pytest.raises(SiteUnreadable, match="unreachable"):
        Surveyor(Fetcher()).survey(Ask("http://169.254.169.254/"))


def test_a_page_that_keeps_its_reader_for_ever_holds_nobody_up() -> None:
    released = Event()

    class Stuck(Fetcher):
        def get(self, url: str, **_: object) -> Fetched:
            if url.endswith("/robots.txt"):
                return Fetched(url, 404, {}, b"")
            released.wait()
            return Fetched(url, 404, {}, b"")

    with pytest.raises(SiteUnreadable, match="timed_out"):
        Surveyor(Stuck(), patience=replace(QUICK, seconds=0.2)).survey(Ask("http://shop.example/"))
    released.set()


def test_a_start_that_leads_on_is_followed(site: Website) -> None:
    with site:
        told = made(site, Plan(8, "en", pages=10, has_sitemap=False))
        site.made = {"/": lambda visit: visit.begins(301, {"location": told.paths[1], "content-length": "0"})}
        survey = look(site)
    assert survey.pages.likely >= 1
    assert [left.reason for left in survey.skipped if left.example == site.url] == ["redirected"]


def test_a_start_that_leads_on_for_ever_is_told(site: Website) -> None:
    def leads(visit: Visit) -> None:
        visit.begins(301, {"location": f"{visit.path}x", "content-length": "0"})

    with Website(made={"/*": leads}) as site, pytest.raises(SiteUnreadable, match="redirect_loop"):
        look(site)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


def over(net: Net, url: str = HOME, **more: object) -> Survey:
    return Surveyor(Fetcher(network=net), patience=QUICK).survey(Ask(url, **more))  # type: ignore[arg-type]


def moved(location: str) -> Answer:
    return Answer(b"", "301 Moved", location=location)


def test_a_start_that_leads_in_a_circle_is_told(net: Net) -> None:
    Web(net).paths["/"] = moved("http://www.shop.example/")
    Web(net, "www.shop.example", "93.184.216.35").paths["/"] = moved(HOME)
    with pytest.raises(SiteUnreadable, match="redirect_loop"):
        over(net)


TEA = "Our green tea is grown in Uji and shipped within two days. " * 4


def test_another_host_of_the_site_is_counted_and_not_called(net: Net) -> None:
    """However it is named: by links, a list, redirects, the list's own address."""
    shop, other = Web(net), Web(net, "victim.example", "93.184.216.35")
    theirs = [f"http://victim.example/{name}" for name in ("linked", "listed", "moved")]
    shop.put("/", "Shop", TEA, ["/tea", "/moved", theirs[0]])
    shop.put("/tea", "Tea", TEA.replace("green", "black"))
    shop.paths["/moved"] = moved(theirs[2])
    rules = "User-agent: *\nCrawl-delay: 0\n" + "".join(
        f"Sitemap: {url}\n" for url in (f"{HOME}sitemap.xml", f"{HOME}list.xml", "http://victim.example/list.xml")
    )
    shop.paths["/robots.txt"] = Answer(rules.encode(), type="text/plain")
    shop.sitemap(("/tea", ""))
    listed = shop.paths["/sitemap.xml"]
    listed.body = listed.body.replace(b"</urlset>", f"<url><loc>{theirs[1]}</loc></url></urlset>".encode())
    shop.paths["/list.xml"] = moved("http://victim.example/list.xml")
    survey = over(net, domains=("shop.example", "victim.example"))
    assert not other.asked
    assert (survey.listed, survey.sampled) == (6, 3)
    assert {left.reason for left in survey.skipped} >= {"redirected", "sitemap_other_host"}


def test_a_start_that_leads_to_another_host_is_told_before_that_is_called(net: Net) -> None:
    shop, other = Web(net), Web(net, "guide.shop.example", "93.184.216.35")
    there = "http://guide.shop.example/"
    shop.paths["/"] = moved(there)
    other.put("/", "Guide", TEA, [f"{HOME}tea", "/tea", "/secret"])
    other.put("/tea", "Tea", TEA.replace("green", "black"))
    other.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\nDisallow: /secret\n", type="text/plain")
    with pytest.raises(LeadsElsewhere) as leads:
        over(net)
    assert (leads.value.url, other.asked.total()) == (there, 0)
    shop.forget()
    survey = over(net, entry=there)
    assert not shop.asked
    assert [(left.reason, left.count) for left in survey.skipped] == [("robots", 1)]
    assert (survey.listed, survey.sampled) == (3, 2)


def test_the_rules_of_the_address_where_the_start_ends_hold(net: Net) -> None:
    """`www.` may say otherwise than the bare name does."""
    Web(net).paths["/"] = moved("http://www.shop.example/")
    www = Web(net, "www.shop.example", "93.184.216.35")
    www.put("/", "Shop", TEA, ["/secret"])
    www.put("/secret", "Secret", TEA)
    www.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\nDisallow: /secret\n", type="text/plain")
    survey = over(net)
    assert not www.asked["/secret"]
    assert {left.reason for left in survey.skipped} == {"redirected", "robots"}


def test_error_pages_that_say_200_are_none(site: Website) -> None:
    body = b"<title>Shop</title><main><h1>Shop</h1><p>" + b"All about our shop, its rooms and its garden. " * 9
    with site:
        listed = sitemap(f"{site.url}gone/{number}" for number in range(5))
        site.made = {"/*": says(body), "/sitemap.xml": says(listed.encode(), kind="text/xml"), "/robots.txt": says(b"")}
        survey = look(site)
    assert [(left.reason, left.count) for left in survey.skipped] == [("soft_404", 5)]
    assert survey.pages.likely == 1


def test_it_crosses_to_another_function_unchanged(site: Website) -> None:
    with site:
        made(site, Plan(9, "ko", pages=12, bad_share=0.3))
        survey = look(site)
    assert Survey.parse(json.loads(json.dumps(survey.told()))) == survey
    ask = Ask(
        site.url, ("shop.example",), Reach(5, 2, ("/a*",), ("/b",)), (KnownPage(site.url, "h", distrusted=("etag",)),)
    )
    assert Ask.parse(json.loads(json.dumps(asdict(ask)))) == ask


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://shop.example/", "http://shop.example/"),
        ("http://shop.example/about", "http://shop.example/"),
        ("http://shop.example/help/a/b.html", "http://shop.example/help/"),
        ("http://shop.example/ja/help/a.html", "http://shop.example/ja/help/"),
        ("http://shop.example/zh-Hant/a.html", "http://shop.example/zh-Hant/"),
        ("http://shop.example/help/a.pdf", "http://shop.example/help/."),
    ],
)
def test_pages_are_alike_by_folder_and_language(url: str, kind: str) -> None:
    assert kind_of(url) == kind


def test_a_site_is_served_packed_or_without_validators_all_the_same(site: Website) -> None:
    with site:
        site.options = Options(has_etags=False, has_dates=False, is_packed=True, charset="")
        made(site, Plan(10, "ja", pages=8))
        assert look(site).pages.likely == 8
