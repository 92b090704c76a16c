"""Sites made by chance from a seed: in Japanese, Korean or English, in folders, with pages of all lengths."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

SHOPS = Path(__file__).resolve().parents[2] / "bench" / "data" / "shops.json"
FOLDERS = {
    "ja": ("help", "products", "news", "guide"),
    "ko": ("help", "goods", "notice", "guide"),
    "en": ("help", "products", "blog", "docs"),
}


@dataclass(frozen=True)
class Plan:
    """What a generated site is like."""

    seed: int
    language: str = "en"
    pages: int = 100
    skew: float = 1.0
    """Standard deviation of the logarithm of a page's length."""
    sentences: float = 12.0
    """A page's usual number of them."""
    has_sitemap: bool = True
    crawl_delay: float | None = 0.0
    """What robots.txt asks for; None: it asks for nothing."""
    bad_share: float = 0.0
    """Pages that would be left out: not to be indexed, or empty."""
    links_a_page: int = 3
    is_split: bool = False
    """Pages of one folder are four times as long as the others."""


@dataclass
class Made:
    """A generated site: `paths` of all pages, of which `left_out` are not to be kept."""

    plan: Plan
    paths: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def generate(folder: Path, plan: Plan, origin: str) -> Made:
    """Write a site's files. `origin` is where they will be served, `http://host:port`, for its sitemap."""
    chance, made = random.Random(plan.seed), Made(plan)
    names = FOLDERS[plan.language]
    made.paths = ["/", *(f"/{each}/" for each in names)]
    made.paths += [f"/{chance.choice(names)}/{number}.html" for number in range(len(made.paths), plan.pages)]
    navigation = "".join(f'<li><a href="/{each}/">{each}</a></li>' for each in names)
    for number, path in enumerate(made.paths):
        links = [made.paths[0], *(made.paths[at] for at in _children(number, plan))]
        links += chance.sample(made.paths, min(plan.links_a_page, len(made.paths)))
        is_bad = number > 0 and chance.random() < plan.bad_share
        if is_bad:
            made.left_out.append(path)
        factor = 4.0 if plan.is_split and path.startswith(f"/{names[0]}/") else 1.0
        count = max(3, min(2_000, round(plan.sentences * factor * chance.lognormvariate(0, plan.skew))))
        _write(folder, path, _page(chance, plan.language, number, count, navigation, links, is_bad))
    robots = "User-agent: *\nDisallow: /private/\n"
    if plan.crawl_delay is not None:
        robots += f"Crawl-delay: {plan.crawl_delay:g}\n"
    if plan.has_sitemap:
        _write(folder, "/sitemap.xml", sitemap(f"{origin}{each}" for each in made.paths))
        robots += f"Sitemap: {origin}/sitemap.xml\n"
    _write(folder, "/robots.txt", robots)
    return made


def note_edit(folder: Path, url: str, day: str = "2026-11-20") -> None:
    """Say in the site's sitemap that a page has changed."""
    file = folder / "sitemap.xml"
    known = f"<loc>{escape(url)}</loc><lastmod>"
    before, found, after = file.read_text().partition(known)
    file.write_text(before + found + (day + after[len(day) :] if found else ""))


def sitemap(urls: object, lastmod: str = "2026-11-01") -> str:
    """A sitemap of those URLs."""
    entries = "".join(f"<url><loc>{escape(str(each))}</loc><lastmod>{lastmod}</lastmod></url>" for each in urls)  # type: ignore[attr-defined]
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'


def text(chance: random.Random, language: str, sentences: int) -> str:
    """So many sentences."""
    known = _sentences(language)
    return (" " if language != "ja" else "").join(
        chance.choice(known).replace("@", str(chance.randrange(10, 9_999))) for _ in range(sentences)
    )


def _children(number: int, plan: Plan) -> range:
    """A tree of eight branches each: every page can be reached from the first one."""
    return range(8 * number + 1, min(8 * number + 9, plan.pages))


def _page(
    chance: random.Random, language: str, number: int, sentences: int, navigation: str, links: list[str], is_bad: bool
) -> str:
    title = f"{text(chance, language, 1)[:30]} {number}"
    parts = []
    while sentences > 0:
        some = min(sentences, chance.randint(4, 12))
        heading = text(chance, language, 1)[:24]
        parts.append(f"<h2>{escape(heading)}</h2><p>{escape(text(chance, language, some))}</p>")
        sentences -= some
    robots = '<meta name="robots" content="noindex">' if is_bad else ""
    related = "".join(f'<li><a href="{each}">{each}</a></li>' for each in links)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>{robots}'
        f"</head><body><header><nav><ul>{navigation}</ul></nav></header><main><h1>{escape(title)}</h1>{''.join(parts)}"
        f"</main><aside><ul>{related}</ul></aside><footer><p>© 2026</p></footer></body></html>"
    )


@cache
def _sentences(language: str) -> tuple[str, ...]:
    """Sentences of the made-up shops, with any figure in place of theirs."""
    told = json.loads(SHOPS.read_text())
    bodies = [said for site in told["sites"] if site["lang"] == language for _, said in site["sections"]]
    end = "。" if language == "ja" else ". "
    parts = [part.strip() + end.strip() for body in bodies for part in (body + " ").split(end) if part.strip(" 。.")]
    return tuple(part.replace("10", "@").replace("15", "@") for part in parts)


def _write(folder: Path, path: str, content: str) -> None:
    file = folder / (path.lstrip("/") + ("index.html" if path.endswith("/") else ""))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
