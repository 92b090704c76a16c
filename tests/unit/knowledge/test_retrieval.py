"""The current index at hand: seen in time, read safely, evicted, never another site's."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from noren.ids import TenantId, new_id
from noren.knowledge.blobs import BlobMissing
from noren.knowledge.index_cache import REST_SECONDS
from noren.knowledge.index_file import read_head
from noren.knowledge.retrieval import CURRENT_SECONDS, Found, IndexUnavailable, Retrieval
from noren.sites.models import Site
from tests.unit.knowledge.indexes import Library, a_site, held, page

HOURS = page("営業時間", "平日は10時から18時まで営業します。", "https://shop.example/hours")
PARKING = page("Parking", "The car park has forty spaces and is free for two hours.", "https://shop.example/parking")


class Now:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def library(now: Now) -> Library:
    return Library(now)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does: no file stays behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def urls(found: Found | None) -> list[str]:
    return [each.passage.url for each in found.findings.hits] if found else []


def ask(retrieval: Retrieval, site: Site, question: str = "free parking spaces") -> list[str]:
    return urls(retrieval.search(site, question))


def test_a_site_without_documents_costs_one_read_in_30_seconds(library: Library, now: Now) -> None:
    site, retrieval = a_site(), library.retrieval()
    for _ in range(3):
        assert retrieval.search(site, "Where?") is None
        assert retrieval.is_known(site)
    assert (library.pointers.reads, library.searched) == (1, 0)
    assert CURRENT_SECONDS <= 30
    now.seconds += CURRENT_SECONDS
    assert not retrieval.is_known(site)
    assert retrieval.pointer(site) is None
    assert library.pointers.reads == 2


def test_a_new_index_is_seen_within_30_seconds_and_the_old_one_is_dropped(library: Library, now: Now) -> None:
    site, retrieval = a_site(), library.retrieval()
    library.publish(site, HOURS)
    assert ask(retrieval, site) == []
    now.seconds += 1
    second = library.publish(site, HOURS, PARKING)
    now.seconds += CURRENT_SECONDS - 1.001
    assert ask(retrieval, site) == []
    now.seconds += 0.001
    assert ask(retrieval, site) == [PARKING[2]]
    assert len(library.bucket.fetched) == 2
    size = len(library.bucket.get(second.key))
    files: Any = retrieval._searcher_of(second)
    assert held(files) == size


def test_while_storage_gives_in_the_last_known_index_goes_on(library: Library, now: Now) -> None:
    site, untrained, unknown, retrieval = a_site(), a_site(), a_site(), library.retrieval()
    library.publish(site, PARKING)
    assert ask(retrieval, site) == [PARKING[2]]
    assert retrieval.pointer(untrained) is None
    library.pointers.fault = TimeoutError("storage")
    now.seconds += 3600
    assert ask(retrieval, site) == [PARKING[2]]
    assert retrieval.search(untrained, "Where?") is None
    with pytest.raises(TimeoutError):
        retrieval.pointer(unknown)
    library.pointers.fault = None
    library.publish(site, HOURS)
    assert ask(retrieval, site) == []


def test_who_asks_for_the_newest_index_takes_the_last_known_one_from_nobody(library: Library) -> None:
    site, retrieval = a_site(), library.retrieval()
    library.publish(site, PARKING)
    assert ask(retrieval, site) == [PARKING[2]]
    retrieval.renew(site)
    assert not retrieval.is_known(site)
    library.pointers.fault = TimeoutError("storage")
    assert ask(retrieval, site) == [PARKING[2]]
    library.pointers.fault = None
    library.publish(site, HOURS)
    assert ask(retrieval, site) == []


def test_an_index_is_fetched_once_by_any_number_of_threads(library: Library) -> None:
    sites = [a_site() for _ in range(4)]
    for site in sites:
        library.publish(site, HOURS, PARKING)
    retrieval, gate, never = library.retrieval(), threading.Barrier(16), threading.Event()
    library.bucket.before = lambda: never.wait(0.1)  # long enough for all others to come

    def together(number: int) -> list[str]:
        gate.wait(20)
        return ask(retrieval, sites[number % 4])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(together, range(16))) == [[PARKING[2]]] * 16
    assert len(library.bucket.fetched) == 4


def test_the_files_stay_within_their_bound_and_readers_are_not_disturbed(library: Library) -> None:
    sites = [a_site() for _ in range(6)]
    sizes = [len(library.bucket.get(library.publish(site, HOURS, PARKING).key)) for site in sites]
    most = sizes[0] * 3 + 100
    retrieval = library.retrieval(most)
    files: Any = retrieval._searcher_of(library.publish(a_site(), HOURS))

    def often(number: int) -> None:
        for turn in range(30):
            assert ask(retrieval, sites[(number * 5 + turn) % 6]) == [PARKING[2]]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(often, range(8)))
    assert held(files) <= most
    assert len(library.bucket.fetched) > 6
    before = len(library.bucket.fetched)
    ask(retrieval, sites[0])
    ask(retrieval, sites[0])
    assert len(library.bucket.fetched) <= before + 1


def test_where_the_disk_is_full_the_file_before_makes_room(library: Library, now: Now) -> None:
    site, other, retrieval = a_site(), a_site(), library.retrieval()
    pages = [page(f"Page {number}", f"Number {number} is told here.", "https://shop.example/") for number in range(50)]
    pointer = library.publish(site, PARKING, *pages)
    files: Any = retrieval._searcher_of(pointer)
    copy = library.bucket.copy
    room = 1.5 * len(library.bucket.get(pointer.key))

    def copied(key: str, file: IO[bytes]) -> int:
        if held(files) + len(library.bucket.get(key)) > room:
            file.write(b"so far it went")
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(key, file)

    library.bucket.copy = copied  # type: ignore[method-assign]
    assert ask(retrieval, site) == [PARKING[2]]
    library.publish(site, HOURS, PARKING, *pages)
    now.seconds += CURRENT_SECONDS
    assert ask(retrieval, site) == [PARKING[2]]
    library.publish(other, PARKING, *pages)
    assert ask(retrieval, other) == [PARKING[2]], "another site's makes room too"
    room = 0
    library.publish(other, HOURS, *pages)
    now.seconds += CURRENT_SECONDS
    with pytest.raises(IndexUnavailable):
        ask(retrieval, other)


def test_what_is_evicted_gives_its_memory_back(library: Library) -> None:
    sites = [a_site() for _ in range(8)]
    for site in sites:
        library.publish(site, HOURS, PARKING)
    retrieval = library.retrieval(1)
    for site in sites:
        ask(retrieval, site)
    gc.collect()
    mapped = Path(f"/proc/{os.getpid()}/maps")
    if mapped.exists():
        assert mapped.read_text().count(tempfile.gettempdir()) == 1


def test_an_index_that_a_newer_publication_has_removed_is_looked_up_again(library: Library) -> None:
    site, retrieval = a_site(), library.retrieval()
    first = library.publish(site, HOURS)
    assert retrieval.pointer(site) == first
    library.publish(site, PARKING)
    library.bucket.delete([first.key])
    assert ask(retrieval, site) == [PARKING[2]]
    assert library.pointers.reads == 2


def test_an_index_that_is_nowhere_is_unavailable_and_tells_so_once(library: Library) -> None:
    site, retrieval = a_site(), library.retrieval()
    library.bucket.delete([library.publish(site, HOURS).key])
    with pytest.raises(IndexUnavailable) as caught:
        ask(retrieval, site)
    assert (caught.value.status, caught.value.code) == (503, "index_unavailable")
    assert library.pointers.reads == 2


def test_a_failing_bucket_is_left_alone_for_a_moment(library: Library, now: Now) -> None:
    site, retrieval = a_site(), library.retrieval()
    library.publish(site, PARKING)
    library.bucket.fault = ConnectionError("secret")
    for _ in range(5):
        with pytest.raises(IndexUnavailable):
            ask(retrieval, site)
    assert len(library.bucket.fetched) == 1
    library.bucket.fault = None
    now.seconds += REST_SECONDS
    assert ask(retrieval, site) == [PARKING[2]]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "head"])
def test_a_damaged_file_is_not_believed(library: Library, damage: str) -> None:
    site, retrieval = a_site(), library.retrieval()
    key = library.publish(site, HOURS, PARKING).key
    data = bytearray(library.bucket.get(key))
    match damage:
        case "cut":
            del data[-64:]
        case "empty":
            data.clear()
        case "head":
            data[40] ^= 1
        case "flipped":
            for place in range(len(data) // 2, len(data), 16):
                data[place] ^= 4
    library.bucket.put(key, bytes(data))
    with pytest.raises(IndexUnavailable):
        ask(retrieval, site)


def test_a_file_that_was_damaged_on_its_way_is_fetched_again(library: Library) -> None:
    site, retrieval = a_site(), library.retrieval()
    pointer = library.publish(site, HOURS, PARKING)
    good = library.bucket.get(pointer.key)
    head, start = read_head(good)
    first, length = head.sections["chunks"]
    bad = bytearray(good)
    for place in range(start + first + 8, start + first + length, 16):
        bad[place] ^= 4
    library.bucket.put(pointer.key, bytes(bad))
    files = retrieval._searcher_of(pointer)
    files._opened(site, pointer.key)  # type: ignore[attr-defined]
    library.bucket.put(pointer.key, good)
    assert ask(retrieval, site) == [PARKING[2]]
    assert len(library.bucket.fetched) == 2


def test_no_pointer_leads_to_another_sites_index(library: Library) -> None:
    """Not even one that storage were to hold: neither by its key nor by a file that was put under the own key."""
    mine, theirs = a_site(), a_site()
    own, foreign = library.publish(mine, HOURS), library.publish(theirs, PARKING)
    for key in (foreign.key, own.key.replace("/index/", "/index/../"), f"{own.key}.part", "", "../../etc/passwd"):
        library.pointers.current[mine.tenant_id, mine.site_id] = replace(own, key=key)
        with pytest.raises(IndexUnavailable):
            ask(library.retrieval(), mine)
    library.pointers.current[mine.tenant_id, mine.site_id] = own
    library.bucket.put(own.key, library.bucket.get(foreign.key))
    with pytest.raises(IndexUnavailable):
        ask(library.retrieval(), mine)
    assert foreign.key not in library.bucket.fetched


def test_two_tenants_sites_of_one_id_are_two(library: Library) -> None:
    site_id = new_id("site")
    sites = [replace(a_site(TenantId(new_id("ten"))), site_id=site_id) for _ in range(2)]
    library.publish(sites[0], HOURS)
    library.publish(sites[1], PARKING)
    retrieval = library.retrieval()
    for _ in range(2):
        assert [ask(retrieval, each) for each in sites] == [[], [PARKING[2]]]


def test_a_rollback_answers_from_the_older_file(library: Library, now: Now) -> None:
    site, retrieval = a_site(), library.retrieval()
    first = library.publish(site, HOURS)
    second = library.publish(site, HOURS, PARKING)
    assert ask(retrieval, site) == [PARKING[2]]
    library.pointers.current[site.tenant_id, site.site_id] = replace(first, version=3, previous=second)
    now.seconds += CURRENT_SECONDS
    assert ask(retrieval, site) == []


def test_a_missing_blob_is_no_reason_to_rest(library: Library) -> None:
    site, retrieval = a_site(), library.retrieval()
    library.publish(site, PARKING)
    library.bucket.fault = BlobMissing("key")
    with pytest.raises(IndexUnavailable):
        ask(retrieval, site)
    library.bucket.fault = None
    assert ask(retrieval, site) == [PARKING[2]]


def test_a_site_without_documents_imports_nothing_that_searches() -> None:
    code = """
import sys
from noren import wiring
from noren.settings import Settings
services = wiring.build(Settings(knowledge_table="knowledge", knowledge_bucket="bucket"))
services.retrieval
for name in ("search", "index_file", "index_cache", "analysis", "index_format", "chunks"):
    assert "noren.knowledge." + name not in sys.modules, name
services.index_files
assert "noren.knowledge.search" in sys.modules
"""
    env = {"AWS_DEFAULT_REGION": "ap-northeast-1", "PATH": os.environ["PATH"]}
    path = Path(sys.modules["noren"].__file__ or "").parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, env=env | {"PYTHONPATH": str(path)})
