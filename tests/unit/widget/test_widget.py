"""The widget's sources without a browser: what it matches, what it weighs, and that its build is always the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import widget_size
from local.emulator import HOME, ROOT

WIDGET = ROOT / "web" / "widget"
TOOLS = HOME / "node" / "node_modules" / ".bin"
VECTORS: dict[str, Any] = json.loads((WIDGET / "canned-vectors.json").read_text())
RUN = """
import { readFileSync } from "node:fs";
import { match, normalise } from "./canned.mjs";
const given = JSON.parse(readFileSync(0, "utf8"));
const ran = given.map(([question, all]) => {
  if (all === null) return normalise(question);
  const { kind, found } = match(question, all);
  return [kind, found.map((each) => each.canned_id)];
});
console.log(JSON.stringify(ran));
"""


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The widget's matching as a module that Node runs."""
    folder = Path(tmp_path_factory.mktemp("canned"))
    command = [str(TOOLS / "esbuild"), str(WIDGET / "canned.ts"), "--format=esm", f"--outfile={folder / 'canned.mjs'}"]
    subprocess.run([*command, "--log-level=error"], check=True)
    (folder / "run.mjs").write_text(RUN)
    return folder / "run.mjs"


def ran(matcher: Path, cases: list[tuple[str, list[dict[str, Any]] | None]]) -> list[Any]:
    done = subprocess.run(["node", str(matcher)], input=json.dumps(cases), capture_output=True, text=True, check=True)
    results: list[Any] = json.loads(done.stdout)
    return results


def test_it_normalises_as_the_server_does(matcher: Path) -> None:
    given = [text for text, _ in VECTORS["normalise"]]
    results = ran(matcher, [(text, None) for text in given])
    assert dict(zip(given, results, strict=True)) == dict(VECTORS["normalise"])


def test_it_matches_as_the_server_does(matcher: Path) -> None:
    cases: list[tuple[str, list[dict[str, Any]] | None]] = []
    expected: list[Any] = []
    for case in VECTORS["cases"]:
        if case.get("only") == "server":
            continue
        response = {"canned_id": "can_1", "patterns": case["patterns"], "questions": case.get("questions", [])}
        cases.append((case["question"], [response]))
        expected.append([case["match"], [] if case["match"] == "none" else ["can_1"]])
    for group in VECTORS["sets"]:
        for case in group["cases"]:
            cases.append((case["question"], group["responses"]))
            expected.append([case["match"], case["canned_ids"]])
    assert len(cases) > 50
    assert ran(matcher, cases) == expected


def test_it_keeps_to_its_weight() -> None:
    weights = widget_size.ours()
    loader = max(weights["evergreen loader"], weights["pinned loader"])
    assert loader <= widget_size.LOADER_LIMIT
    assert loader + weights["panel"] <= widget_size.WHOLE_LIMIT


def test_the_build_is_what_the_sources_say_and_always_the_same() -> None:
    manifest = ROOT / "functions" / "platform_api" / "widget.json"
    before = manifest.read_bytes()
    subprocess.run(["node", str(WIDGET / "build.mjs")], check=True)
    assert manifest.read_bytes() == before, "the widget's sources have changed: run `make setup`"
    made = json.loads(before)
    assert made["loader"].count("__NOREN__") == 1
    names = {path.name for path in (HOME / "widget").iterdir()}
    assert names == {made["loader_file"], made["bundle_file"]}


def test_no_source_makes_markup_or_code_of_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.cookie\b")
    found = [
        f"{path.name}:{number}"
        for path in sorted(WIDGET.glob("*.ts"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found
