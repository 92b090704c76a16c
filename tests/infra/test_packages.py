"""What goes into Lambda: each function alone with its layers, nothing of this machine's."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
import requests

from local import cloud, emulator

FUNCTIONS = sorted(path.parent.name for path in (emulator.ROOT / "functions").glob("*/main.py"))
BROUGHT_BY_LAMBDA = {"boto3", "botocore", "s3transfer", "dateutil", "six", "jmespath"}

IMPORTER = """
import sys
folder, *layers = sys.argv[2:]
sys.path[:] = [folder, *layers, *(each for each in sys.path if "site-packages" not in each)]
import importlib
importlib.import_module(sys.argv[1] + ".main")
"""


@pytest.fixture(scope="package")
def unpacked(deployed: cloud.Outputs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Path]]]:
    """Function to its unpacked code and its layers' `python` folders, as they were deployed."""
    client = boto3.client(
        "lambda",
        endpoint_url=deployed.endpoint,
        region_name=deployed.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    root = Path(tmp_path_factory.mktemp("packages"))
    layers: dict[str, Path] = {}

    def unpack(url: str, into: Path) -> Path:
        archive = into.with_suffix(".zip")
        archive.write_bytes(requests.get(url, timeout=30).content)
        with zipfile.ZipFile(archive) as content:
            content.extractall(into)
        return into

    found = {}
    for each in client.list_functions()["Functions"]:
        name = each["Handler"].partition(".")[0]
        if name not in FUNCTIONS:
            continue
        code = unpack(client.get_function(FunctionName=each["FunctionName"])["Code"]["Location"], root / name)
        mine = []
        for layer in each["Layers"]:
            if layer["Arn"] not in layers:
                content = client.get_layer_version_by_arn(Arn=layer["Arn"])["Content"]
                kind = layers.get(content["CodeSha256"])
                layers[layer["Arn"]] = kind or unpack(content["Location"], root / f"layer{len(layers)}")
                layers[content["CodeSha256"]] = layers[layer["Arn"]]
            mine.append(layers[layer["Arn"]] / "python")
        found[name] = (code, mine)
    return found


def test_every_function_is_deployed(unpacked: dict[str, tuple[Path, list[Path]]]) -> None:
    assert sorted(unpacked) == FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_holds_its_function_alone(unpacked: dict[str, tuple[Path, list[Path]]], name: str) -> None:
    code, _ = unpacked[name]
    assert [path.name for path in code.iterdir()] == [name]
    assert not [path for path in code.rglob("*") if path.suffix == ".pyc"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_imports_from_its_layers_alone(unpacked: dict[str, tuple[Path, list[Path]]], name: str) -> None:
    code, layers = unpacked[name]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORTER, name, str(code), *map(str, layers)],
        capture_output=True,
        text=True,
        env={"AWS_REGION": "ap-northeast-1", "STAGE": "local"},
    )
    assert done.returncode == 0, done.stderr


def test_layers_leave_out_what_lambda_brings_and_hold_bytecode(
    unpacked: dict[str, tuple[Path, list[Path]]],
) -> None:
    _, (packages, domain) = unpacked["chat"]
    assert not {path.name for path in packages.iterdir()} & BROUGHT_BY_LAMBDA
    assert [path.name for path in domain.iterdir()] == ["noren"]
    for tree in (packages / "pydantic", domain / "noren"):
        compiled = {path.name.split(".")[0] for path in tree.glob("__pycache__/*.pyc")}
        assert {path.stem for path in tree.glob("*.py")} <= compiled
        # PEP 552: flags 0b01 is "hash-based, unchecked".
        assert next(tree.glob("__pycache__/*.pyc")).read_bytes()[4:8] == b"\1\0\0\0"
