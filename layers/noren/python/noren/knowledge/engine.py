"""Index files as the publisher makes them: cut into chunks, built, read through, asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from noren.ids import TenantId
from noren.knowledge import index_build
from noren.knowledge.chunks import Chunk, Section, chunks
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import Identity
from noren.knowledge.models import Document
from noren.knowledge.search import search
from noren.knowledge.text import Extracted


@dataclass(frozen=True)
class FileIndex:
    """An index that was read through. Its file is gone by then; what was opened stays readable."""

    data: bytes
    chunks: int
    opened: IndexFile

    def find(self, question: str, most: int) -> list[str]:
        """The ids of the documents that answer a question best, the best first."""
        hits = search(self.opened, question, most * 3).hits
        return list(dict.fromkeys(hit.passage.document_id for hit in hits))[:most]


class FileEngine:
    """One immutable file per site and version."""

    def measure(self, text: Extracted) -> tuple[int, int]:
        """How many chunks and tokens a text comes to."""
        made = cut(text)
        return len(made), sum(each.tokens for each in made)

    def build(
        self, tenant_id: TenantId, site_id: str, version: int, texts: Sequence[tuple[Document, Extracted]]
    ) -> FileIndex:
        """The index of a site's texts. Raises `BadIndex` where what was written can't be read back."""
        identity = Identity(tenant_id, site_id, str(version))
        named = (
            (index_build.Document(each.document_id, each.url, each.title, each.language), cut(text))
            for each, text in texts
        )
        with TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            head = index_build.build_index(path, identity, named)
            opened = IndexFile(path, identity)
            opened.verify()
            return FileIndex(path.read_bytes(), head.chunks, opened)


def cut(text: Extracted) -> list[Chunk]:
    """The chunks of a text. One without any has none."""
    return chunks(_sections(text))


def _sections(text: Extracted) -> Iterator[Section]:
    """The text under each heading, with the path of headings that leads there."""
    path: list[tuple[int, str]] = []
    anchor, said = "", list[str]()
    for block in text.blocks:
        if block.kind != "heading":
            said.append(block.text)
            continue
        if said:
            yield Section(tuple(each for _, each in path), "\n".join(said), anchor)
        path = [each for each in path if each[0] < block.level] + [(block.level, block.text)]
        anchor, said = block.anchor, []
    if said:
        yield Section(tuple(each for _, each in path), "\n".join(said), anchor)
