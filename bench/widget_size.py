"""How much script a page loads before a visitor can chat: our widget beside deep-chat and Typebot, as npm has them.

    python -m bench.widget_size     (after bench/setup.sh)

Counted are the scripts that a page needs for one open chat, each as gzip -9 leaves it. Of the others that is the one
file that their own instructions tell a page to load; what they would fetch from their servers later is not counted.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".noren" / "bench" / "widgets" / "node_modules"
LOADER_LIMIT = 2_000
WHOLE_LIMIT = 12_000


def weight(text: bytes) -> int:
    """Bytes on the wire."""
    return len(gzip.compress(text, 9, mtime=0))


def peer(package: str, script: str) -> tuple[str, int]:
    """A package with its version, and the weight of its script."""
    folder = PEERS / package
    version = json.loads((folder / "package.json").read_text())["version"]
    return f"{package} {version}", weight((folder / script).read_bytes())


def ours() -> dict[str, int]:
    """The weights of our scripts. The evergreen loader's is that without the site's settings."""
    made = json.loads((ROOT / "functions" / "platform_api" / "widget.json").read_text())
    built = ROOT / ".noren" / "widget"
    return {
        "evergreen loader": weight(made["loader"].encode()),
        "pinned loader": weight((built / made["loader_file"]).read_bytes()),
        "panel": weight((built / made["bundle_file"]).read_bytes()),
    }


def main() -> int:
    """Print the table; 1 if we are over our limits."""
    mine = ours()
    loader = max(mine["evergreen loader"], mine["pinned loader"])
    whole = loader + mine["panel"]
    rows = [(f"  {name}", size) for name, size in mine.items()]
    rows += [("Noren, whole", whole)]
    rows += [peer("deep-chat", "dist/deepChat.bundle.js"), peer("@typebot.io/js", "dist/web.js")]
    print("All scripts for an open chat, gzip -9")
    for name, size in rows:
        print(
            f"  {name:<24} {size:>9,} B   {size / whole:>5.1f}×"
            if not name.startswith(" ")
            else f"  {name:<24} {size:>9,} B"
        )
    fits = loader <= LOADER_LIMIT and whole <= WHOLE_LIMIT
    print(f"Limits: loader {LOADER_LIMIT:,} B, whole {WHOLE_LIMIT:,} B: {'kept' if fits else 'BROKEN'}")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
