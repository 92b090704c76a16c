"""Each mutant of the catalogue is caught by its test; on the code as it is, all of these tests pass.

They run on copies of the package, in processes of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local import emulator
from tests.mutants.catalogue import MUTANTS, Mutant

PACKAGE = emulator.ROOT / "layers" / "noren" / "python" / "noren"


def run(python: Path, cloud: str, *killers: str) -> subprocess.CompletedProcess[str]:
    """The tests, over the package in the folder `python`, on the emulator that we have already."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"pythonpath={python} functions .", *killers]
    env = os.environ | {"NOREN_TEST_CLOUD": cloud}
    return subprocess.run(command, cwd=emulator.ROOT, env=env, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, ministack: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "noren")
    broken = tmp_path / "noren" / mutant.path
    code = broken.read_text()
    assert code.count(mutant.was) == 1, "the mutant does not apply any more"
    broken.write_text(code.replace(mutant.was, mutant.becomes))
    done = run(tmp_path, ministack, mutant.killer)
    assert done.returncode == 1, f"{mutant.killer} lets it pass:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert re.search(r"^1 failed", done.stdout.splitlines()[-1]), done.stdout[-2000:]


def test_the_code_as_it_is_passes(ministack: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "noren")
    done = run(tmp_path, ministack, *sorted({each.killer for each in MUTANTS}))
    assert done.returncode == 0, done.stdout[-3000:]


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10
