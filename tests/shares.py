"""How `make test` shares the tests out between its workers: file by file, the longest first.

What stands on one expensive thing, as the end-to-end tests on their run, goes to one worker as a whole.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

WHOLE = ("tests/e2e/", "tests/infra/", "tests/contract/")
"""Folders whose tests share a fixture of the session that takes long to make."""
LONGEST = (
    *(*WHOLE, "tests/mutants/", "tests/browser/", "tests/unit/bench/", "tests/unit/usage/"),
    *("tests/unit/chat/", "tests/unit/ledger/", "tests/unit/knowledge/", "tests/unit/platform_api/"),
)


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker that is free the next file or folder of `WHOLE`."""

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the order is ours

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in WHOLE if file.startswith(folder)), file)


def rank(nodeid: str) -> int:
    """The tests with the lowest come first."""
    return next((place for place, folder in enumerate(LONGEST) if nodeid.startswith(folder)), len(LONGEST))
