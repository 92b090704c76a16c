"""A web server on 127.0.0.1 for a folder of files, with ETags and dates, and for pages made at each request."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import cast
from urllib.parse import unquote

from noren.fetching.client import Fetcher

Made = Callable[["Visit"], None]
"""Answers a request by itself."""


@dataclass(frozen=True)
class Options:
    """How a folder is served."""

    has_etags: bool = True
    has_dates: bool = True
    is_packed: bool = False
    """With gzip where the client takes it."""
    charset: str = "utf-8"
    """Said of text; "" says none."""


@dataclass
class Website:
    """Answers with what `made` has for the path (or for its longest beginning that ends with `*`), else with a file.

    A file is read at each request, so that an edit on disk is seen. `log` has (path, status) of each request, in order.
    """

    folder: Path | None = None
    made: Mapping[str, Made] = field(default_factory=dict)
    options: Options = Options()
    log: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Website:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Visit)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.website = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its home page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def fetcher(self) -> Fetcher:
        """One that may call it."""
        return Fetcher(allow=frozenset({("127.0.0.1", self.port)}))

    def fetched(self, status: int = 200) -> list[str]:
        """The paths that were answered with that status, without robots.txt and sitemaps."""
        return [path for path, said in self.log if said == status and "robots.txt" not in path and ".xml" not in path]

    def answer_of(self, path: str) -> Made | None:
        """What makes the answer to a path."""
        if path in self.made:
            return self.made[path]
        fitting = [each for each in self.made if each.endswith("*") and path.startswith(each[:-1])]
        return self.made[max(fitting, key=len)] if fitting else None

    def file_of(self, path: str) -> Path | None:
        """The file at a path, that of a folder being its index.html."""
        if self.folder is None:
            return None
        root = self.folder.resolve()
        found = (root / unquote(path).lstrip("/")).resolve()
        if found.is_dir():
            found /= "index.html"
        return found if found.is_file() and found.is_relative_to(root) else None


class Visit(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer it."""
        site = cast(Website, self.server.website)  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        with suppress(ConnectionError):
            if made := site.answer_of(path):
                made(self)
            elif file := site.file_of(path):
                self._file(file, site.options)
            else:
                self.says(b"<title>404 Not Found</title><p>Not found", status=404)

    def says(
        self,
        body: bytes,
        *,
        status: int = 200,
        kind: str = "text/html; charset=utf-8",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole answer."""
        self.begins(status, {"content-type": kind, "content-length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def begins(self, status: int, headers: Mapping[str, str]) -> None:
        """Send an answer's head."""
        cast(Website, self.server.website).log.append((self.path, status))  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, file: Path, options: Options) -> None:
        body, changed = file.read_bytes(), formatdate(file.stat().st_mtime, usegmt=True)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = ({"etag": etag} if options.has_etags else {}) | (
            {"last-modified": changed} if options.has_dates else {}
        )
        known_tag, known_date = self.headers.get("if-none-match"), self.headers.get("if-modified-since")
        is_same = known_tag == etag if known_tag and options.has_etags else known_date == changed
        if is_same and headers:
            self.begins(304, headers)
            return
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if options.charset and kind.startswith("text/"):
            kind += f"; charset={options.charset}"
        if options.is_packed and "gzip" in self.headers.get("accept-encoding", ""):
            body = gzip.compress(body, 1)
            headers["content-encoding"] = "gzip"
        self.says(body, kind=kind, headers=headers)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
