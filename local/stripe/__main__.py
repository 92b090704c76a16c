"""`python -m local.stripe --port 9103 --webhook http://localhost:8080/webhook/stripe`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from aiohttp import web

from local.stripe.account import Account
from local.stripe.api import Api
from local.stripe.server import make_app
from local.stripe.world import World


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m local.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook", default="", help="where events go")
    parser.add_argument("--state", type=Path, help="a file that keeps the account between runs")
    options = parser.parse_args()
    world = World(time.time, url=f"http://127.0.0.1:{options.port}")
    api = Api(world, os.environ.get("LOCAL_STRIPE_KEY", ""))
    account = Account(world, api, options.webhook, os.environ.get("LOCAL_STRIPE_WEBHOOK_SECRET", ""))
    if options.state and options.state.exists():
        account.load(options.state)
    web.run_app(
        make_app(account, options.state),
        host="127.0.0.1",
        port=options.port,
        print=None,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=0.5,
    )


if __name__ == "__main__":
    main()
