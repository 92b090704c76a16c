"""`noren usage rebuild`: says that all is equal, or what was not; and mends it."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from noren import ids
from noren.cli import __main__ as cli
from noren.cli import deployment
from noren.cli.deployment import Deployment
from noren.ids import TenantId
from noren.usage.models import UsageRecord
from tests.unit.platform_api.kit import create_tables


@pytest.fixture
def deployed(aws: str, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    create_tables()
    outputs = {f"Table{name.title()}": name for name in deployment.TABLES}
    outputs |= dict.fromkeys((f"Queue{name.title()}" for name in deployment.QUEUES), "x")
    outputs |= dict.fromkeys(("ProviderSecret", "SigningSecret", "PaymentSecret"), "x")
    outputs |= dict.fromkeys(("UserPoolId", "ClientId", "JwksUrl"), "x")
    made = Deployment("local", "ap-northeast-1", outputs)
    made.services.plans.seed()
    monkeypatch.setattr(cli, "connect", lambda stage, region: made)
    return made


def tenant(deployed: Deployment, name: str) -> TenantId:
    return deployed.services.tenants.ensure_tenant(name, f"{name}@example.com", name).tenant_id


def use(deployed: Deployment, tenant_id: TenantId, days_ago: float) -> UsageRecord:
    at = time.time() - days_ago * 86400
    record = UsageRecord(ids.new_id("req", at), tenant_id, "site_1", at, model="phi", cost_usd=Decimal("0.25"))
    return deployed.services.usage_records.put_first(record)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = cli.main(["usage", "rebuild", "--json", *words])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def test_what_is_missing_is_told_mended_and_then_equal(
    deployed: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    mei, ken = tenant(deployed, "mei"), tenant(deployed, "ken")
    for days_ago in (3, 40, 200):
        use(deployed, mei, days_ago)
    use(deployed, ken, 5)
    code, found = run(capsys)
    assert (code, found["tenants"], found["equal"], found["quarter-hours"]) == (1, 2, False, 4)
    assert len(found["differences"]) == 4 * 4
    (day, *_) = (each for each in found["differences"] if f"{ken} day" in each)
    assert day.endswith("of site_1: nothing stored, 1 requests and 0.25 USD in 1 revisions counted; mended")
    code, found = run(capsys)
    assert (code, found["equal"], found["differences"]) == (0, True, [])
    assert found["days"] == 4


def test_one_tenants_days_alone(deployed: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    mei, ken = tenant(deployed, "mei"), tenant(deployed, "ken")
    use(deployed, mei, 3)
    use(deployed, mei, 30)
    use(deployed, ken, 3)
    span = [time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * 86400)) for days in (5, 2)]
    code, found = run(capsys, "--tenant", "mei", "--from", span[0], "--to", span[1])
    assert (code, found["tenants"], found["quarter-hours"]) == (1, 1, 1)
    assert run(capsys, "--tenant", "mei", "--from", span[0], "--to", span[1])[0] == 0
    assert run(capsys, "--tenant", "ken")[1]["quarter-hours"] == 1


def test_people_read_lines(deployed: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    use(deployed, tenant(deployed, "mei"), 3)
    assert cli.main(["usage", "rebuild"]) == 1
    said = capsys.readouterr().out
    assert "equal          False" in said
    assert said.count("; mended") == 4


@pytest.mark.parametrize(
    "words", [("--from", "yesterday"), ("--from", "2026-02-30"), ("--tenant",), ("--from", "2026-1-1")]
)
def test_what_is_no_day_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        cli.main(["usage", "rebuild", *words])
    assert refused.value.code == 2


def test_days_whose_records_are_gone_are_refused(deployed: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    tenant(deployed, "mei")
    code, said = run(capsys, "--from", "2020-01-01")
    assert code == 2
    assert "13 months" in said
