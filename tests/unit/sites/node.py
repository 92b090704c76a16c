"""Runs scripts as a page would: in Node, each in a world of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

RUNNER = """
const vm = require('node:vm');
let given = '';
process.stdin.setEncoding('utf8').on('data', (part) => (given += part)).on('end', () => {
  const ran = JSON.parse(given).map((source) => {
    const said = [];
    const world = vm.createContext({ console: { info: (text) => said.push(text) } });
    const before = Object.keys(world);
    try {
      new vm.Script(source).runInContext(world);
    } catch (error) {
      return { error: String(error) };
    }
    const left = Object.keys(world).filter((name) => !before.includes(name));
    return { started: world.started ?? null, said, left };
  });
  process.stdout.write(JSON.stringify(ran));
});
"""

LOADER = "(function (settings) { globalThis.started = settings; })(__NOREN__);\n"
"""A loader that only shows what it was given."""


def run(scripts: Sequence[str]) -> list[dict[str, Any]]:
    """For each script: what it `started` with, what it `said` to the console, and which globals it `left` behind."""
    done = subprocess.run(
        ["node", "-e", RUNNER], input=json.dumps(scripts), capture_output=True, text=True, timeout=60, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
