"""`cdk synth` as an operator and CI run it: the command line, the layers bundled for Lambda, every rule on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from local import emulator
from stacks.bundling import NO_PACKAGES, PLATFORM

CDK = emulator.HOME / "node" / "node_modules" / ".bin" / "cdk"
AARCH64 = 183
"""ELF's number for the machine, at byte 18."""
MOST_BYTES = 160_000_000
"""Of the chat function's layers together, unzipped, compiled files included."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where a stage is synthesized: CDK builds a layer once a folder, and what runs on Lambda is the same for all."""
    on_lambda = Path(tmp_path_factory.mktemp("synth"))
    return {"local": emulator.HOME / "deploy-test" / "cdk.out", "dev": on_lambda, "prod": on_lambda}


def synthesize(stage: str, out: Path) -> None:
    """`cdk synth` of a stage with its layers."""
    done = subprocess.run(
        [CDK, "synth", "--quiet", "--no-notices", "-c", f"stage={stage}", "--output", out],
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


def layers_of(stage: str, out: Path) -> set[Path]:
    """The folders of what the stage's layers are made of."""
    manifests = [json.loads(each.read_text()) for each in out.glob(f"Noren-{stage}-*.assets.json")]
    assets = [out / file["source"]["path"] for each in manifests for file in each["files"].values()]
    return {each for each in assets if (each / "python").is_dir()}


def layers_of_chats(stage: str, out: Path) -> set[Path]:
    """The folders of the layers that the chat function runs with; the Web Adapter's is AWS's."""
    resources = json.loads((out / f"Noren-{stage}-Inference.template.json").read_text())["Resources"]
    files = json.loads((out / f"Noren-{stage}-Inference.assets.json").read_text())["files"]
    (chat,) = (
        each for name, each in resources.items() if name.startswith("ChatFunction") and "Layers" in each["Properties"]
    )
    layers = [resources[each["Ref"]] for each in chat["Properties"]["Layers"] if isinstance(each, dict)]
    keys = [each["Properties"]["Content"]["S3Key"].removesuffix(".zip") for each in layers]
    return {out / files[key]["source"]["path"] for key in keys}


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_layers_hold_what_their_stage_runs(stage: str, folders: dict[str, Path]) -> None:
    synthesize(stage, folders[stage])
    layers = layers_of(stage, folders[stage])
    assert {(each / "python" / "noren").is_dir() for each in layers} == {True, False}
    libraries = [path for layer in layers for path in layer.rglob("*.so")]
    assert libraries
    machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries}
    assert (machines == {AARCH64}) is (stage != "local"), PLATFORM
    chats = layers_of_chats(stage, folders[stage])
    assert len(chats) == 2
    inside = [path for layer in chats for path in layer.rglob("*") if path.is_file()]
    if stage == "local":  # elsewhere this machine may have no Python that writes what Lambda's reads
        assert any(path.suffix == ".pyc" for path in inside)
    assert sum(path.stat().st_size for path in inside) <= MOST_BYTES
    for layer in layers:
        assert not {"boto3", "botocore", "bin"} & {path.name for path in (layer / "python").iterdir()}
