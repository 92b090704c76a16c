"""Credits on the whole run: a spent plan goes on with them, lines are explained, the owner is told, the books agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Stack

pytestmark = pytest.mark.e2e


def until(look: Callable[[], Any], seconds: float = 90) -> Any:
    """What `look` gives once it gives something."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(1.5)  # a newcomer may ask once a second
    return found


@pytest.fixture
def email() -> str:
    """Where the owner wants to be told."""
    return f"owner-{time.time_ns()}@noren.example"


@pytest.fixture
def spent(stack: Stack, email: str) -> tuple[Client, str]:
    """A newcomer whose one chat of the month is spent, and their tenant."""
    user, me = stack.newcomer("credits")
    tenant = me["tenant"]["tenant_id"]
    user.ok("PATCH", "/api/v1/tenant", {"billing_email": email})
    limits = {"chats_per_month": 1, "requests_per_day_per_site": 500, "concurrent_chats": 20}
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{tenant}", {"overrides": limits})
    user.chat("営業時間は？")
    return user, tenant


def test_a_spent_plan_goes_on_with_credits_and_each_line_is_explained(
    stack: Stack, spent: tuple[Client, str], email: str
) -> None:
    user, tenant = spent
    assert user.call("POST", "/api/v1/chat", {"message": "営業時間は？"}).status_code == 402
    user.ok("PATCH", "/api/v1/credits/overage", {"enabled": True})
    given = {"type": "bonus", "credits": 60, "reason": "welcome"}
    stack.admin.ok("POST", f"/api/v1/admin/tenants/{tenant}/credits", given)
    start = user.ok("GET", "/api/v1/credits/balance")["balance"]["current"]
    time.sleep(2.5)  # what refused a moment ago is remembered for two seconds
    answer = user.chat("営業時間は？")
    assert answer["credits"] == {"used": 2, "remaining": start - 2}
    line = until(lambda: _used(user))[0]
    assert (line["credits"], line["reference_id"], line["balance_after"]) == (-2, answer["id"], start - 2)
    assert sum(line["buckets"].values()) == 2
    lines = user.ok("GET", "/api/v1/credits/transactions")["items"]
    assert sum(each["credits"] for each in lines) == start - 2
    told = until(lambda: user.ok("GET", "/api/v1/notifications")["items"])
    assert {"limit_reached"} <= {each["kind"] for each in told}
    mails = until(lambda: [mail for mail in _mails(stack) if email in mail["To"]])
    assert "チャット" in mails[0]["Subject"] or "chats" in mails[0]["Subject"]


def test_more_at_once_than_credits_pay_for_never_oversell(stack: Stack, spent: tuple[Client, str]) -> None:
    user, tenant = spent
    user.ok("PATCH", "/api/v1/credits/overage", {"enabled": True})
    stack.admin.ok(
        "POST", f"/api/v1/admin/tenants/{tenant}/credits", {"type": "bonus", "credits": 10, "reason": "a few"}
    )
    start = user.ok("GET", "/api/v1/credits/balance")["balance"]["current"]
    time.sleep(2.5)
    calls = stack.model_calls()

    def ask(_: int) -> int:
        return user.call("POST", "/api/v1/chat", {"message": "営業時間は？", "max_tokens": 64}).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(ask, range(20)))
    served = statuses.count(200)
    balance = user.ok("GET", "/api/v1/credits/balance")["balance"]
    assert set(statuses) <= {200, 402, 429}
    assert (balance["current"], balance["held"], balance["total_used"]) == (start - 2 * served, 0, 2 * served)
    assert balance["current"] >= 0
    assert stack.model_calls() - calls == served
    until(lambda: len(_used(user)) == served)


def test_the_books_agree(stack: Stack) -> None:
    """As the operator looks: `noren reconcile` over everything that the tests have done so far."""
    home = str(Path(stack["logs"]).parent)
    command = [sys.executable, "-m", "noren.cli", "reconcile", "--json"]
    done = subprocess.run(command, env=os.environ | {"NOREN_HOME": home}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["differences"] == 0


def _used(user: Client) -> list[Any]:
    lines = user.ok("GET", "/api/v1/credits/transactions?limit=100")["items"]
    return [each for each in lines if each["type"] == "USAGE"]


def _mails(stack: Stack) -> list[Any]:
    return [mail for mails in stack.mails().values() for mail in mails]
