"""One synthesized app per stage and session (bundling skipped), with every rule of cdk-nag and the template checks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local import cloud, emulator

os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "1")

STAGES = ("local", "dev", "staging", "prod")


@dataclass(frozen=True)
class Resource:
    """A synthesized resource."""

    stack: str
    id: str
    type: str
    properties: dict[str, Any]
    whole: dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """What one stage comes to."""

    stage: str
    folder: Path
    resources: tuple[Resource, ...]

    def of(self, *types: str) -> list[Resource]:
        """The resources of the types."""
        return [each for each in self.resources if each.type in types]

    def functions(self) -> list[Resource]:
        """Our own functions: those that CDK brings for its custom resources run no code of ours."""
        return [
            each
            for each in self.of("AWS::Lambda::Function")
            if str(each.properties.get("Description")).startswith("Noren ")
        ]


def context(stage: str) -> dict[str, Any]:
    """The CDK context of `cdk synth -c stage=…`, without bundling."""
    flags: dict[str, Any] = json.loads((emulator.ROOT / "cdk.json").read_text())["context"]
    return flags | {"stage": stage, "aws:cdk:bundling-stacks": []}


def synthesize(stage: str, folder: Path) -> Synthesized:
    """Build and synthesize a stage. Raises if any rule that nobody acknowledged is broken."""
    import app

    app.build(context=context(stage), outdir=str(folder)).synth()
    resources = [
        Resource(path.name.removesuffix(".template.json"), name, whole["Type"], whole.get("Properties", {}), whole)
        for path in sorted(folder.glob("*.template.json"))
        for name, whole in json.loads(path.read_text())["Resources"].items()
    ]
    return Synthesized(stage, folder, tuple(resources))


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Synthesized]:
    """Synthesizes a stage, once. Raises if any rule that nobody acknowledged is broken."""
    return cache(lambda stage: synthesize(stage, Path(tmp_path_factory.mktemp(f"cdk-{stage}"))))


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, synthesized: Callable[[str], Synthesized]) -> Synthesized:
    """Every stage in turn."""
    return synthesized(request.param)


@pytest.fixture(scope="package")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.Outputs]:
    """The whole app, deployed by `cdk deploy --all` on an emulator of this session's own."""
    port = emulator.free_port()
    process = emulator.start(port, log=Path(tmp_path_factory.mktemp("deployed")) / "ministack.log")
    try:
        yield cloud.deploy(f"http://127.0.0.1:{port}", {}, work=emulator.HOME / "deploy-test")
    finally:
        emulator.stop(process)
