"""A stand-in for Stripe: a stateful account that speaks its wire format, with the pages that people click.

`world` and the modules beside it are the account itself, without HTTP or real time; `api` is one function from request
to response; `inprocess` lets the SDK call it in memory; `server` is the process that the local run starts.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.process import launch

API_KEY = "sk_test_noren_local"  # pragma: allowlist secret


def start(
    port: int,
    *,
    log: Path,
    webhook_url: str,
    webhook_secret: str,
    state: Path | None = None,
    api_key: str = API_KEY,
) -> subprocess.Popen[bytes]:
    """Start the server on 127.0.0.1 and return when it answers. With `state` it goes on where it was stopped."""
    arguments = ["-m", "local.stripe", "--port", str(port), "--webhook", webhook_url]
    arguments += ["--state", str(state)] if state else []
    env = {"LOCAL_STRIPE_KEY": api_key, "LOCAL_STRIPE_WEBHOOK_SECRET": webhook_secret}
    return launch(arguments, log=log, ready=f"http://127.0.0.1:{port}/_stats", env=env)
