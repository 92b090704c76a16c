"""`noren smoke`, as an operator runs it after a deployment, against the whole run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local import emulator
from noren.cli import smoke, srp
from tests.e2e.client import Stack

pytestmark = pytest.mark.e2e


def run_smoke(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [str(emulator.ROOT / "bin" / "noren"), "smoke", "--stage", "local", *options]
    env["NOREN_HOME"] = str(home)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=150, check=False)


def person(stack: Stack) -> Any:
    return stack.cognito().admin_get_user(UserPoolId=stack["user_pool_id"], Username=smoke.EMAIL)


def test_every_check_passes_and_nothing_is_left(stack: Stack) -> None:
    stack.control("*", pace_ms=30)
    done = run_smoke(Path(stack["logs"]).parent, "--json")
    stack.control("*")
    report = json.loads(done.stdout)
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert set(states.values()) == {"passed"}, report
    assert (done.returncode, report["passed"]) == (0, True)
    assert len(states) == 12
    assert person(stack)["Enabled"] is False
    tenant = next(check["detail"] for check in report["checks"] if check["name"] == "who am I").split(",")[0]
    assert stack.admin.ok("GET", f"/api/v1/admin/tenants/{tenant}")["overrides"] == {}


def test_what_does_not_answer_fails_and_the_rest_is_skipped(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(stack.run | {"platform_url": "http://127.0.0.1:9"}))
    done = run_smoke(tmp_path)
    marks = [line[0] for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert marks == ["✗", "✓", "✗", *["–"] * 8, "✗"], done.stdout
    assert "docs/runbook.md" in done.stderr
    assert person(stack)["Enabled"] is False


def test_a_wrong_password_does_not_sign_in(stack: Stack) -> None:
    someone, cognito = stack.person("free"), stack.cognito()
    given = (cognito, stack["user_pool_id"], stack["client_id"], someone["email"])
    assert srp.sign_in(*given, someone["password"])["AccessToken"].count(".") == 2
    with pytest.raises(cognito.exceptions.NotAuthorizedException):
        srp.sign_in(*given, someone["password"] + "x")
