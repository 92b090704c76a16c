"""`python -m local.llm --port 9101`."""

from __future__ import annotations

import argparse
import os

from aiohttp import web

from local.llm.server import make_app


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m local.llm", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pace-ms", type=float, default=15)
    options = parser.parse_args()
    app = make_app(os.environ.get("LOCAL_LLM_KEY", ""), options.pace_ms)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, handler_cancellation=True, access_log=None)


if __name__ == "__main__":
    main()
