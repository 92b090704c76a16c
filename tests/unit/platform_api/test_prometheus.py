"""Usage for scrapers: what Prometheus' own reader takes, with the sums of the month."""

from __future__ import annotations

import re
from decimal import Decimal

from noren.ids import TenantId
from noren.usage.models import Call, UsageRecord
from noren.usage.reports import Row
from noren.usage.tally import Tally
from platform_api import prometheus
from tests.unit.platform_api.kit import Platform
from tests.unit.platform_api.test_ledger_routes import spend

LINE = re.compile(
    r'(?:# (?:HELP|TYPE) noren_\w+ .+|noren_[a-z_]+\{model="(?:[^"\\]|\\.)*"(?:,\w+="[^"]+")?\} [0-9.e-]+)\Z'
)


def test_counters_and_summaries_by_model() -> None:
    tally = Tally()
    record = UsageRecord(
        "req_1", TenantId("ten_1"), "site", 0.0, total_ms=900, cost_usd=Decimal("0.00001"), first_token_ms=300
    )
    record.calls.append(Call("answer", "openai", "m", "p", "p@1", "ok", tokens_input=50, tokens_output=7))
    tally.count(record)
    text = prometheus.exposition([Row("2026-11", 'a"b\\c', tally)])
    assert text.endswith("\n")
    assert all(LINE.match(line) for line in text.splitlines())
    assert 'noren_chats_total{model="a\\"b\\\\c"} 1' in text
    assert 'noren_tokens_total{model="a\\"b\\\\c",kind="output"} 7' in text
    assert 'noren_cost_usd_total{model="a\\"b\\\\c"} 0.00001' in text
    assert "# TYPE noren_first_token_seconds summary" in text


def test_the_route_tells_this_months_sums(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    spend(platform, 2)
    answer = platform.call("GET", "/api/v1/usage/metrics", owner)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert re.search(r'noren_credits_total\{model="[^"]*"\} 2\n', answer.body.decode())
