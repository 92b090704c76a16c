"""The documents' commands exist: ours by our own parser, AWS's by its SDK's models, make's by the Makefile."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from noren.cli import __main__ as cli
from noren.cli.deployment import ROOT

DOCUMENTS = ("README.md", "docs/runbook.md")
GLOBAL = {"--query", "--output", "--region", "--profile", "--max-items", "--no-cli-pager"}
"""Options that the AWS command line itself has, for every command."""
SERVICES = {"deploy": "codedeploy"}
"""Services that the command line calls by another name."""


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Every use of a program in code blocks and `inline code`: (where, its words)."""
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(rf"`({re.escape(program)} [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in lines:
            for found in re.findall(rf"(?:^|\$\(|&& ){re.escape(program)} (?:[^)#]|\)(?!$))*", line):
                call = found.removeprefix("$(").removeprefix("&& ")
                yield f"{name}: {call}", shlex.split(call, comments=True)[1:]


OURS = dict(commands("bin/noren"))
AWS = dict(commands("aws"))
MAKE = dict(commands("make"))


@pytest.mark.parametrize("where", OURS)
def test_noren(where: str) -> None:
    words = [word.replace("$STAGE", "prod") for word in OURS[where]]
    options = cli.parser().parse_args(words)
    assert options.command


@pytest.mark.parametrize("where", MAKE)
def test_make(where: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = [word for word in MAKE[where] if "=" not in word]
    assert words
    assert set(words) <= set(targets)


@pytest.mark.parametrize("where", AWS)
def test_aws(where: str) -> None:
    service, operation, *rest = AWS[where]
    model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
    known = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in known, f"{service} has no such command"
    shape = model.operation_model(known[operation]).input_shape
    members = {f"--{xform_name(member, '-')}": value for member, value in (shape.members if shape else {}).items()}
    switches = {name for name, value in members.items() if value.type_name == "boolean"}
    options = {word for word in rest if word.startswith("--")} - GLOBAL
    assert options <= members.keys() | {name.replace("--", "--no-", 1) for name in switches}
    required = {f"--{xform_name(member, '-')}" for member in (shape.required_members if shape else [])}
    assert required <= options, "an option is missing"


def test_the_documents_have_commands_to_check() -> None:
    assert len(OURS) > 12
    assert len(AWS) > 25
    assert len(MAKE) > 5


@pytest.mark.parametrize("name", [*DOCUMENTS, "docs/security.md"])
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    paths = re.findall(
        r"`((?:docs|tests|stacks|config|noren|layers|functions|local|bench|web|workers|examples)/[\w./]*)`", text
    )
    assert [
        path for path in paths if not any((ROOT / base / path).exists() for base in ("", "layers/noren/python"))
    ] == []
    assert Path(ROOT / name).stat().st_size > 1000


def test_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 25
    lacking = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert not lacking
