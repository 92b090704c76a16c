"""`python -m local.runpod --port 9102 phi3 mistral`."""

from __future__ import annotations

import argparse
import os

from aiohttp import web

from local.runpod.server import make_app


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m local.runpod", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("endpoints", nargs="+")
    options = parser.parse_args()
    app = make_app(os.environ.get("LOCAL_RUNPOD_KEY", ""), options.endpoints)
    web.run_app(
        app,
        host="127.0.0.1",
        port=options.port,
        print=None,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=0.5,
    )


if __name__ == "__main__":
    main()
