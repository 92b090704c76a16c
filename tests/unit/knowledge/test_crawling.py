"""A site on this machine, crawled again and again: what is asked for, learnt, missed, and told of each page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from noren.errors import Conflict, Unprocessable
from noren.ids import TenantId
from noren.knowledge import crawling
from noren.knowledge.blobs import text_key
from noren.knowledge.crawl.scope import MAX_VARIANTS
from noren.knowledge.crawl.visit import MOST_HOPS
from noren.knowledge.crawl_store import Expiry
from noren.knowledge.crawling import AUDITED, MISSED_SECONDS, SITEMAP_PAUSE, _is_audited
from noren.knowledge.messages import MOST_TRIES
from noren.knowledge.models import Job, JobPage, page_id
from noren.knowledge.worker import MOST_VISITS
from noren.sites.models import Site
from tests.unit.fetching.net import Net
from tests.unit.knowledge.training_world import World
from tests.unit.knowledge.web import HOME, Answer, Web

SHOP = "Welcome to a shop for tea and what belongs to it, since 1923. " * 4
TEA = "Our green tea is grown in Uji and shipped within two days. " * 4
CUP = "A cup of white porcelain from Arita, made by hand, holds a quarter of a litre. " * 4
HELP = "Orders can be returned within thirty days if the parcel has not been opened. " * 4


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


@pytest.fixture
def web(net: Net) -> Web:
    made = Web(net)
    made.put(
        "/", "Shop", "Welcome to a shop for tea and what belongs to it, since 1923. " * 4, ["/tea", "/cup", "/help/"]
    )
    made.put("/tea", "Tea", TEA, ["/"])
    made.put("/cup", "Cup", CUP, ["/"])
    made.put("/help/", "Help", HELP, ["/help/returns"])
    made.put("/help/returns", "Returns", HELP.replace("thirty", "sixty") + "Write to us first. " * 9)
    return made


@pytest.fixture
def world(knowledge_table: Any, net: Net, web: Web) -> World:
    return World(knowledge_table, net)


def crawled(world: World, **options: Any) -> Job:
    job = world.crawl(**options)
    world.drain()
    world.check(job)
    return world.job(job)


def told(world: World, job: Job) -> dict[str, tuple[str, str]]:
    """What became of each page, by its path."""
    return {"/" + each.name.removeprefix(HOME): (each.status, each.reason) for each in world.jobs.pages(job)}


def counts(job: Job) -> tuple[int, ...]:
    return job.found, job.changed, job.unchanged, job.removed, job.failed, job.skipped


def test_a_page_that_comes_to_no_chunk_is_skipped(world: World, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawling, "measure", lambda _: (0, 0))
    job = crawled(world, max_pages=1)
    assert told(world, job) == {"/": ("skipped", "no_text")}
    assert world.texts() == {}


def test_a_site_is_read_from_its_start(world: World, web: Web) -> None:
    job = crawled(world)
    assert (job.status, job.mode, counts(job)) == ("succeeded", "full", (5, 5, 0, 0, 0, 0))
    assert set(told(world, job)) == {"/", "/tea", "/cup", "/help/", "/help/returns"}
    assert web.asked["/tea"] == web.asked["/robots.txt"] == 1
    visible = world.visible()
    assert visible
    assert visible.find("porcelain from Arita", 1) == [world.texts()["Cup"].document_id]
    assert world.site.domains == ("shop.example",)


def test_a_page_tells_the_day_it_was_published(world: World, web: Web) -> None:
    web.put("/tea", "Tea", TEA, head='<meta property="article:published_time" content="2026-03-04T05:06:07+09:00">')
    crawled(world)
    assert {title: each.published for title, each in world.texts().items() if each.published} == {"Tea": "2026-03-04"}


def test_only_what_has_changed_is_sent_and_learnt_again(world: World, web: Web) -> None:
    crawled(world)
    before = world.texts()
    web.forget()
    web.put("/tea", "Tea", TEA + "Now in tins. ", ["/"])
    world.now += 86400
    job = crawled(world)
    assert (job.status, job.mode, counts(job)) == ("succeeded", "differential", (5, 1, 4, 0, 0, 0))
    assert job.fetched == 5
    sent = {
        path for path in web.sent if path.startswith("/") and not path.startswith(("/noren-", "/robots", "/sitemap"))
    }
    audited = {path for path, count in web.sent.items() if path in ("/", "/cup", "/help/", "/help/returns")}
    assert sent - audited == {"/tea"}
    now = world.texts()
    assert (now["Tea"].version, now["Cup"].version) == (2, 1)
    assert now["Cup"].content_hash == before["Cup"].content_hash
    assert now["Cup"].checked_at == pytest.approx(world.now, abs=7200)


def test_all_is_learnt_again_on_demand(world: World, web: Web) -> None:
    crawled(world)
    job = crawled(world, force=True)
    assert (job.mode, counts(job)) == ("full", (5, 5, 0, 0, 0, 0))
    assert web.sent["/tea"] == 2


def test_a_new_page_is_found_though_what_leads_to_it_says_that_it_has_not_changed(world: World, web: Web) -> None:
    crawled(world, max_pages=1)
    assert list(world.texts()) == ["Shop"]
    web.forget()
    job = crawled(world)
    assert counts(job) == (5, 4, 1, 0, 0, 0)
    assert web.sent["/"] == 0 or is_audited(world, job, "/")


def is_audited(world: World, job: Job, path: str) -> bool:
    return _is_audited(job, JobPage(page_id(HOME + path.lstrip("/")), "", ""))


def test_a_page_goes_when_two_crawls_have_missed_it_and_comes_back(world: World, web: Web) -> None:
    crawled(world)
    cup = web.paths.pop("/cup")
    first = crawled(world)
    assert (counts(first), first.reasons) == ((5, 0, 4, 0, 0, 1), {"missing": 1})
    assert told(world, first)["/cup"] == ("skipped", "missing")
    missed = world.texts()["Cup"]
    assert (missed.status, missed.misses) == ("active", 1)
    assert missed.valid_until
    visible = world.visible()
    assert visible
    assert missed.document_id in visible.find("porcelain", 5)
    second = crawled(world)
    assert (second.status, counts(second)) == ("succeeded", (5, 0, 4, 1, 0, 0))
    assert told(world, second)["/cup"] == ("removed", "missing")
    assert world.texts()["Cup"].status == "gone"
    visible = world.visible()
    assert visible
    assert missed.document_id not in visible.find("porcelain", 5)
    third = crawled(world)  # it is linked still, but nobody counts it again
    assert (counts(third), told(world, third)["/cup"]) == ((5, 0, 4, 0, 0, 1), ("skipped", "missing"))
    web.paths["/cup"] = cup
    fourth = crawled(world)
    assert counts(fourth) == (5, 1, 4, 0, 0, 0)
    back = world.texts()["Cup"]
    assert (back.status, back.misses, back.valid_until, back.version) == ("active", 0, None, 2)
    visible = world.visible()
    assert visible
    assert visible.find("porcelain", 1) == [back.document_id]


def test_a_page_that_is_found_again_has_not_been_missed(world: World, web: Web) -> None:
    crawled(world)
    cup = web.paths.pop("/cup")
    crawled(world)
    web.paths["/cup"] = cup
    crawled(world)
    assert (world.texts()["Cup"].misses, world.texts()["Cup"].valid_until) == (0, None)
    web.paths.pop("/cup")
    assert crawled(world).removed == 0


def test_a_page_that_was_missed_expires_though_nobody_asks_for_it_again(world: World, web: Web) -> None:
    crawled(world)
    web.paths.pop("/cup")
    crawled(world)
    visible = world.visible()
    assert visible
    assert visible.find("porcelain", 5)
    world.now += MISSED_SECONDS - 1000
    assert expired(world) == 0
    world.now += 86400 + 1000
    assert [expired(world) for _ in range(2)] == [1, 0]
    world.drain()
    visible = world.visible()
    assert visible
    assert not visible.find("porcelain", 5)


def test_an_expiry_is_published_though_some_texts_get_no_vector_and_leaves_no_version_that_had_the_page(
    world: World, web: Web
) -> None:
    world.model.is_had = True
    crawled(world)
    web.paths.pop("/cup")
    crawled(world)
    world.model.left = 0
    world.start(("Hours", "From ten to six."))
    world.drain()
    world.now += MISSED_SECONDS + 90000
    assert expired(world) == 1
    world.drain()
    told, _, status = world.told[-1]
    job = world.training.get(world.tenant, told)
    assert (job.kind, status, job.error) == ("refresh", "partial", "embedding_quota_spent")
    pointer = world.documents.pointer(world.tenant, world.site.site_id)
    assert pointer
    assert (pointer.version, pointer.previous) == (job.index_version, None)


def expired(world: World) -> int:
    """How many sites were begun to be published anew: of this tenant alone, for the tests share a table."""
    every = world.crawls.expired
    world.crawls.expired = lambda now: (each for each in every(now) if each.tenant_id == world.tenant)  # type: ignore[method-assign]
    done = world.crawling.expire()
    world.crawls.expired = every  # type: ignore[method-assign]
    return done


def test_a_page_that_came_back_in_time_does_not_expire(world: World, web: Web) -> None:
    crawled(world)
    cup = web.paths.pop("/cup")
    crawled(world)
    web.paths["/cup"] = cup
    web.put("/tea", "Tea", TEA + "It is sold by weight.", ["/"])
    crawled(world)
    world.now += MISSED_SECONDS + 90000
    version = world.documents.pointer(world.tenant, world.site.site_id)
    assert version
    assert version.previous, "there is something to go back to"
    assert expired(world) == 0
    world.drain()
    assert world.documents.pointer(world.tenant, world.site.site_id) == version
    assert world.tenant not in {each.tenant_id for each in world.crawls.expired(world.now)}


def test_one_site_that_can_not_be_published_anew_holds_up_no_other(world: World, web: Web) -> None:
    crawled(world)
    web.paths.pop("/cup")
    crawled(world)
    world.now += MISSED_SECONDS + 90000
    broken = Expiry(world.tenant, "site_broken", "")
    every, site = world.crawls.expired, world.crawling._sites.now

    def read(tenant_id: TenantId, site_id: str) -> Site:
        if site_id == broken.site_id:
            raise OSError("storage is away")
        return site(tenant_id, site_id)

    world.crawling._sites.now = read  # type: ignore[method-assign]
    world.crawls.expired = lambda now: iter([broken, *every(now)])  # type: ignore[method-assign]
    assert expired(world) == 1


def test_a_fetch_that_failed_is_no_miss(world: World, web: Web) -> None:
    crawled(world)
    web.paths["/cup"] = Answer(b"", "500 Oops")
    for _ in range(3):
        job = crawled(world)
        assert (job.status, counts(job), job.reasons) == ("partial", (5, 0, 4, 0, 1, 0), {"server_error": 1})
    assert (world.texts()["Cup"].status, world.texts()["Cup"].misses) == ("active", 0)
    assert web.asked["/cup"] == 1 + 3 * MOST_VISITS


REFUSALS = {
    "403 Forbidden": "forbidden",
    "400 Bad": "refused",
    "418 Teapot": "refused",
}


def test_a_site_that_keeps_us_out_keeps_what_is_known_of_it(world: World, web: Web) -> None:
    crawled(world)
    cup = web.paths["/cup"]
    for number in range(3):  # one page alone
        web.paths["/cup"] = Answer(b"<h1>Attention!</h1>", list(REFUSALS)[number])
        job = crawled(world)
        assert (job.status, counts(job)) == ("partial", (5, 0, 4, 0, 1, 0))
        assert told(world, job)["/cup"] == ("failed", list(REFUSALS.values())[number])
    web.paths["/cup"] = Answer(b"", "302 Found", location="/cup")
    assert told(world, crawled(world))["/cup"] == ("failed", "redirect_loop")
    web.paths["/cup"] = Answer(b'<div id="root"></div><script src="/app.js"></script>')
    assert told(world, crawled(world))["/cup"] == ("failed", "needs_js")
    pages = dict(web.paths, **{"/cup": cup})
    for path in web.paths:  # all of it
        web.paths[path] = Answer(b"<h1>Attention!</h1>", "403 Forbidden")
    for _ in range(3):
        job = crawled(world)
        assert (job.status, job.error, job.removed, job.failed) == ("failed", "nothing_read", 0, 5)
    web.paths.update(pages)
    assert {(each.status, each.misses, each.valid_until) for each in world.texts().values()} == {("active", 0, None)}
    visible = world.visible()
    assert visible
    assert visible.find("porcelain", 1)
    assert crawled(world).status == "succeeded"


@pytest.mark.parametrize("how", ["missing", "robots", "other_site"])
def test_a_crawl_that_had_nothing_removes_nothing(world: World, web: Web, how: str) -> None:
    crawled(world)
    cup = web.paths.pop("/cup")
    crawled(world)
    missed = world.texts()["Cup"]
    web.paths["/cup"] = cup
    pages = dict(web.paths)
    if how == "robots":
        web.paths["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /\n")
    else:
        for path in set(web.paths) - {"/robots.txt"}:
            web.paths[path] = Answer(b"", "404 Not Found" if how == "missing" else "302 Found")
            web.paths[path].location = "http://parked.example/" if how == "other_site" else ""
    version = world.documents.pointer(world.tenant, world.site.site_id)
    for _ in range(3):
        job = crawled(world)
        assert (job.status, job.error, counts(job)) == ("failed", "nothing_read", (5, 0, 0, 0, 0, 5))
        assert job.reasons == {how: 5}
    assert world.documents.pointer(world.tenant, world.site.site_id) == version
    assert (world.texts()["Cup"].misses, world.texts()["Cup"].valid_until) == (1, missed.valid_until)
    assert {each.status for each in world.texts().values()} == {"active"}
    web.paths.clear()
    web.paths.update(pages)
    assert (crawled(world).status, world.texts()["Cup"].misses) == ("succeeded", 0)


def test_a_page_whose_text_is_lost_holds_up_no_training_and_is_read_again(world: World, web: Web) -> None:
    crawled(world)
    cup = world.texts()["Cup"]
    world.bucket.delete([text_key(cup)])
    world.start(("Hours", "From ten to six."))
    world.drain()
    visible = world.visible()
    assert visible
    assert (visible.find("porcelain", 1), visible.find("Uji", 1) != []) == ([], True)
    job = crawled(world)
    assert (job.status, told(world, job)["/cup"]) == ("succeeded", ("changed", ""))
    again = world.visible()
    assert again
    assert again.find("porcelain", 1) == [cup.document_id]


def test_what_failed_is_done_again_on_demand(world: World, web: Web) -> None:
    cup = web.paths["/cup"]
    web.paths["/cup"] = Answer(b"", "503 Busy", retry_after="120")
    job = crawled(world)
    assert (job.status, counts(job), job.reasons) == ("partial", (5, 4, 0, 0, 1, 0), {"busy": 1})
    web.paths["/cup"] = cup
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    world.check(job)
    again = world.job(job)
    assert (again.status, again.attempt, counts(again)) == ("succeeded", 2, (5, 5, 0, 0, 0, 0))
    assert again.reasons == {"busy": 0}


def test_what_failed_ends_truly_though_robots_txt_can_not_be_read_any_more(world: World, web: Web) -> None:
    web.paths["/cup"] = Answer(b"", "500 Oops")
    job = crawled(world)
    web.paths["/robots.txt"] = Answer(b"", "503 Busy")
    world.training.retry(world.tenant, job.job_id)
    while world.queue.waiting:
        world.deliver()
    world.check(job)
    again = world.job(job)
    assert (again.status, again.error, counts(again)) == ("partial", "robots_unavailable", (5, 4, 0, 0, 1, 0))


def test_the_sweep_leaves_alone_what_is_kept_back(world: World, web: Web) -> None:
    web.paths["/cup"] = Answer(b"", "503 Busy", retry_after="3600")
    job = world.crawl()
    while not any(each.reason for each in world.jobs.pages(job)):
        world.deliver()
    while any(not each.get("delay") for each in world.queue.waiting):
        world.deliver(next(at for at, each in enumerate(world.queue.waiting) if not each.get("delay")))
    waiting = len(world.queue.waiting)
    world.now += 700
    assert (world.worker.sweep(), len(world.queue.waiting)) == (0, waiting)
    world.now += 3600
    assert world.worker.sweep() == 1


def test_a_busy_page_is_asked_for_again_when_it_says(world: World, web: Web) -> None:
    web.paths["/cup"] = Answer(b"", "503 Busy", retry_after="1800")
    job = world.crawl()
    while not any(each.reason for each in world.jobs.pages(job)):
        world.deliver()
    waiting = next(each for each in world.jobs.pages(job) if each.reason)
    assert (waiting.status, waiting.reason, waiting.due_at) == ("waiting", "busy", int(world.now + 1800))
    assert max(each.get("delay", 0) for each in world.queue.waiting) == 900  # the queue keeps nothing back for longer
    asked = web.asked["/cup"]
    world.deliver(next(at for at, each in enumerate(world.queue.waiting) if each.get("delay")))
    assert web.asked["/cup"] == asked
    web.put("/cup", "Cup", CUP)
    world.drain()
    assert (world.job(job).status, world.job(job).changed) == ("succeeded", 5)


def test_a_busy_host_is_left_alone_by_all_pages(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 1\n")
    times = list[float]()
    web.on_request = lambda path: times.append(world.now) if path in ("/tea", "/cup", "/help/") else None
    for path in ("/tea", "/cup", "/help/"):
        web.paths[path] = Answer(b"", "429 Slow down", retry_after="500")
    job = crawled(world)
    assert (job.status, job.reasons) == ("partial", {"busy": 3})
    times.sort()
    assert len(times) == 3 * MOST_VISITS
    assert all(later - earlier >= 499 for earlier, later in pairwise(times))


def test_a_host_is_not_left_alone_for_what_another_says(world: World, web: Web) -> None:
    """It leads to one whose robots.txt can't be read."""
    other = Web(web.net, "help.shop.example", "93.184.216.35")
    other.paths["/robots.txt"] = Answer(b"", "503 Busy")
    web.paths["/cup"] = Answer(b"", "301 Moved", location="http://help.shop.example/")
    job = crawled(world)
    assert (job.status, job.reasons) == ("partial", {"busy": 1})
    assert world.slots.held == {}


def test_those_who_come_late_are_no_burst(world: World, web: Web) -> None:
    """A queue that was long gives out what it held back: a host is called no more often for it."""
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 20\n")
    job = world.crawl()
    world.deliver()
    world.deliver()
    for _ in range(3):
        world.deliver()
    slots = [each.due_at for each in world.jobs.pages(job) if each.has_slot]
    assert len(slots) == 3
    world.now = max(slots) + 60
    web.forget()
    for message in world.queue.waiting:
        message.pop("delay", None)
    for _ in range(3):
        world.deliver()
    assert sum(web.asked[path] for path in ("/tea", "/cup", "/help/")) == 1
    world.drain()
    assert world.job(job).changed == 5


def test_sitemaps_are_read_one_after_the_other(world: World, web: Web) -> None:
    names = [f"/list/{number}.xml" for number in range(3)]
    listed = "".join(f"Sitemap: {HOME}{name[1:]}\n" for name in names)
    web.paths["/robots.txt"] = Answer(f"User-agent: *\nCrawl-delay: 5\n{listed}".encode(), type="text/plain")
    times = list[float]()
    web.on_request = lambda path: times.append(world.now) if path in names else None
    world.crawl()
    world.deliver()
    assert [later - earlier for earlier, later in pairwise(times)] == [SITEMAP_PAUSE] * 2


def test_pages_that_are_listed_of_another_host_have_its_rules(world: World, web: Web) -> None:
    other = Web(web.net, "help.shop.example", "93.184.216.35")
    other.put("/guide", "Guide", HELP)
    other.put("/secret", "Secret", TEA)
    other.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\nDisallow: /secret\n", type="text/plain")
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\nDisallow: /guide\n", type="text/plain")
    web.sitemap(("/tea", ""))
    listed = web.paths["/sitemap.xml"]
    for path in ("guide", "secret"):
        entry = f"<url><loc>http://help.shop.example/{path}</loc></url></urlset>"
        listed.body = listed.body.replace(b"</urlset>", entry.encode())
    pages = {each.name: each.reason for each in world.jobs.pages(crawled(world))}
    assert pages["http://help.shop.example/guide"] == ""
    assert pages["http://help.shop.example/secret"] == "robots"


def test_a_list_of_more_than_there_is_room_for_is_said_to_be_cut(world: World, web: Web) -> None:
    for path in web.paths:
        web.put(path, f"Page {path}", f"This is what {path} says. " * 9) if path != "/robots.txt" else None
    web.sitemap(("/tea", ""), ("/", ""), ("/cup", ""), ("/help/", ""))
    job = crawled(world, max_pages=3)
    assert (job.found, job.is_cut) == (3, True)
    job = crawled(world, max_pages=4)
    assert (job.found, job.is_cut) == (4, False)


def test_pages_out_of_a_crawls_scope_stay(world: World, web: Web) -> None:
    crawled(world)
    for path in ("/tea", "/help/returns"):
        web.paths.pop(path)
    for _ in range(2):
        job = crawled(world, url=f"{HOME}help/", include=("/help/*",))
        assert set(told(world, job)) == {"/help/", "/help/returns"}
    assert job.removed == 1
    assert {title: each.status for title, each in world.texts().items() if each.status == "gone"} == {"Returns": "gone"}
    visible = world.visible()
    assert visible
    assert visible.find("Uji", 1)


def test_a_start_in_a_folder_means_that_folder(world: World, web: Web) -> None:
    job = crawled(world, url=f"{HOME}help/")
    assert (job.include, set(told(world, job))) == (("/help/*",), {"/help/", "/help/returns"})
    web.put("/help/", "Help", HELP, ["/help/returns", "/tea"])
    assert set(told(world, crawled(world, url=f"{HOME}help/", force=True))) == {"/help/", "/help/returns"}
    assert "/tea" in told(world, crawled(world, url=f"{HOME}help/", include=("/*",), force=True))


def test_each_page_has_its_reason(world: World, web: Web) -> None:
    web.put(
        "/",
        "Shop",
        SHOP,
        ["/private", "/moved", "/twin", "/app", "/off", "/a.png", "/gone", "/login", "http://else.example/"],
    )
    web.put("/private", "Private", TEA, ["/linked"], head='<meta name="robots" content="noindex">')
    web.put("/linked", "Linked", CUP)
    web.paths["/moved"] = Answer(b"", "301 Moved", location="/new")
    web.put("/new", "New", HELP)
    web.put("/twin", "Twin", TEA, head='<link rel="canonical" href="/tea">')
    web.paths["/app"] = Answer(b'<title>App</title><div id="root"></div><script src="/app.js"></script>')
    web.paths["/off"] = Answer(b"<title>404</title><h1>Page not found</h1>")
    web.paths["/login"] = Answer(b"", "403 Forbidden")
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\nDisallow: /secret\n")
    job = crawled(world)
    assert told(world, job) == {
        "/": ("changed", ""),
        "/private": ("skipped", "noindex"),
        "/linked": ("changed", ""),
        "/moved": ("skipped", "redirected"),
        "/new": ("changed", ""),
        "/twin": ("skipped", "duplicate"),
        "/tea": ("changed", ""),
        "/app": ("skipped", "needs_js"),
        "/off": ("skipped", "soft_404"),
        "/gone": ("skipped", "missing"),
        "/login": ("skipped", "forbidden"),
    }
    assert (job.status, sum(job.reasons.values()), job.reasons["needs_js"]) == ("succeeded", 7, 1)


def test_a_page_that_has_moved_is_sent_once(world: World, web: Web) -> None:
    web.put("/", "Shop", SHOP, ["/moved"])
    web.paths["/moved"] = Answer(b"", "301 Moved", location="/tea")
    assert told(world, crawled(world))["/tea"] == ("changed", "")
    assert (web.asked["/moved"], web.asked["/tea"]) == (1, 1)


def test_addresses_that_only_lead_on_come_to_an_end(world: World, web: Web) -> None:
    web.put("/", "Shop", SHOP, ["/hop/0", "/says/0"])
    for number in range(20):
        web.paths[f"/hop/{number}"] = Answer(b"", "301 Moved", location=f"/hop/{number + 1}")
        web.put(f"/says/{number}", "Tea", TEA, head=f'<link rel="canonical" href="/says/{number + 1}">')
    paths = set(told(world, crawled(world)))
    assert paths == {"/", *(f"/{kind}/{number}" for kind in ("hop", "says") for number in range(1 + MOST_HOPS))}


def test_a_page_that_says_noindex_goes_at_once(world: World, web: Web) -> None:
    crawled(world)
    web.put("/cup", "Cup", CUP, head='<meta name="robots" content="noindex">')
    assert crawled(world).removed == 1
    assert world.texts()["Cup"].status == "gone"


def test_pages_that_all_say_noindex_go_at_once_too(world: World, web: Web) -> None:
    """A page or folder that was trained by itself must not be answered from for ever."""
    crawled(world)
    for path in ("/help/", "/help/returns"):
        web.paths[path].robots = "noindex"
        web.paths[path].etag = ""
    job = crawled(world, url=f"{HOME}help/")
    assert (job.status, job.error, job.removed, job.reasons) == ("partial", "nothing_read", 2, {"noindex": 2})
    assert {title for title, each in world.texts().items() if each.status == "gone"} == {"Help", "Returns"}
    visible = world.visible()
    assert visible
    gone = {world.texts()[title].document_id for title in ("Help", "Returns")}
    assert gone.isdisjoint(visible.find("Orders can be returned", 9))
    for path in ("/", "/tea", "/cup"):
        web.paths[path].robots = "noindex"
        web.paths[path].etag = ""
    assert crawled(world).removed == 3
    visible = world.visible()
    assert visible
    assert not visible.find("Welcome to a shop for tea", 9)
    assert (crawled(world).status, crawled(world).removed) == ("failed", 0)


def test_what_robots_txt_keeps_from_us_is_not_asked_for(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"User-agent: Noren\nCrawl-delay: 0\nDisallow: /help/\n")
    job = crawled(world)
    assert set(told(world, job)) == {"/", "/tea", "/cup"}
    assert not web.asked["/help/"]
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /\n")
    job = crawled(world, url=f"{HOME}new")
    assert (job.status, job.error) == ("failed", "nothing_read")
    assert told(world, job)["/new"] == ("skipped", "robots")
    assert {each.status for each in world.texts().values()} == {"active"}


def test_a_site_whose_robots_txt_is_out_of_order_is_left_alone(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"", "503 Busy")
    job = crawled(world)
    assert (job.status, job.error, job.found) == ("failed", "robots_unavailable", 0)
    assert set(web.asked) == {"/robots.txt"}
    assert web.asked["/robots.txt"] == MOST_TRIES
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 0\n")
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert (world.job(job).status, world.job(job).changed) == ("succeeded", 5)


def test_a_sitemap_leads_to_pages_and_spares_their_fetch(world: World, web: Web) -> None:
    web.put("/alone", "Alone", TEA.replace("green", "black"), etag="")
    web.sitemap(("/", ""), ("/alone", "2026-11-01"), ("/elsewhere.png", ""))
    assert crawled(world).found == 6
    web.forget()
    job = crawled(world)
    assert job.unchanged == 6
    assert web.asked["/alone"] == is_audited(world, job, "/alone")
    web.sitemap(("/alone", "2026-11-20"))
    web.put("/alone", "Alone", TEA.replace("green", "white"), etag="")
    assert crawled(world).changed == 1


def test_a_site_that_always_says_unchanged_is_found_out(world: World, web: Web) -> None:
    web.put("/", "Shop", SHOP, ["/tea"], etag='"always"')
    web.put("/tea", "Tea", TEA, etag='"always"')
    crawled(world)
    web.put("/tea", "Tea", TEA + "Now in tins. ", etag='"always"')
    for _ in range(AUDITED * 20):
        job = crawled(world)
        assert job.changed == is_audited(world, job, "/tea")
        if job.changed:
            break
    assert world.texts()["Tea"].distrusted == ("etag",)
    web.put("/tea", "Tea", TEA + "Now in boxes. ", etag='"always"')
    assert crawled(world).changed == 1  # it is not believed again


def test_near_duplicates_are_left_out_whichever_was_read_first(world: World, web: Web) -> None:
    twins = ["/tea-print", "/tea", "/tea-also"]
    web.put("/", "Shop", SHOP, twins)
    for path in twins:
        web.put(path, "Tea", TEA, head=f"<meta name=where content={path}>")
    job = crawled(world)
    assert (counts(job), job.reasons) == ((4, 2, 0, 0, 0, 2), {"near_duplicate": 2})
    assert told(world, job)["/tea"] == ("changed", "")
    visible = world.visible()
    assert visible
    assert len(visible.find("Uji", 9)) == 1
    web.paths.pop("/tea")
    again = crawled(world), crawled(world)
    assert [each.removed for each in again] == [0, 1]
    visible = world.visible()
    assert visible
    found = visible.find("Uji", 9)
    assert [
        each.url for each in world.documents.every(world.tenant, world.site.site_id) if each.document_id in found
    ] == [f"{HOME}tea-also"]
    world.now += 40 * 86400
    crawled(world)
    visible = world.visible()
    assert visible
    assert visible.find("Uji", 9) == found  # its text has not been cleared away as unused


def test_a_job_stays_within_its_bounds(world: World, web: Web) -> None:
    web.put("/", "Shop", SHOP, [f"/list?page={number}" for number in range(60)] + ["/deep/1"])
    for number in range(60):
        web.put(f"/list?page={number}", f"List {number}", TEA.replace("two", str(number)))
    for number in range(1, 6):
        web.put(f"/deep/{number}", f"Deep {number}", CUP.replace("Arita", f"Arita {number}"), [f"/deep/{number + 1}"])
    job = crawled(world, max_depth=3)
    paths = set(told(world, job))
    assert sum(path.startswith("/list") for path in paths) == MAX_VARIANTS
    assert {path for path in paths if path.startswith("/deep")} == {"/deep/1", "/deep/2", "/deep/3"}
    again = crawled(world, max_depth=3)
    assert set(told(world, again)) == paths  # what is known counts as deep as it was found
    small = crawled(world, url=f"{HOME}deep/1", max_pages=2, include=("/deep/*",))
    assert (small.found, small.is_cut) == (2, True)


def test_queries_that_are_left_out_are_counted_once_and_products_are_not(world: World, web: Web) -> None:
    products = [f"/detail.php?product_id={number}" for number in range(60)]
    lists = [f"/list?page={number}" for number in range(MAX_VARIANTS + 15)]
    web.put("/", "Shop", SHOP, [*products, *lists])
    web.put("/list?page=1", "List", CUP, lists)
    web.put("/list?page=2", "List", TEA, [*lists, "/list?page=x"])
    for number, path in enumerate(products):
        web.put(path, f"Product {number}", TEA.replace("two", str(number)))
    job = crawled(world)
    paths = set(told(world, job))
    assert paths >= set(products)
    assert len(paths) == job.found == 1 + 60 + MAX_VARIANTS
    assert job.reasons["too_many_queries"] == 16
    again = crawled(world)
    assert (again.found, again.reasons["too_many_queries"]) == (job.found, 16)


def test_a_plan_bounds_a_sites_pages_over_all_crawls(world: World, web: Web) -> None:
    job = crawled(world, url=f"{HOME}help/", include=("/help/*",), room=3)
    assert (job.found, job.is_cut) == (2, False)
    job = crawled(world, exclude=("/help/*",), room=3)
    assert (job.found, job.is_cut) == (1, True)
    job = crawled(world, url=f"{HOME}tea", include=("/tea",), room=3)
    assert (job.status, job.error) == ("failed", "no_room")
    assert len(world.texts()) == 3


def test_one_crawl_of_a_site_at_a_time_is_open(world: World, web: Web) -> None:
    job = world.crawl()
    with pytest.raises(Conflict) as caught:
        world.crawl()
    assert (caught.value.code, caught.value.extra) == ("training_open", {"job_id": job.job_id})
    world.start(("Hours", "From ten to six"))  # no crawl
    world.training.cancel(world.tenant, job.job_id)
    second = world.crawl()
    with pytest.raises(Conflict) as caught:
        world.training.retry(world.tenant, job.job_id)
    assert caught.value.extra == {"job_id": second.job_id}
    world.drain()
    assert world.job(second).status == "succeeded"
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert (world.job(job).status, world.job(job).changed) == ("succeeded", 5)


def test_the_first_address_decides_whose_pages_a_site_is_trained_on(world: World, web: Web) -> None:
    for url in ("ftp://shop.example/", "shop", "http://", "https://someone@shop.example/"):
        with pytest.raises(Unprocessable):
            world.crawl(url)
    crawled(world, url="http://www.shop.example/")
    assert world.site.domains == ("shop.example",)
    with pytest.raises(Unprocessable) as caught:
        world.crawl("https://other.example/")
    assert "other.example is not one of this site's domains (shop.example)" in caught.value.detail
    world.crawl("https://help.shop.example/")


def test_hosts_are_called_in_their_pace(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 20\n")
    times = list[float]()
    web.on_request = lambda path: times.append(world.now) if path in ("/", "/tea", "/cup", "/help/") else None
    job = crawled(world)
    assert (job.status, job.changed) == ("succeeded", 5)
    assert len(times) == 4
    assert all(later - earlier >= 19 for earlier, later in pairwise(sorted(times)))


def test_a_page_whose_host_is_taken_for_long_comes_again_without_a_slot(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 20\n")
    world.slots.next["shop.example"] = int((world.now + 3600) * 1000)
    job = world.crawl()
    world.deliver()
    world.deliver()
    page = next(iter(world.jobs.pages(job)))
    assert (page.has_slot, page.attempts, web.asked["/"]) == (False, 0, 0)
    assert 800 < page.due_at - world.now <= 901
    world.drain()
    assert world.job(job).changed == 5


def test_a_message_that_comes_twice_takes_no_second_slot(world: World, web: Web) -> None:
    web.paths["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 20\n")
    job = world.crawl()
    world.deliver()
    world.deliver(again=True)
    assert world.job(job).changed == 1
    slots = dict(world.slots.next)
    for _ in range(3):
        page = world.queue.waiting[0]
        world.queue.waiting.append(dict(page) | {"delay": 0})
        world.deliver(len(world.queue.waiting) - 1)
    assert world.slots.next["shop.example"] - slots["shop.example"] <= 20_000 * 3
    world.drain()
    assert (world.job(job).changed, web.asked["/tea"], web.asked["/cup"]) == (5, 1, 1)
