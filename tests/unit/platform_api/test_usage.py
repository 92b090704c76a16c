"""Reports of usage and margins: right figures, hostile ranges, spreadsheets, roles, rates."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from noren.clock import day_of, from_iso, month_of
from noren.ids import TenantId, new_id
from noren.plans.models import ExchangeRate
from noren.usage.models import Call, UsageRecord
from noren.usage.periods import month_after, quarter_of
from tests.unit.platform_api.kit import Platform

URL = "/api/v1/usage"
ADMIN = "/api/v1/admin/usage"
DAY = 86400


def use(platform: Platform, sub: str, at: float, **changes: Any) -> UsageRecord:
    """A record of the person's tenant, and its summaries as the stream's function makes them."""
    services, tenant_id = platform.services, TenantId(platform.tenant_of(sub))
    values: dict[str, Any] = {"site_id": services.tenants.get(tenant_id).default_site_id, "model": "phi"}
    record = UsageRecord(new_id("req", at), tenant_id, occurred_at=at, **(values | changes))
    services.usage_records.put_first(record)
    quarter = quarter_of(record.request_id)
    assert quarter is not None
    services.usage_summaries.refresh(tenant_id, {quarter: {record.site_id}})
    return record


def report(platform: Platform, token: str, **query: str) -> Any:
    return platform.json("GET", URL, token, query={name.rstrip("_"): value for name, value in query.items()})


@pytest.fixture
def owner(platform: Platform) -> str:
    token = platform.sign_up("mei")
    platform.services.tenants.set_overrides(
        TenantId(platform.tenant_of("mei")), {"requests_per_minute": 100_000}, "test"
    )
    return token


def test_a_day_by_model_with_costs_tokens_and_latencies(platform: Platform, owner: str) -> None:
    noon = from_iso("2026-11-20T12:00:00+09:00")
    call = Call("answer", "p", "phi", "p", "p@1", "ok", tokens_input=100, tokens_output=20, tokens_cached=7)
    for number in range(100):
        use(
            platform,
            "mei",
            noon + number,
            model="phi" if number % 2 else "mistral",
            calls=[call],
            credits=2,
            cost_usd=Decimal("0.0000000001"),
            first_token_ms=100 + number,
            total_ms=1000 * (number + 1),
        )
    use(platform, "mei", noon + 200, decision="RELEASE", status="failed", model="", cost_usd=Decimal("0.5"))
    answer = report(platform, owner, from_="2026-11-20", to="2026-11-20", group_by="model")
    assert (answer["from"], answer["to"], answer["timezone"]) == ("2026-11-20", "2026-11-20", "Asia/Tokyo")
    assert [(row["period"], row["group"], row["requests"], row["chats"]) for row in answer["items"]] == [
        ("2026-11-20", "", 1, 0),
        ("2026-11-20", "mistral", 50, 50),
        ("2026-11-20", "phi", 50, 50),
    ]
    failed, mistral, _ = answer["items"]
    assert (failed["errors"], failed["cost_usd"]) == (1, "0.5")
    assert failed["total_ms"] == {"p50": None, "p95": None, "p99": None}
    assert (mistral["errors"], mistral["credits"], mistral["cost_usd"]) == (0, 100, "0.000000005")
    assert (mistral["tokens_input"], mistral["tokens_output"], mistral["tokens_cached"]) == (5000, 1000, 350)
    for percent, exact in (("p50", 49_000), ("p95", 95_000), ("p99", 99_000)):
        assert abs(mistral["total_ms"][percent] - exact) <= 0.05 * exact
    (whole,) = report(platform, owner, from_="2026-11-20", to="2026-11-20")["items"]
    assert (whole["group"], whole["requests"], whole["errors"], whole["cost_usd"]) == (None, 101, 1, "0.50000001")


def test_sites_functions_and_months(platform: Platform, owner: str) -> None:
    tenant = platform.services.tenants.get(TenantId(platform.tenant_of("mei")))
    first = platform.services.sites.get(tenant.tenant_id, tenant.default_site_id)
    site = platform.services.sites.new(tenant, "Second", first.prompt_profile)
    platform.services.sites.add(site, room=2)
    second = site.site_id
    use(platform, "mei", from_iso("2026-10-31T23:59:00+09:00"), function="analysis")
    use(platform, "mei", from_iso("2026-11-01T00:01:00+09:00"), site_id=second)
    span = {"from_": "2026-10-01", "to": "2026-11-30"}
    found = report(platform, owner, granularity="month", group_by="function", **span)["items"]
    assert [(row["period"], row["group"]) for row in found] == [("2026-11", "chatbot"), ("2026-10", "analysis")]
    found = report(platform, owner, group_by="site", **span)["items"]
    assert [(row["period"], row["group"]) for row in found] == [
        ("2026-11-01", second),
        ("2026-10-31", tenant.default_site_id),
    ]
    assert [row["period"] for row in report(platform, owner, site_id=second, **span)["items"]] == ["2026-11-01"]
    assert platform.call("GET", URL, owner, query={"site_id": new_id("site")}).status == 404


def test_the_usual_range_is_the_last_thirty_days_or_twelve_months(platform: Platform, owner: str) -> None:
    now = platform.services.clock()
    for days in (0, 29, 31):
        use(platform, "mei", now - days * DAY)
    answer = report(platform, owner)
    assert [row["period"] for row in answer["items"]] == [day_of(now - days * DAY, "Asia/Tokyo") for days in (0, 29)]
    month = month_of(now, "Asia/Tokyo")
    answer = report(platform, owner, granularity="month")
    assert sum(row["requests"] for row in answer["items"]) == 3
    assert answer["from"] == f"{month_after(month, -11)}-01"


def test_pages_put_together_are_the_whole(platform: Platform, owner: str) -> None:
    start = from_iso("2026-11-20T12:00:00+09:00")
    for days in range(0, 66, 6):
        for model in ("a", "b", "c"):
            use(platform, "mei", start - days * DAY, model=model)
    query = {"from": "2026-08-01", "to": "2026-11-30", "group_by": "model"}
    whole = platform.json("GET", URL, owner, query=query | {"limit": "100"})
    assert (len(whole["items"]), whole["next_cursor"]) == (33, None)
    found: list[Any] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = platform.json("GET", URL, owner, query=query | {"limit": "4"} | more)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        other = query | {"group_by": "site", "cursor": cursor}
        assert platform.call("GET", URL, owner, query=other).status == 400
    assert found == whole["items"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "2025-10-26", "to": "2026-11-30"}, "from"),  # 401 days
        ({"from": "2999-01-01"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": "9999-12-31"}, "to"),
        ({"to": "0001-01-01"}, "to"),
        ({"to": "2026-11"}, "to"),
        ({"to": "２０２６-11-01"}, "to"),
        ({"to": "2026-11-01' OR 1=1"}, "to"),
        ({"granularity": "hour"}, "granularity"),
        ({"group_by": "tenant"}, "group_by"),
        ({"format": "xml"}, "format"),
        ({"from_": "2026-11-01"}, "from_"),
    ],
)
def test_hostile_ranges_are_refused_by_field(platform: Platform, owner: str, query: dict[str, str], field: str) -> None:
    answer = platform.call("GET", URL, owner, query=query)
    assert answer.status == 400
    assert [each["field"] for each in json.loads(answer.body)["errors"]] == [field]


def test_four_hundred_days_are_allowed(platform: Platform, owner: str) -> None:
    assert report(platform, owner, from_="2025-10-27", to="2026-11-30")["items"] == []
    assert report(platform, owner, from_="2999-12-31", to="2999-12-31")["items"] == []


HOSTILE = ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'quo"te, and comma', "暖簾")


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def test_csv_says_the_same_and_no_cell_is_a_formula(platform: Platform, owner: str) -> None:
    for number, model in enumerate(HOSTILE):
        use(platform, "mei", platform.services.clock() - 60, model=model, total_ms=1000 * (number + 1))
    rows = report(platform, owner, group_by="model")["items"]
    for how in ({"query": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}):
        query = {"group_by": "model"} | how.get("query", {})
        answer = platform.call("GET", URL, owner, query=query, headers=how.get("headers"))
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "attachment" in answer.headers["content-disposition"]
        found = table(answer.body)
        assert [each["model"].removeprefix("'") for each in found] == [row["group"] for row in rows]
        assert not [each for each in found if each["model"][:1] in "=+-@\t\r"]
        assert {each["model"] for each in found if each["model"][0] == "'"} == {f"'{each}" for each in HOSTILE[:6]}
        assert [int(each["total_p95_ms"]) for each in found] == [row["total_ms"]["p95"] for row in rows]
        assert [each["cost_usd"] for each in found] == [row["cost_usd"] for row in rows]
    both = platform.call("GET", URL, owner, headers={"accept": "application/json, text/csv"})
    assert both.headers["content-type"] == "application/json"


def test_a_long_csv_leads_to_the_rest(platform: Platform, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform_api.csv_table.MOST_ROWS", 3)
    now = platform.services.clock()
    for days in range(7):
        use(platform, "mei", now - days * DAY)
    found: list[str] = []
    query: dict[str, str] = {"format": "csv"}
    while True:
        answer = platform.call("GET", URL, owner, query=query)
        assert answer.status == 200
        found += [row["period"] for row in table(answer.body)]
        if "link" not in answer.headers:
            break
        link, relation = answer.headers["link"].split("; ")
        assert relation == 'rel="next"'
        assert urlsplit(link[1:-1]).path == URL
        query = dict(parse_qsl(urlsplit(link[1:-1]).query))
    assert found == [day_of(now - days * DAY, "Asia/Tokyo") for days in range(7)]


def test_who_may_read(platform: Platform, owner: str) -> None:
    for scope, status in (("read", 200), ("chat", 403)):
        key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": [scope]})["secret"]
        assert platform.call("GET", URL, key).status == status
        assert platform.call("GET", ADMIN, key).status == 403
    assert platform.call("GET", URL).status == 401
    assert platform.call("GET", ADMIN, owner).status == 403


def test_fifty_reports_a_minute_and_tenant(platform: Platform, owner: str) -> None:
    other = platform.sign_up("ken")
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("ken")), {"requests_per_minute": 1000}, "test")
    platform.time.to_next_minute()
    statuses = [platform.call("GET", URL, owner).status for _ in range(51)]
    assert statuses[:50] == [200] * 50
    assert statuses[50] == 429
    assert platform.call("GET", URL, other).status == 200


def test_another_time_zone_moves_the_days_at_once(platform: Platform, owner: str) -> None:
    use(platform, "mei", from_iso("2026-11-20T03:00:00+09:00"))

    def days() -> list[str]:
        return [row["period"] for row in report(platform, owner, from_="2026-11-01", to="2026-11-30")["items"]]

    assert days() == ["2026-11-20"]
    platform.json("PATCH", "/api/v1/tenant", owner, {"timezone": "America/New_York"})
    assert days() == ["2026-11-19"]
    use(platform, "mei", from_iso("2026-11-21T03:00:00+09:00"))
    assert days() == ["2026-11-20", "2026-11-19"]


def test_records_tell_their_function(platform: Platform, owner: str) -> None:
    use(platform, "mei", platform.services.clock(), function="analysis")
    (record,) = platform.json("GET", "/api/v1/usage/records", owner)["items"]
    assert record["function"] == "analysis"


# The platform admin's report


@pytest.fixture
def admin(platform: Platform) -> str:
    """A platform admin, and two paying tenants with usage in November."""
    platform.time.ahead = from_iso("2026-11-05T00:00:00Z") - platform.services.clock()
    token = platform.sign_up("boss", admin=True, totp=True)
    for sub, plan, currency in (("mei", "starter", "JPY"), ("kim", "pro", "KRW")):
        platform.sign_up(sub)
        tenants, tenant_id = platform.services.tenants, TenantId(platform.tenant_of(sub))
        tenants.set_plan(tenant_id, plan, "test")
        tenants.update(tenant_id, {"currency": currency, "name": f"={sub}"}, "test")
    platform.time.ahead = 0
    embedding = Call("embedding", "p", "e", "e", "e@1", "ok", tokens_embedding=70)
    for hour in range(3):
        use(
            platform,
            "mei",
            from_iso("2026-11-10T00:00:00Z") + hour * 3600,
            calls=[embedding],
            cost_usd=Decimal("0.0333333333"),
        )
    use(platform, "kim", from_iso("2026-11-10T00:00:00Z"), cost_usd=Decimal("200.5"))
    return token


def test_every_tenants_margin_and_the_totals_add_up(platform: Platform, admin: str) -> None:
    answer = platform.json("GET", ADMIN, admin, query={"month": "2026-11"})
    rows = {row["name"]: row for row in answer["items"]}
    mei, kim = rows["=mei"], rows["=kim"]
    assert (mei["plan"], mei["chats"], mei["tokens_embedding"], mei["cost_usd"]) == ("starter", 3, 210, "0.0999999999")
    assert (mei["revenue"], mei["currency"]) == (7800, "JPY")  # at 150 to the dollar
    assert (mei["revenue_usd"], mei["margin_usd"]) == ("52", "51.9000000001")
    assert (kim["revenue"], kim["currency"]) == (185_000, "KRW")  # at 1,400 to the dollar
    assert kim["revenue_usd"] == "132.1428571429"
    assert Decimal(kim["margin_usd"]) == Decimal("132.1428571429") - Decimal("200.5")
    totals = answer["totals"]
    assert (totals["chats"], totals["requests"], totals["tokens_embedding"]) == (4, 4, 210)
    assert totals["revenue"] == {"JPY": 7800, "KRW": 185_000}
    assert (totals["revenue_usd"], totals["cost_usd"], totals["margin_usd"]) == ("184.14", "200.6", "-16.46")
    assert totals["tenants"] == len(answer["items"]) >= 3
    assert platform.json("GET", "/api/admin/usage", admin, query={"month": "2026-11"}) == answer


def test_a_months_price_and_rate_are_those_of_that_month(platform: Platform, admin: str) -> None:
    store = platform.services.plans._store
    starter = platform.services.plans.plan("starter")
    store.put(
        replace(starter, prices=starter.prices | {"JPY": 9_000}, effective_date="2027-02-01"), {"updated_at": "2027"}
    )
    store.put(ExchangeRate("JPY", Decimal(100), "2027-02-15"), {"updated_at": "2027"})
    platform.time.ahead = from_iso("2027-03-10T00:00:00Z") - platform.services.clock()
    found = {}
    for month in ("2026-11", "2027-01", "2027-02", "2027-03"):
        rows = platform.services.margins.page(month, 100, None)[0]
        found[month] = next((each.revenue.amount, each.revenue_usd) for each in rows if each.tenant.name == "=mei")
    assert found == {
        "2026-11": (7800, Decimal(52)),
        "2027-01": (7800, Decimal(52)),
        "2027-02": (9000, Decimal(90)),
        "2027-03": (9000, Decimal(90)),
    }


def test_tenants_are_in_the_months_since_they_came(platform: Platform, admin: str) -> None:
    assert platform.json("GET", ADMIN, admin, query={"month": "2026-10"}) == {
        "month": "2026-10",
        "items": [],
        "totals": {
            "tenants": 0,
            "requests": 0,
            "chats": 0,
            "tokens_embedding": 0,
            "credits": 0,
            "revenue": {},
            "revenue_usd": "0",
            "cost_usd": "0",
            "margin_usd": "0",
        },
        "next_cursor": None,
    }


def test_pages_of_tenants_and_csv(platform: Platform, admin: str) -> None:
    query = {"month": "2026-11", "limit": "1"}
    whole = platform.json("GET", ADMIN, admin, query=query | {"limit": "100"})
    found, totals, cursor = [], [], ""
    while True:
        page = platform.json("GET", ADMIN, admin, query=query | ({"cursor": cursor} if cursor else {}))
        found += page["items"]
        totals.append(page["totals"])
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert found == whole["items"]
    assert totals[0] == whole["totals"]
    assert set(map(str, totals[1:])) == {"None"}
    answer = platform.call("GET", ADMIN, admin, query={"month": "2026-11", "format": "csv"})
    lines = table(answer.body)
    assert [line["tenant_id"] for line in lines] == [row["tenant_id"] for row in whole["items"]]
    assert {line["name"] for line in lines} >= {"'=mei", "'=kim", "boss"}
    (kim,) = (line for line in lines if line["plan"] == "pro")
    assert kim["margin_usd"] == "-68.3571428571", "a number stays a number"
    assert 'filename="usage-2026-11.csv"' in answer.headers["content-disposition"]


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "1999-01", "2999-01", "November", "2026-11-01"])
def test_what_is_no_month_or_not_yet_one_is_refused(platform: Platform, admin: str, month: str) -> None:
    answer = platform.call("GET", ADMIN, admin, query={"month": month})
    assert answer.status == 400
    assert [each["field"] for each in json.loads(answer.body)["errors"]] == ["month"]


def test_a_tenant_that_moved_is_reckoned_in_its_new_zone(platform: Platform, admin: str) -> None:
    use(platform, "mei", from_iso("2026-11-30T20:00:00Z"))  # December in Tokyo
    tenant_id = TenantId(platform.tenant_of("mei"))

    def chats(month: str) -> int:
        rows = platform.services.margins.page(month, 100, None)[0]
        return next(each.tally.chats for each in rows if each.tenant.tenant_id == tenant_id)

    assert (chats("2026-11"), chats("2026-12")) == (3, 1)
    platform.services.tenants.update(tenant_id, {"timezone": "UTC"}, "test")
    assert (chats("2026-11"), chats("2026-12")) == (4, 0)
    assert asdict(platform.services.margins.totals("2026-11"))["tally"]["chats"] == 5
