"""Training is two functions' work (ADR 7): one reads what strangers send, the other publishes and pays."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import cast

import pytest

from noren.knowledge.messages import Step, Steps
from noren.knowledge.models import JobPage
from noren.queues import Queue
from tests.unit.knowledge.training_world import Messages, World

PARTS = """
import sys
from publisher.main import SERVICES
SERVICES.publishing, SERVICES.schedules, SERVICES.crawls
print(*sys.modules)
"""


@pytest.mark.parametrize(("step", "queue"), [("plan", "reading"), ("page", "reading"), ("publish", "publishing")])
def test_each_step_is_asked_for_on_its_functions_queue(world: World, step: Step, queue: str) -> None:
    queues = {"reading": Messages(), "publishing": Messages()}
    steps = Steps(*(cast(Queue, each) for each in queues.values()))
    job = world.start(("Hours", "From ten to six."))
    steps.ask(job, step, "pg_1" if step == "page" else "", delay=3)
    (asked,) = queues.pop(queue).waiting
    assert asked == {
        "tenant_id": job.tenant_id,
        "job_id": job.job_id,
        "what": step,
        "delay": 3,
        **({"page": "pg_1"} if step == "page" else {}),
    }
    (other,) = queues.values()
    assert not other.waiting


def test_only_pages_that_wait_are_asked_for(world: World) -> None:
    reading, publishing = Messages(), Messages()
    job = world.start(("Hours", "From ten to six."))
    pages = [JobPage("pg_1", "", ""), JobPage("pg_2", "", "", status="changed")]
    Steps(cast(Queue, reading), cast(Queue, publishing)).ask_for_pages(job, pages)
    assert ([each["page"] for each in reading.waiting], publishing.waiting) == (["pg_1"], [])


def test_who_reads_does_not_publish_and_who_publishes_does_not_read(world: World) -> None:
    job = world.start(("Hours", "From ten to six."))
    world.publishing.work(job.tenant_id, job.job_id)
    assert (world.job(job).status, [each["what"] for each in world.queue.waiting]) == ("queued", ["plan"])
    while world.queue.waiting[0]["what"] != "publish":
        world.deliver()
    asked = world.queue.waiting.pop()
    world.worker.work(job.tenant_id, job.job_id, "publish")
    assert (world.job(job).status, world.queue.waiting) == ("publishing", [asked]), "passed on to whose it is"
    world.drain()
    assert world.job(job).status == "succeeded"


def test_what_publishes_comes_without_the_parsers() -> None:
    folders = os.pathsep.join(("functions", "layers/noren/python"))
    done = subprocess.run(
        [sys.executable, "-c", PARTS],
        env=os.environ | {"PYTHONPATH": folders, "AWS_DEFAULT_REGION": "ap-northeast-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "noren.knowledge.publishing" in loaded
    parsers = ("lxml", "trafilatura", "pypdfium2", "mammoth", "noren.knowledge.extract", "noren.knowledge.inputs")
    assert not [each for each in loaded if each.startswith(parsers)]
