"""What of a site's documents is answered from."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from noren.ids import TenantId
from noren.knowledge.crawl.near import fingerprint
from noren.knowledge.current import current
from noren.knowledge.models import Document, document_id
from noren.knowledge.text import Block, Extracted

NOW = 1_795_000_000.0
TEA = " ".join(f"Tea number {each} grows in field {each * each} and costs {each * 37} yen." for each in range(60))
CUP = "A cup of white porcelain, made by hand, holds a quarter of a litre. " * 5


def page(url: str, text: str = TEA, title: str = "Tea", **more: Any) -> Document:
    print_of = fingerprint(Extracted(title, "en", (Block("paragraph", text),))).stored
    made = {"kind": "page", "fingerprint": print_of} | more
    return Document(
        document_id("site_1", url),
        TenantId("ten_1"),
        "site_1",
        url=url,
        title=title,
        language="en",
        content_hash=url,
        chunk_count=1,
        token_count=1,
        created_at=NOW,
        updated_at=NOW,
        **made,
    )


def urls(*documents: Document) -> set[str]:
    return {each.url for each in current(documents, NOW)}


def test_one_of_several_that_say_the_same_is_answered_from_in_whatever_order_they_come() -> None:
    pages = [
        page("https://shop.example/tea"),
        page("https://shop.example/tea?print=1", TEA + "Printed today."),
        page("http://shop.example/tea"),
        page("https://shop.example/a", CUP),
    ]
    for order in permutations(pages):
        assert urls(*order) == {"https://shop.example/tea", "https://shop.example/a"}


def test_what_differs_in_title_or_is_no_page_stays() -> None:
    pages = [page("https://shop.example/tea"), page("https://shop.example/tee", title="Tee")]
    written = [page(f"https://shop.example/{each}", kind="text", fingerprint="") for each in "ab"]
    assert len(urls(*pages, *written)) == 4


def test_what_is_gone_or_has_expired_is_not_answered_from_and_gives_way_to_its_copy() -> None:
    copy = page("https://shop.example/tea?print=1")
    for more in ({"status": "gone"}, {"valid_until": NOW}):
        assert urls(page("https://shop.example/tea", **more), copy) == {copy.url}
    assert urls(page("https://shop.example/tea", valid_until=NOW + 1), copy) == {"https://shop.example/tea"}
