"""How far our count of tokens is from the bill's: real documentation as it is trained, chunk by chunk.

    python -m bench.tokens [NAME …] [--write]     (after bench/setup.sh: it has the vocabulary)

A bill's tokens are those of the model's own vocabulary (cl100k: text-embedding-3). NAMEs are of
`tests/websites/documentation.py`; without any, those of a few megabytes. `--write` keeps what was counted, without the
texts, for `tests/unit/llm/test_tokens.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "noren" / "python")]

from bench.tables import table  # noqa: E402
from noren.knowledge.chunks import cut  # noqa: E402
from noren.knowledge.extract import html  # noqa: E402
from noren.llm import tokens  # noqa: E402
from tests.websites.documentation import FOLDERS, Unavailable, documentation, pages_of  # noqa: E402

PEER = ROOT / ".noren" / "bench" / "litellm"
COUNTED = ROOT / "tests" / "unit" / "llm" / "cl100k.json"
SMALL = [name for name in FOLDERS if not name.startswith("gimp")]
LANGUAGES = ("ja", "ko", "en")
SCRIPT = """
import json, sys, tiktoken
count = tiktoken.get_encoding("cl100k_base")
print(json.dumps([len(count.encode(each, disallowed_special=())) for each in json.load(sys.stdin)]))
"""


def billed(texts: list[str]) -> list[int]:
    """The vocabulary's own counts, by the packages that LiteLLM brings."""
    (cache,) = PEER.glob("lib/python*/site-packages/litellm/litellm_core_utils/tokenizers")
    done = subprocess.run(
        [PEER / "bin" / "python", "-c", SCRIPT],
        input=json.dumps(texts),
        env=os.environ | {"TIKTOKEN_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    counts: list[int] = json.loads(done.stdout)
    return counts


def chunks_of(name: str) -> Iterator[tuple[str, str]]:
    """The language and text of each chunk of a documentation."""
    for each in pages_of(documentation(name)):
        page = html.read(each.read_bytes())
        for chunk in cut(page.extracted):
            yield page.extracted.language, chunk.embedded


def main() -> int:
    """Print the table; 1 if a language is off by more than 5 %."""
    names = [each for each in sys.argv[1:] if each != "--write"] or SMALL
    rows, kept, sums = [], [], {each: [0, 0] for each in LANGUAGES}
    for name in names:
        try:
            texts = list(chunks_of(name))
        except Unavailable as why:
            print(f"  {name} is not to be had: {why}", file=sys.stderr)
            continue
        counts = billed([text for _, text in texts])
        for language in LANGUAGES:
            own = [(text, count) for (said, text), count in zip(texts, counts, strict=True) if said == language]
            real, ours = sum(count for _, count in own), sum(tokens.estimate(text) for text, _ in own)
            if real < 5_000:
                continue
            sums[language][0] += real
            sums[language][1] += ours
            rows.append((name, language, f"{real:,}", f"{ours:,}", f"{100 * (ours / real - 1):+.1f} %"))
            parts = sum((Counter(tokens.parts(text)) for text, _ in own), Counter[str]())
            kept.append({"name": name, "language": language, "tokens": real, "texts": len(own), "parts": parts})
    rows += [
        ("all", each, f"{real:,}", f"{ours:,}", f"{100 * (ours / real - 1):+.1f} %")
        for each, (real, ours) in sums.items()
        if real
    ]
    print(table(["documentation", "language", "billed", "our count", "off by"], rows))
    if "--write" in sys.argv:
        COUNTED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return int(any(abs(ours / real - 1) > 0.05 for real, ours in sums.values() if real))


if __name__ == "__main__":
    sys.exit(main())
