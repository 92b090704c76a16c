"""Pages that are none: an error page that says 200, an empty shell that only a browser fills."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml.html import HtmlElement

from noren.knowledge.text import Block

_ERROR = re.compile(
    r"\b404\b|page (?:was |is |could |can(?:no|'|’)?t |be |has |been )*not (?:be )?found|\bnot found\b"
    r"|page (?:you (?:requested|are looking for|were looking for) )?(?:does ?n[o'’]t|doesn[’']t|no longer) exists?"
    r"|(?:page|product) (?:is )?no longer available|can(?:no|'|’)t find (?:that|the|this) page"
    r"|(?:ページ|商品|記事|URL)(?:は|が|を)?(?:見つかり|みつかり|存在し|表示でき)ま(?:せん|せんでした)"
    r"|(?:お探し|ご指定|アクセス|リクエスト)(?:の|された|しようとした|いただいた)*(?:ページ|URL|商品)(?:は|が|を)"
    r"|ページ(?:が|は)(?:削除|移動)(?:され|した)"
    r"|페이지를? ?(?:찾을 수 ?없|표시할 수 ?없)|존재하지 ?않는 ?(?:페이지|상품|게시)"
    r"|(?:페이지|상품)[가이]? ?(?:존재하지 ?않|삭제되)"
    r"|요청하신 ?(?:페이지|주소)|찾으시는 ?페이지",
    re.IGNORECASE,
)
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
    """Whether a page that came with 200 is an error page by its looks: its title or first words, and little else."""
    length = sum(weight(block.text) for block in blocks)
    if length > SHORT:
        return False
    opening = [title, *(block.text[:200] for block in blocks[:2])]
    return any(_ERROR.search(text) for text in opening)


def needs_js(tree: HtmlElement, blocks: Sequence[Block]) -> bool:
    """Whether the page is a shell: next to no text, and scripts that would put it there."""
    if sum(weight(block.text) for block in blocks) > FEW:
        return False
    if next(tree.iter("script"), None) is None:
        return False
    ids = {(each.get("id") or "").lower() for each in tree.iter("div", "main", "section", "app-root")}
    asks = any(_NEEDS.search(each.text_content()[:2_000]) for each in tree.iter("noscript"))
    return asks or bool(ids & _SHELLS) or next(tree.iter("app-root"), None) is not None
