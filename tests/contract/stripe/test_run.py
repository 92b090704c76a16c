"""How the local run starts it: kept between runs, and left out where the shell has a real key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stripe

from local import emulator, payments


def _client(run: payments.Payments) -> Any:
    http: Any = stripe.RequestsClient()
    key = run.secrets["stripe_secret_key"]
    return stripe.StripeClient(key, base_addresses={"api": run.env["STRIPE_API_BASE"]}, http_client=http).v1, http


def test_the_account_outlives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    seen = []
    for _ in range(2):
        run = payments.start(emulator.free_port(), home=tmp_path, logs=tmp_path, webhook_url="http://127.0.0.1:9/hook")
        assert run.process
        try:
            v1, http = _client(run)
            made = v1.customers.create({"email": "a@example.jp"}, {"idempotency_key": "once"})
            seen.append((made.id, run.run["webhook_secret"]))
            assert run.run["api_base"] == run.env["STRIPE_API_BASE"]
            http.close()
        finally:
            emulator.stop(run.process)
    assert seen[0] == seen[1]


def test_a_key_in_the_shell_means_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_of_the_shell")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_of_the_shell")
    run = payments.start(1, home=tmp_path, logs=tmp_path, webhook_url="http://127.0.0.1:9/hook")
    assert run.process is None
    assert run.env == {"STRIPE_API_BASE": "https://api.stripe.com"}
    assert run.secrets == {"stripe_secret_key": "sk_of_the_shell", "stripe_webhook_secret": "whsec_of_the_shell"}
    assert run.run["dashboard_url"] is None
