from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.crawl.addresses import canonical, host_of, path_of


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("HTTP://Shop.Example:80/A/", "http://shop.example/A/"),
        ("https://shop.example:443", "https://shop.example/"),
        ("https://shop.example:8443/a", "https://shop.example:8443/a"),
        ("https://shop.example/a#part", "https://shop.example/a"),
        ("https://shop.example/a?", "https://shop.example/a"),
        ("https://shop.example/a?b=2&a=1&b=1", "https://shop.example/a?a=1&b=2&b=1"),
        ("https://shop.example/a?utm_source=x&id=7&gclid=1&fbclid=2&_ga=3&n_media=4", "https://shop.example/a?id=7"),
        (
            "https://shop.example/a?n_query=x&n_ad_group_type=1&n_campaign_type=2&n_idx=7",
            "https://shop.example/a?n_idx=7",
        ),
        ("https://shop.example/board?n_no=7&page=2", "https://shop.example/board?n_no=7&page=2"),
        ("https://shop.example/a?PHPSESSID=1&sid=0123456789abcdef0&sid=12", "https://shop.example/a?sid=12"),
        ("https://shop.example/a;jsessionid=0AF?x", "https://shop.example/a?x"),
        ("https://shop.example/a/./b/../c/..", "https://shop.example/a/"),
        ("https://shop.example/../../etc", "https://shop.example/etc"),
        ("https://shop.example/%7euser/%e3%81%82", "https://shop.example/~user/%E3%81%82"),
        ("https://shop.example/あ", "https://shop.example/%E3%81%82"),
        ("https://日本語.example/", "https://xn--wgv71a119e.example/"),
        ("https://shop.example//a//b", "https://shop.example//a//b"),
        ("  https://shop.example/a  ", "https://shop.example/a"),
    ],
)
def test_a_page_has_one_spelling(url: str, form: str) -> None:
    assert canonical(url) == form


@pytest.mark.parametrize(
    ("link", "form"),
    [
        ("c", "https://shop.example/a/c"),
        ("/c?x=1", "https://shop.example/c?x=1"),
        ("//other.example/c", "https://other.example/c"),
        ("?p=2", "https://shop.example/a/b?p=2"),
        ("../..", "https://shop.example/"),
        ("mailto:a@b.example", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("tel:+81", None),
        ("http://user@shop.example/", None),
        ("http://[::1", None),
        ("http://a b/", None),
        ("https://shop.example/" + "a" * 3000, None),
    ],
)
def test_links_are_relative_to_their_page(link: str, form: str | None) -> None:
    assert canonical(link, "https://shop.example/a/b") == form


@given(st.text(max_size=60), st.sampled_from(["", "https://shop.example/a/b?c", "http://[::1]/"]))
def test_any_text_is_none_or_a_form_that_stays(text: str, base: str) -> None:
    for each in (text, f"https://shop.example/{text}", f"http://{text}"):
        form = canonical(each, base)
        if form is not None:
            assert canonical(form) == form
            assert form.startswith(("http://", "https://"))
            assert "#" not in form
            assert path_of(form).startswith("/")
            assert host_of(form)
