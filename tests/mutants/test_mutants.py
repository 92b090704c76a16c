"""Each mutant of the catalogue is caught by its test; on the code as it is, all of these tests pass.

They run on copies of the package, two at a time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import emulator
from tests.mutants.catalogue import MUTANTS, Mutant

PACKAGE = emulator.ROOT / "layers" / "noren" / "python" / "noren"
ORIGINAL = "the code as it is"


def run(python: Path, *killers: str) -> subprocess.CompletedProcess[str]:
    """The tests, over the package in the folder `python`."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"pythonpath={python} functions .", *killers]
    return subprocess.run(command, cwd=emulator.ROOT, capture_output=True, text=True, timeout=120, check=False)


def copy(to: Path, mutant: Mutant | None) -> Path:
    """A folder with the package in it, broken by the mutant."""
    shutil.copytree(PACKAGE, to / "noren")
    if mutant:
        broken = to / "noren" / mutant.path
        broken.write_text(broken.read_text().replace(mutant.was, mutant.becomes))
    return to


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.CompletedProcess[str]]]:
    """What became of each mutant, and of the original."""

    def judge(mutant: Mutant | None) -> tuple[str, subprocess.CompletedProcess[str]]:
        python = copy(tmp_path_factory.mktemp("mutant"), mutant)
        killers = [mutant.killer] if mutant else sorted({each.killer for each in MUTANTS})
        return mutant.name if mutant else ORIGINAL, run(python, *killers)

    with ThreadPoolExecutor(2) as pool:
        yield dict(pool.map(judge, (None, *MUTANTS)))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, runs: dict[str, subprocess.CompletedProcess[str]]) -> None:
    assert (PACKAGE / mutant.path).read_text().count(mutant.was) == 1, "the mutant does not apply any more"
    done = runs[mutant.name]
    assert done.returncode == 1, f"{mutant.killer} lets it pass:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert re.search(r"^1 failed", done.stdout.splitlines()[-1]), done.stdout[-2000:]


def test_the_code_as_it_is_passes(runs: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = runs[ORIGINAL]
    assert done.returncode == 0, done.stdout[-3000:]


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10
