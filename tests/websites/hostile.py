"""Sites that would keep a crawler for ever, or fill its memory: pages, sitemaps and files, made when asked for."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from threading import Event
from urllib.parse import parse_qs, urlsplit

from tests.unit.knowledge.extract.test_docx import BOMB, TEXT
from tests.unit.knowledge.extract.test_docx import made as docx
from tests.unit.knowledge.extract.test_pdf import MANUAL
from tests.unit.knowledge.extract.test_pdf import made as pdf
from tests.websites.generated import sitemap
from tests.websites.server import Made, Visit

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
KOREAN = "객실 안내: 모든 객실에는 온천 욕실이 있습니다. 체크인은 오후 세 시부터입니다."
JAPANESE = "お部屋のご案内です。すべての客室に露天風呂があります。"

stopped = Event()
"""Set when the servers of slow pages may stop."""


def page(title: str, body: str) -> bytes:
    """An HTML page."""
    return f"<html><head><title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>".encode()


def says(body: bytes, kind: str = "text/html; charset=utf-8", **headers: str) -> Made:
    """The same at each request."""
    return lambda visit: visit.says(body, kind=kind, headers={k.replace("_", "-"): v for k, v in headers.items()})


def leads(location: Callable[[str], str]) -> Made:
    """A redirect."""
    return lambda visit: visit.begins(302, {"location": location(visit.path), "content-length": "0"})


def drips(visit: Visit) -> None:
    """A byte now and then, for as long as somebody listens."""
    visit.begins(200, {"content-type": "text/html", "content-length": "100000"})
    while not stopped.wait(0.05):
        visit.wfile.write(b" ")


def silent(visit: Visit) -> None:
    """No answer at all."""
    stopped.wait()


def endless(visit: Visit) -> None:
    """A body without an end, in pieces."""
    visit.begins(200, {"content-type": "text/html", "transfer-encoding": "chunked"})
    piece = b"<p>more and more</p>" * 3_000
    while not stopped.is_set():
        visit.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def heads(visit: Visit) -> None:
    """Headers without an end."""
    visit.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not stopped.is_set():
        visit.wfile.write(b"x-more: " + b"y" * 1_000 + b"\r\n")


def room(number: int) -> bytes:
    """A room of the maze."""
    links = "".join(f'<a href="/maze/{10 * number + each}">{each}</a>' for each in range(1, 11))
    text = f"<p>Room {number} of the maze has ten doors, and behind each of them is a room. </p>" * 3
    return page(f"Room {number}", text + f"<p>{links}</p>")


def maze(visit: Visit) -> None:
    """Each page leads to ten others, which nobody has seen."""
    visit.says(room(int(visit.path.rpartition("/")[2] or 0)))


def calendar(visit: Visit) -> None:
    """The next month has a page too, and so has each of its views."""
    asked = parse_qs(urlsplit(visit.path).query)
    year, month = int(asked.get("year", ["2026"])[0]), int(asked.get("month", ["1"])[0])
    following = f"year={year + month // 12}&month={month % 12 + 1}"
    links = "".join(f'<a href="/calendar?{following}&view={view}">{view}</a>' for view in ("day", "week", "list"))
    visit.says(page(f"Events {year}-{month}", f"<p>{'No events in this month. ' * 9}</p><p>{links}</p>"))


def circles(visit: Visit) -> None:
    """A relative link that goes deeper each time."""
    visit.says(page("Round", f'<p>{"The same again and again. " * 9}</p><a href="a/b/">on</a>'))


@cache
def packed(kind: bytes, megabytes: int) -> bytes:
    """So many megabytes of the same, packed to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    piece = kind * (1_000_000 // len(kind))
    return b"".join([*(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


def urls(number: int, count: int, host: str) -> Iterator[bytes]:
    """A sitemap of `count` URLs, piece by piece."""
    yield b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    for start in range(0, count, 1_000):
        some = range(start, min(start + 1_000, count))
        yield b"".join(b"<url><loc>http://%s/p/%d-%d</loc></url>" % (host.encode(), number, at) for at in some)
    yield b"</urlset>"


def million(visit: Visit) -> None:
    """An index of twenty sitemaps with 50,000 URLs each."""
    host = visit.headers["host"]
    number = visit.path.removesuffix(".xml").rpartition("-")[2]
    if not number.isdigit():
        parts = "".join(f"<sitemap><loc>http://{host}/million-{each}.xml</loc></sitemap>" for each in range(20))
        visit.says(f"<sitemapindex>{parts}</sitemapindex>".encode(), kind="application/xml")
        return
    visit.begins(200, {"content-type": "application/xml", "transfer-encoding": "chunked"})
    for piece in urls(int(number), 50_000, host):
        visit.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    visit.wfile.write(b"0\r\n\r\n")


def chain(visit: Visit) -> None:
    """An index of an index of an index, without an end."""
    number = int(visit.path.removesuffix(".xml").rpartition("-")[2])
    visit.says(
        f"<sitemapindex><sitemap><loc>http://{visit.headers['host']}/chain-{number + 1}.xml</loc></sitemap>"
        f"<sitemap><loc>http://{visit.headers['host']}{visit.path}</loc></sitemap></sitemapindex>".encode()
    )


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
DTD = b'<!DOCTYPE x [<!ENTITY e0 "xxxxxxxxxx">' + ENTITIES + b"]><urlset><url><loc>&e9;</loc></url></urlset>"


def zip_of(name: str, size: int) -> bytes:
    """A DOCX with one entry that unpacks to `size` bytes."""
    out = io.BytesIO(docx(TEXT))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open(name, "w") as entry:
        for _ in range(size // 1_000_000):
            entry.write(b"\0" * 1_000_000)
    return out.getvalue()


def huge_pdf(visit: Visit) -> None:
    """A PDF of a gigabyte, by its own word."""
    visit.begins(200, {"content-type": "application/pdf", "content-length": str(10**9)})
    visit.wfile.write(b"%PDF-1.7\n")


PAGES: dict[str, tuple[Made, str]] = {
    "/slow": (drips, "timed_out"),
    "/silent": (silent, "timed_out"),
    "/endless": (endless, "too_large"),
    "/heads": (heads, "too_large"),
    "/bomb.html": (says(packed(b"<p>x</p>", 250), content_encoding="gzip"), "too_large"),
    "/loop": (leads(lambda _: "/loop"), "redirect_loop"),
    "/ring/1": (leads(lambda path: f"/ring/{int(path.rpartition('/')[2]) + 1}"), "redirected"),
    "/private": (leads(lambda _: "http://192.168.0.1/"), "other_site"),
    "/shop@": (leads(lambda _: "http://user@127.0.0.1/"), "blocked"),
    "/deep": (says(b"<div>" * 300_000 + b"text"), "empty"),
    "/wide": (says(b"<p " + b"a=1 " * 300_000 + b">text</p>"), "text"),
    "/tables": (says(b"<table><tr><td>" * 20_000), "empty"),
    "/nothing": (says(b""), "empty"),
    "/huge.pdf": (huge_pdf, "too_large"),
    "/thick.pdf": (says(pdf([[(11, 700, "x")]] * 6_000), "application/pdf"), "too_large"),
    "/locked.pdf": (says(pdf(MANUAL, locked=True), "application/pdf"), "encrypted"),
    "/round.pdf": (says(pdf([[(11, 700, "x")]], kids="2 0 R"), "application/pdf"), "empty"),
    "/torn.pdf": (says(pdf(MANUAL)[:300], "application/pdf"), "broken"),
    "/bomb.docx": (says(zip_of("word/media/a.bin", 210_000_000), WORD), "too_large"),
    "/ratio.docx": (says(zip_of("word/media/a.bin", 20_000_000), WORD), "broken"),
    "/dtd.docx": (says(docx(BOMB + TEXT.partition("?>")[2]), WORD), "broken"),
    "/old.docx": (says(b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), WORD), "encrypted"),
    "/wrong-korean": (says(page("안내", KOREAN * 3).decode().encode("cp949"), "text/html; charset=shift_jis"), KOREAN),
    "/wrong-japanese": (
        says(page("案内", JAPANESE * 3).decode().encode("euc_jp"), "text/html; charset=utf-8"),
        JAPANESE,
    ),
    "/wrong-both": (
        says(b'<meta charset="euc-kr">' + page("案内", JAPANESE * 3).decode().encode("cp932"), "text/html"),
        JAPANESE,
    ),
    "/no-charset": (
        says(b"<html><body><p>" + bytes(range(128, 256)) * 20, "text/html; charset=nonsense"),
        "€‚ƒ„…†‡ˆ‰Š‹Œ",
    ),
}
"""Each with what becomes of it: a reason, or text that must be read of it."""

SITEMAPS: dict[str, tuple[Made, str, int]] = {
    "/million.xml": (million, "", 5_000),
    "/million-x.xml": (million, "", 5_000),
    "/chain-1.xml": (chain, "too_deep", 0),
    "/dtd.xml": (says(DTD, "application/xml"), "dtd", 0),
    "/external.xml": (says(b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset/>', "application/xml"), "dtd", 0),
    "/bomb.xml.gz": (says(packed(b"<url>  </url>", 60), "application/gzip"), "broken", 0),
    "/spaces.xml.gz": (says(gzip.compress(b"<urlset>", 9) + packed(b" " * 64, 60), "application/gzip"), "broken", 0),
    "/twice.xml": (says(packed(b" " * 64, 60), "application/xml", content_encoding="gzip"), "too_large", 0),
    "/endless.xml": (endless, "too_large", 0),
    "/slow.xml": (drips, "unreachable", 0),
    "/torn.xml": (says(sitemap(["http://127.0.0.1/a"]).encode()[:-9], "application/xml"), "broken", 1),
}
"""Each with the problem that is told, and how many pages are found."""

MADE: dict[str, Made] = {
    **{path: made for path, (made, _) in PAGES.items()},
    **{path: made for path, (made, _, _) in SITEMAPS.items()},
    "/ring/*": PAGES["/ring/1"][0],
    "/million-*": million,
    "/chain-*": chain,
    "/maze/*": maze,
    "/calendar": calendar,
    "/circles/*": circles,
}
