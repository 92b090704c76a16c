"""Pages that are none: an error page that says 200, an empty shell that only a browser fills."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml.html import HtmlElement

from noren.knowledge.text import Block

_SAID = (
    r"(?:(?:the|that|this|your|requested) )*(?:web ?)?(?:page|file|url|address|resource|document)s?"
    r"(?: (?:you|we|are|were|is|was|have|had|looking|for|requested|tried|trying|to|reach|visit|it|that|could|can))*?"
    r" ?(?:can ?not|can[’']t|couldn[’']t|not|no longer|does ?n[o’']t|doesn[’']t)(?: be)? ?(?:found|exists?|available)"
    r"|(?:(?:the|that|this|your) )*(?:page|product|item) (?:is |was )?(?:no longer available|not available any ?more)"
    r"|(?:we )?(?:can(?:no|’|')t|couldn[’']t|could not) find (?:that|the|this) page"
    r"|(?:お探し|ご?指定|アクセス|リクエスト)(?:の|された|しようとした|いただいた)*(?:ページ|URL|商品|記事)(?:は|が|を)"
    r"[^。！？!?]{0,40}?(?:見つか|みつか|存在し|表示でき|ありませ|ございませ|削除|移動|終了)[^。！？!?]{0,30}"
    r"|(?:この|その|該当(?:の|する)?)?(?:ページ|商品|記事|URL)(?:は|が|を)?(?:現在|既に|すでに)?"
    r"(?:見つかり|みつかり|存在し|表示でき)ません(?:でした)?"
    r"|(?:この)?ページ(?:が|は)(?:削除|移動)(?:され|し)(?:ました|ています|た可能性があります)"
    r"|(?:(?:요청하신|찾으시는|이) ?)?(?:페이지|주소|상품)[를을가이는은]? ?"
    r"(?:찾을 수 ?없|표시할 수 ?없|존재하지 ?않|삭제되)[^.!?]{0,12}"
    r"|존재하지 ?않는 ?(?:페이지|상품|게시[물글])[^.!?]{0,8}"
)
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]?")
_ERROR = re.compile(_SAID, re.IGNORECASE)
_TITLE = re.compile(
    rf"(?:(?:oops|sorry|error|whoops|エラー|오류|申し訳(?:ございません|ありません)|404)\W*)*"
    rf"(?:{_SAID}|404\W*(?:error|エラー|오류)|(?:error|エラー|오류)\W*404|(?:404\W*)?(?:error\W*)?not found)"
    r"(?:\W*404)?\W*",
    re.IGNORECASE,
)
"""All of a title or heading, not a part of it: `Room 404` is a room."""
_BARE = re.compile(r"\W*404\W*")
_PARTS = re.compile(r"\s+[|\-–—:·»]\s+|\s*[｜|]\s*")
_PERHAPS = re.compile(
    r"\b(?:if|when|whenever|unless)\b|[?？]|(?:場合|とき|時)(?:は|に|、)|なら|경우|(?:없|않)(?:으면|다면)",
    re.IGNORECASE,
)
"""A sentence about pages that are missing, which an error page doesn't need."""
_SHELLS = frozenset("root app __next __nuxt ___gatsby app-root svelte main-app react-root".split())
_NEEDS = re.compile(r"javascript|자바스크립트", re.IGNORECASE)
_DENSE = re.compile(r"[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
FEW = 120
"""A page with less text than this, in Latin characters, says next to nothing."""
SHORT = 900
"""An error page says no more than this; an article about errors does."""


def weight(text: str) -> int:
    """The length of a text as if it were English: a Japanese or Korean character says as much as two letters."""
    return len(text) + len(_DENSE.findall(text))


def is_soft_404(title: str, blocks: Sequence[Block]) -> bool:
    """Whether a page that came with 200 is an error page by its looks: it says little, and its title or first heading
    says nothing but that, or most of its text does. A real page taken for one would be forgotten: doubt keeps it.
    """
    text = [block.text for block in blocks if not block.level]
    if sum(weight(block.text) for block in blocks) > SHORT:
        return False
    heading = next((block.text for block in blocks if block.level), "")
    names = [part for each in (title, heading) for part in (each, *_PARTS.split(each))]
    if any(_TITLE.fullmatch(each) and not each.rstrip().endswith(("?", "？")) for each in names):
        return True
    length = sum(map(weight, text))
    says = sum(weight(each) for part in text for each in _SENTENCE.findall(part) if _is_error(each))
    if any(map(_BARE.fullmatch, names)):
        return length <= FEW or says > 0
    return 2 * says > length


def _is_error(sentence: str) -> bool:
    return bool(_ERROR.search(sentence)) and not _PERHAPS.search(sentence)


def needs_js(tree: HtmlElement, blocks: Sequence[Block]) -> bool:
    """Whether the page is a shell: next to no text, and scripts that would put it there."""
    if sum(weight(block.text) for block in blocks) > FEW:
        return False
    if next(tree.iter("script"), None) is None:
        return False
    ids = {(each.get("id") or "").lower() for each in tree.iter("div", "main", "section", "app-root")}
    asks = any(_NEEDS.search(each.text_content()[:2_000]) for each in tree.iter("noscript"))
    return asks or bool(ids & _SHELLS) or next(tree.iter("app-root"), None) is not None
