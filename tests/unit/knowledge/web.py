"""A shop's web site in memory, served over sockets as a careful server would: with validators, and 304 for them."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.unit.fetching.net import PUBLIC, Net, says

HOST = "shop.example"
HOME = f"http://{HOST}/"


@dataclass
class Answer:
    """What there is at a path. `etag` and `modified` as they are sent; "" for none."""

    body: bytes
    status: str = "200 OK"
    type: str = "text/html"
    etag: str = ""
    modified: str = ""
    location: str = ""
    retry_after: str = ""
    robots: str = ""


class Web:
    """Paths with what is there; `asked` counts requests by path, `sent` those that were answered with a body."""

    def __init__(self, net: Net, name: str = HOST, address: str = PUBLIC) -> None:
        self.paths: dict[str, Answer] = {"/robots.txt": Answer(b"User-agent: *\nCrawl-delay: 0\n", type="text/plain")}
        self.asked: Counter[str] = Counter()
        self.net, self.sent = net, Counter[str]()
        self.on_request: Callable[[str], object] = lambda path: None
        net.serve(self._answer, name=name, address=address)

    def put(self, path: str, title: str, text: str, links: Iterable[str] = (), head: str = "", **more: str) -> None:
        """A page; its ETag is that of what it says, unless `more` says otherwise."""
        anchors = "".join(f'<a href="{each}">{each}</a> ' for each in links)
        body = (
            f"<html lang=en><head><title>{title}</title>{head}</head>"
            f"<body><main><h1>{title}</h1><p>{text}</p></main><nav>{anchors}</nav></body></html>"
        ).encode()
        self.paths[path] = Answer(body, **{"etag": f'"{hashlib.sha256(body).hexdigest()[:12]}"', **more})

    def sitemap(self, *entries: tuple[str, str]) -> None:
        """The site's list of its pages, each a path with its lastmod ("" for none)."""
        listed = "".join(
            f"<url><loc>{HOME}{path.lstrip('/')}</loc>" + (f"<lastmod>{day}</lastmod>" if day else "") + "</url>"
            for path, day in entries
        )
        body = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{listed}</urlset>'.encode()
        self.paths["/sitemap.xml"] = Answer(body, type="application/xml")

    def forget(self) -> None:
        """Count anew."""
        self.asked.clear()
        self.sent.clear()

    def _answer(self, sock: socket.socket, head: bytes) -> None:
        line, *rest = head.decode().split("\r\n")
        headers = dict(each.lower().split(": ", 1) for each in rest if ": " in each)
        path = line.split(" ")[1]
        self.asked[path] += 1
        self.on_request(path)
        found = self.paths.get(path) or Answer(b"<h1>Not found</h1>", "404 Not Found")
        same = found.etag and headers.get("if-none-match") == found.etag.lower()
        same = same or (found.modified and headers.get("if-modified-since") == found.modified.lower())
        if same and found.status == "200 OK":
            says(b"", status="304 Not Modified", etag=found.etag, last_modified=found.modified)(sock, head)
            return
        self.sent[path] += 1
        says(
            found.body,
            status=found.status,
            content_type=found.type,
            etag=found.etag,
            last_modified=found.modified,
            location=found.location,
            retry_after=found.retry_after,
            x_robots_tag=found.robots,
        )(sock, head)
