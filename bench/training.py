"""How fast a site is learnt, and in how much memory: one train worker on a generated site, beside a plain loop.

    python -m bench.training [--pages 2000] [--json]

The site is served over HTTP by this process. The worker runs in a process of its own with the wiring and the code of
the function: plan, a message a page, extraction, chunks, publication of the index file. Table, bucket and queue are in
memory, so that it is the pipeline that is measured and no emulator; on AWS they add what the network takes, while many
workers run at once. Then one page in a hundred is edited and the site trained again. The peer fetches the same pages
with requests and extracts them with trafilatura, one after the other; it cuts, stores and indexes nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "noren" / "python")]

from bench.tables import table  # noqa: E402
from tests.websites.generated import Plan, generate, note_edit  # noqa: E402
from tests.websites.server import Website  # noqa: E402

LANGUAGE = "ja"
EDITED = 100
"""One page in so many."""


def used() -> tuple[float, float]:
    """CPU seconds and megabytes at most, of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Watch:
    """Measures from one call of `lap` to the next."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), used()[0]

    def lap(self) -> dict[str, float]:
        """Seconds and CPU seconds since the last one, and megabytes at most so far."""
        wall, (cpu, peak) = time.monotonic(), used()
        told = {"seconds": wall - self._wall, "cpu": cpu - self._cpu, "mb": peak}
        self._wall, self._cpu = wall, cpu
        return told


def work(port: int, pages: int) -> None:
    """A train worker: train, say so, wait for the edits, train again."""
    from noren import wiring
    from noren.ids import TenantId
    from noren.knowledge.embeddings import NoEmbeddings
    from noren.knowledge.survey.models import Reach
    from noren.settings import Settings
    from noren.sites.models import Site
    from noren.tenants.models import Tenant
    from tests.dynamodb import MemoryDynamoDB
    from tests.unit.knowledge.training_world import Memory, Messages

    class Owners:
        """The tenant."""

        def get(self, tenant_id: TenantId) -> Tenant:
            return Tenant(tenant_id, "Shop", "pro", 0.0)

    class Shop:
        """The tenant's only site; its plan has no vectors."""

        site = Site("site_bench", TenantId("ten_bench"), "Shop", "prof", 0.0)

        def now(self, *_: Any) -> Site:
            return self.site

        get = now

        def save_site(self, site: Site, _: str) -> Site:
            self.site = site
            return site

        def policy(self, *_: Any) -> Any:
            raise NoEmbeddings

    settings = Settings(
        stage="local", fetch_allow=f"127.0.0.1:{port}", knowledge_table="knowledge", runtime_table="runtime"
    )
    services, shop, queue, blobs = wiring.build(settings), Shop(), Messages(), Memory(time.time)
    services.__dict__.update(
        dynamodb=MemoryDynamoDB(),
        blobs=blobs,
        unlisted_blobs=blobs,
        train_queue=queue,
        publish_queue=queue,
        sites=shop,
        tenants=Owners(),
        embeddings=shop,
        _tell_of_training=lambda _: None,
    )
    worker, watch = services.train_worker, Watch()
    for _ in range(2):
        reach = Reach(max_pages=pages, max_depth=20)
        job = services.crawls.start(shop.site, f"http://127.0.0.1:{port}/", reach, pages, "bench")
        watch.lap()
        crawled: dict[str, float] = {}
        while queue.waiting:
            message = queue.waiting.pop(0)
            if message["what"] != "publish":
                worker.work(message["tenant_id"], message["job_id"], message["what"], message.get("page", ""))
                continue
            crawled = crawled or watch.lap()
            services.publishing.work(message["tenant_id"], message["job_id"])
        published = watch.lap()
        ended = services.training.get(job.tenant_id, job.job_id)
        names = ("status", "found", "changed", "unchanged", "failed", "skipped", "chunks", "tokens")
        told = {name: getattr(ended, name) for name in names}
        print(json.dumps({"crawled": crawled, "published": published, "job": told}), flush=True)
        sys.stdin.readline()


def loop(port: int, pages: int) -> None:
    """The peer."""
    import re

    import requests
    import trafilatura

    session, watch, characters = requests.Session(), Watch(), 0
    origin = f"http://127.0.0.1:{port}"
    for url in re.findall("<loc>(.*?)</loc>", session.get(f"{origin}/sitemap.xml").text)[:pages]:
        answer = session.get(url)
        answer.encoding = "utf-8"
        characters += len(trafilatura.extract(answer.text) or "")
    print(json.dumps({"crawled": watch.lap(), "characters": characters}), flush=True)


def start(what: str, port: int, pages: int) -> subprocess.Popen[str]:
    """A process of its own."""
    command = [sys.executable, "-m", "bench.training", what, str(port), "--pages", str(pages)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def told(process: subprocess.Popen[str]) -> Any:
    """The next line of what it has measured. Raises RuntimeError where it has died."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the process ended with {process.wait()}")
    return json.loads(line)


def edit(site: Website, paths: list[str]) -> int:
    """Change one page in a hundred; how many."""
    some = [path for path in paths[1:] if path.endswith(".html")][::EDITED]
    for path in some:
        file = site.file_of(path)
        assert file
        file.write_text(file.read_text().replace("</main>", "<p>新しいお知らせがあります。</p></main>"))
        assert site.folder
        note_edit(site.folder, site.url[:-1] + path)
    return len(some)


def row(name: str, count: int, lap: dict[str, float]) -> tuple[str, ...]:
    """A line of the table."""
    return (
        name,
        f"{count:,}",
        f"{lap['seconds']:.1f}",
        f"{count / lap['seconds']:.1f}",
        f"{1000 * lap['cpu'] / count:.1f}",
        f"{lap['mb']:.0f}",
    )


def measure(pages: int) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder, Website(Path(folder)) as site:
        made = generate(Path(folder), Plan(7, LANGUAGE, pages=pages), site.url[:-1])
        with start("worker", site.port, pages) as worker:
            assert worker.stdin
            first = told(worker)
            edited = edit(site, made.paths)
            site.log.clear()
            worker.stdin.write("\n")
            worker.stdin.flush()
            second = told(worker)
            sent = len(site.fetched(200))
        with start("peer", site.port, pages) as peer:
            alone = told(peer)
    return {"pages": pages, "first": first, "again": second, "edited": edited, "sent": sent, "peer": alone}


def main() -> int:
    """Print the table; 1 if a page was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["worker", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("port", nargs="?", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pages", type=int, default=2_000)
    parser.add_argument("--json", action="store_true", help="one last line for programs")
    given = parser.parse_args()
    if given.what:
        (work if given.what == "worker" else loop)(given.port, given.pages)
        return 0
    found = measure(given.pages)
    first, again, pages = found["first"], found["again"], found["pages"]
    rows = [
        row("Noren, first time", pages, first["crawled"]),
        row("  publication", pages, first["published"]),
        row(f"Noren, again, {found['edited']} edited", pages, again["crawled"]),
        row("  publication", pages, again["published"]),
        row("requests + trafilatura", pages, found["peer"]["crawled"]),
    ]
    print(table(["", "pages", "s", "pages/s", "CPU ms/page", "MB at most"], rows))
    job, second = first["job"], again["job"]
    print(f"\nFirst: {job['status']}, {job['changed']:,} learnt, {job['chunks']:,} chunks, {job['tokens']:,} tokens.")
    print(f"Again: {second['status']}, {second['changed']:,} learnt of {found['sent']:,} that were sent.")
    if given.json:
        print(json.dumps(found))
    return int(job["changed"] + job["skipped"] != pages or second["changed"] != found["edited"])


if __name__ == "__main__":
    sys.exit(main())
