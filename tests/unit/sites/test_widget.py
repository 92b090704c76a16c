"""A widget's settings: what is no plain text, address, colour or font is refused; what is accepted is readable."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from noren.sites.widget import Widget, font_family, merged, whole

TEXTS = ("welcome_message", "title", "placeholder", "launcher_text")
NO_TEXT = ("\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u202a", "\u2066", "\ud800")
ICONS = (
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "java\tscript:alert(1)",
    " https://shop.example/a.svg",
    "https://shop.example/a.svg\n",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "http://shop.example/a.png",
    "//shop.example/a.png",
    "/a.png",
    "https:a.png",
    "https:/shop.example",
    "https:\\\\shop.example\\a.png",
    "https://user@shop.example/a.png",
    "https://user:" + "word@shop.example/a.png",
    "https://shop.example@evil.example/a.png",
    "https://shop.example\\@evil.example/a.png",
    "https://localhost/a.png",
    "https://127.0.0.1/a.png",
    "https://0x7f000001/a.png",
    "https://[::1]/a.png",
    "https://shöp.example/a.png",
    "https://shop.example:0/a.png",
    "https://shop.example:99x/a.png",
    "https://shop.example/a b.png",
    "https://shop.example/\"onerror='x'",
    "https://shop.example/<svg>",
    "https://shop.example/url(x)",
    "https://shop.example/a.png#b",
    "https://shop..example/a.png",
    "https://-shop.example/a.png",
    "https://shop.example/" + "a" * 500,
    "blob:https://shop.example/1",
)
FONTS = (
    "Arial; color: red",
    "url(https://evil.example)",
    '"Arial"',
    "'Arial'",
    "Arial}",
    "{",
    "@import",
    "expression(1)",
    "Ari\\al",
    "/* x */",
    "Arial\n",
    "Arial,,serif",
    "-webkit",
    "Arial-",
    "Arial  Black",
    "a" * 60,
    "a, b, c, d, e, f",
    "<b>",
    "var(--x)",
    "Arial!important",
    "\u202eArial",
)
COLORS = ("red", "#fff", "123456", "#12345g", "#1234567", "#123456;", "#123456\n", "#１２３４５６", "rgb(1,2,3)", "")
WRONG: list[tuple[str, Any]] = [
    *((name, f"a{each}b") for name in TEXTS for each in NO_TEXT),
    *(("bubble_icon_url", each) for each in ICONS),
    *(("font", each) for each in FONTS),
    *(("color_primary", each) for each in COLORS),
    *(("radius", each) for each in (-1, 33, 4.0, "4", True, None)),
    *(("suggested_questions", each) for each in (["a"] * 2, list("abcdefg"), [""], ["a" * 121], ["a\nb"], "a", [1])),
    *(("show_sources", each) for each in (1, "true", None)),
    *(("consent", each) for each in (0, "false")),
    ("theme", "Dark"),
    ("position", "top"),
    ("mode", "modal"),
    ("locale", "fr"),
    ("locale", "JA"),
    ("welcome_message", "a" * 501),
    ("title", "a" * 61),
    ("placeholder", "a" * 101),
    ("launcher_text", "a" * 41),
    ("title", None),
    ("title", ["a"]),
    ("onload", "alert(1)"),
    ("__proto__", {}),
]
RIGHT: list[tuple[str, Any]] = [
    ("title", "</script><script>alert(1)</script>"),
    ("welcome_message", "いらっしゃいませ 🏮 어서 오세요 & <b>hello</b> ${x} `y` \"z\" 'w' \\"),
    ("placeholder", "👩‍🍳 何をお探しですか？"),
    ("suggested_questions", ["営業時間は？", "Where are you?"]),
    ("bubble_icon_url", "https://cdn.shop.example:8443/a/b-c_d.png?v=1&w=2"),
    ("bubble_icon_url", "HTTPS://xn--shp-5qa.example/a.png"),
    ("bubble_icon_url", ""),
    ("font", "Noto Sans JP, M PLUS 1p, 游ゴシック, system-ui"),
    ("color_primary", "#1f4e79"),
    ("radius", 0),
    ("radius", 32),
    ("mode", "inline"),
    ("locale", "ko"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda each: repr(each)[:40])
def test_what_is_not_plain_is_refused_at_its_field(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Widget.model_validate({name: value})
    assert caught.value.errors()[0]["loc"][0] == name


@pytest.mark.parametrize(("name", "value"), RIGHT, ids=lambda each: repr(each)[:40])
def test_what_is_plain_is_kept_as_it_is(name: str, value: Any) -> None:
    assert getattr(Widget.model_validate({name: value}), name) == value


def test_defaults_are_settings_that_would_be_accepted() -> None:
    assert Widget.model_validate(Widget().model_dump()) == Widget()
    assert Widget().model_dump(exclude_defaults=True) == {}


def test_a_change_keeps_what_it_does_not_name_and_what_is_the_default_is_not_stored() -> None:
    stored = merged({}, {"title": "Ask", "radius": 4})
    assert stored == {"title": "Ask", "radius": 4}
    assert merged(stored, {"radius": 16, "theme": "dark"}) == {"title": "Ask", "theme": "dark"}
    assert merged(stored, {"title": ""}) == {"radius": 4}


def test_what_was_stored_by_other_rules_is_as_if_never_set() -> None:
    stored = {"title": "Ask", "bubble_icon_url": "javascript:alert(1)", "radius": 99, "gone": 1}
    assert whole(stored) == Widget(title="Ask")
    assert merged(stored, {"theme": "dark"}) == {"title": "Ask", "theme": "dark"}


@pytest.mark.parametrize(
    ("names", "family"),
    [
        ("", "system-ui"),
        ("serif", "serif"),
        ("M PLUS 1p", '"M PLUS 1p", sans-serif'),
        ("Noto Serif KR, serif", '"Noto Serif KR", serif'),
        ("inherit", '"inherit", sans-serif'),
    ],
)
def test_fonts_are_a_value_of_css(names: str, family: str) -> None:
    assert font_family(names) == family
