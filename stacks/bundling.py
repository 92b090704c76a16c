"""Lambda code and layers without Docker: uv fetches the wheels for Lambda's platform.

Layers hold bytecode with unchecked hashes: that halves import time, since Lambda's file system keeps no `.pyc` of its
own and CPython needn't compare sources.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, IgnoreMode, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from config import Stage

ROOT = Path(__file__).resolve().parent.parent
DEPS = ROOT / "layers" / "deps"
LOCK = DEPS / "requirements.txt"
DOMAIN = ROOT / "layers" / "noren"
PYTHON = "3.13"
PLATFORM = "aarch64-manylinux_2_34"
LAYOUT = "1"
"""Part of every layer's hash: raise it when the way of bundling changes."""
NO_PACKAGES = "The layers' packages can't be fetched; bundling needs the package registry"
IN_RUNTIME = ("boto3", "botocore", "s3transfer")
"""Lambda brings these."""


@jsii.implements(ILocalBundling)
class _Local:
    """Runs a Python function where CDK would otherwise start a container."""

    def __init__(self, build: Callable[[Path], None]) -> None:
        self._build = build

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        """Fill `output_dir`. False (uv is missing) lets CDK fall back to Docker."""
        if _uv() is None:
            return False
        self._build(Path(output_dir))
        return True


def function_code(name: str) -> lambda_.Code:
    """`functions/<name>` alone, importable as `<name>`."""
    exclude = ["*", f"!{name}", f"!{name}/**", "__pycache__", "*.pyc"]
    return lambda_.Code.from_asset(str(ROOT / "functions"), exclude=exclude, ignore_mode=IgnoreMode.GIT)


def dependency_layer(stage: Stage, name: str = "deps") -> lambda_.Code:
    """The third-party packages of `layers/<name>/requirements.txt`."""
    source = ROOT / "layers" / name
    lock = source / "requirements.txt"
    return _layer(stage, source, lock.read_bytes(), lambda out: build_dependencies(stage, out, lock))


def build_dependencies(stage: Stage, out: Path, lock: Path = LOCK) -> None:
    """Fill `out` with a lock's packages. Raises RuntimeError with what uv says where the packages can't be had."""
    target = out / "python"
    where = (
        ["--python", sys.executable]
        if stage.is_local
        else ["--python-platform", PLATFORM, "--python-version", PYTHON, "--only-binary", ":all:"]
    )
    install = [str(_uv()), "pip", "install", "--quiet", "--no-config", "--require-hashes", "--no-compile-bytecode"]
    options = [*where, "--link-mode", "copy", "--target", str(target), "-r", str(lock)]
    done = subprocess.run([*install, *options], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{NO_PACKAGES}:\n{done.stderr}")
    for name in (*IN_RUNTIME, "bin"):
        shutil.rmtree(target / name, ignore_errors=True)
    (target / ".lock").unlink(missing_ok=True)
    _compile(stage, target)


def domain_layer(stage: Stage) -> lambda_.Code:
    """Our own `noren` package."""
    files = sorted(path for path in (DOMAIN / "python").rglob("*") if path.is_file() and path.suffix != ".pyc")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(DOMAIN)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return _layer(stage, DOMAIN, digest.digest(), lambda out: build_domain(stage, out))


def build_domain(stage: Stage, out: Path) -> None:
    """Fill `out` with the domain layer."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    shutil.copytree(DOMAIN / "python", out / "python", ignore=ignored)
    _compile(stage, out / "python")


def _layer(stage: Stage, source: Path, content: bytes, build: Callable[[Path], None]) -> lambda_.Code:
    target = f"{sys.platform}-{sys.version_info[:2]}" if stage.is_local else f"{PLATFORM}-{PYTHON}"
    bytecode = "compiled" if _interpreter(stage) else "sources"
    key = hashlib.sha256(f"{LAYOUT}\0{target}\0{bytecode}\0".encode() + content).hexdigest()
    return lambda_.Code.from_asset(
        str(source),
        asset_hash=key,
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=lambda_.Runtime.PYTHON_3_13.bundling_image,
            command=[
                "bash",
                "-c",
                "if [ -f requirements.txt ]; then pip install -r requirements.txt -t /asset-output/python;"
                " else cp -r python /asset-output/; fi",
            ],
            local=_Local(build),
        ),
    )


def _compile(stage: Stage, tree: Path) -> None:
    interpreter = _interpreter(stage)
    if interpreter is None:
        sys.stderr.write(
            f"No Python {PYTHON} here: the layers go without bytecode, and functions take twice as long to import."
            f" `uv python install {PYTHON}` cures it.\n"
        )
        return
    command = [interpreter, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(tree), "-p", "/opt/python", str(tree)], check=True)


@cache
def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _interpreter(stage: Stage) -> str | None:
    """A Python that writes the bytecode which the functions' own Python reads; None if this machine has none."""
    return sys.executable if stage.is_local else _lambda_python()


@cache
def _lambda_python() -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # uv stops at a pyenv shim of a version that isn't switched on: those are looked up by path.
    candidates = [sys.executable, *map(str, pyenv.glob(f"versions/{PYTHON}.*/bin/python"))]
    if uv := _uv():
        find = [uv, "python", "find", "--no-config", "--no-project", "--no-python-downloads", PYTHON]
        candidates.append(subprocess.run(find, capture_output=True, text=True).stdout.strip())
    return next((each for each in candidates if each and _version(each) == PYTHON), None)


def _version(interpreter: str) -> str:
    ask = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip()
