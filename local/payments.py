"""What takes the local run's payments: the Stripe stand-in, or Stripe itself where the shell has its key."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local import stripe

REAL_API = "https://api.stripe.com"


@dataclass(frozen=True, slots=True)
class Payments:
    """What was started, if anything, and what points the platform at it."""

    process: subprocess.Popen[bytes] | None
    env: dict[str, str]
    """The address, by the upper-cased name of `noren.settings.Settings`."""
    secrets: dict[str, str]
    """Members of the secret `PaymentKeys`."""
    run: dict[str, str | None]
    """For `run.json`."""


def start(port: int, *, home: Path, logs: Path, webhook_url: str) -> Payments:
    """Start the stand-in on `port`; with STRIPE_SECRET_KEY in the shell nothing is started and Stripe is used.

    Then events come by `stripe listen --forward-to …/webhook/stripe`, whose secret goes into STRIPE_WEBHOOK_SECRET.
    """
    key = os.environ.get("STRIPE_SECRET_KEY", "")
    if key:
        base = os.environ.get("STRIPE_API_BASE", REAL_API)
        return _payments(None, base, key, os.environ.get("STRIPE_WEBHOOK_SECRET", ""), None)
    folder = home / "stripe"
    folder.mkdir(parents=True, exist_ok=True)
    base, secret = f"http://127.0.0.1:{port}", _webhook_secret(folder / "secret.json")
    process = stripe.start(
        port, log=logs / "stripe.log", webhook_url=webhook_url, webhook_secret=secret, state=folder / "account"
    )
    return _payments(process, base, stripe.API_KEY, secret, f"{base}/")


def _payments(
    process: subprocess.Popen[bytes] | None, base: str, key: str, secret: str, dashboard: str | None
) -> Payments:
    keys = {"stripe_secret_key": key, "stripe_webhook_secret": secret}
    run = {"api_base": base, "webhook_secret": secret, "dashboard_url": dashboard}
    return Payments(process, {"STRIPE_API_BASE": base}, keys, run)


def _webhook_secret(file: Path) -> str:
    """One for each folder of a run, so that what was signed before a restart still fits."""
    try:
        kept: str = json.loads(file.read_text())["webhook_secret"]
    except (OSError, ValueError, KeyError):
        kept = f"whsec_{secrets.token_urlsafe(24)}"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"webhook_secret": kept}))
    return kept
