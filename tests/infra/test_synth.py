"""`cdk synth` as an operator and CI run it: the command line, the layers bundled for Lambda, every rule on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from local import emulator
from stacks.bundling import NO_PACKAGES, PLATFORM

CDK = emulator.HOME / "node" / "node_modules" / ".bin" / "cdk"
AARCH64 = 183
"""ELF's number for the machine, at byte 18."""


@pytest.fixture(scope="module", params=["local", "dev", "prod"])
def assembly(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage, synthesized with its layers."""
    out = Path(tmp_path_factory.mktemp(f"synth-{request.param}"))
    done = subprocess.run(
        [CDK, "synth", "--quiet", "--no-notices", "-c", f"stage={request.param}", "--output", out],
        cwd=emulator.ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "PYTHON"))},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    if NO_PACKAGES in said:
        pytest.fail(said[said.index(NO_PACKAGES) :][:1500], pytrace=False)
    assert done.returncode == 0, said[-6000:]
    assert "warning" not in done.stderr.lower(), done.stderr
    return out


def test_layers_hold_what_their_stage_runs(assembly: Path) -> None:
    stage = assembly.name.split("-")[1].rstrip("0123456789")
    layers = [each for each in assembly.glob("asset.*") if (each / "python").is_dir()]
    assert {(each / "python" / "noren").is_dir() for each in layers} == {True, False}
    libraries = [path for layer in layers for path in layer.rglob("*.so")]
    assert libraries
    machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries}
    assert (machines == {AARCH64}) is (stage != "local"), PLATFORM
    for layer in layers:
        assert not {"boto3", "botocore", "bin"} & {path.name for path in (layer / "python").iterdir()}
