"""Events, notifications and mails: each once, whatever is repeated, raced or killed in between."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

import pytest

from noren.ids import TenantId
from noren.insight.events import Events
from noren.insight.notices import Notices
from noren.insight.store import InsightStore
from noren.mail import TEMPLATES, WORDS, Mailer, Notice, Template, WebhookReason, write
from noren.mail_billing import BILLING_NOTICES, BillingNotice
from noren.settings import Settings
from noren.tenants.models import PLATFORM_TENANT, Tenant
from tests.faults import Crash, Faulty, emulator_client, make_table

NOW = 1_795_000_000.0
RESETS = 1_796_050_800.0  # 2026-12-01 00:00 in Tokyo
TENANT = Tenant(TenantId("ten_" + "1" * 32), "のれん堂", "starter", NOW, billing_email="aya@example.jp")


@dataclass
class Post:
    """A mail queue that may die before or after it has taken a mail."""

    mails: list[dict[str, Any]] = field(default_factory=list)
    dies: str = ""

    def queue(self, to: str, template: Template, data: Mapping[str, str], locale: str) -> None:
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise Crash
        self.mails.append({"to": to, "template": template, "data": dict(data), "locale": locale})
        if dies == "after":
            raise Crash


@dataclass
class Desk:
    """Notices over a table that can fail."""

    client: Faulty
    post: Post = field(default_factory=Post)

    def __post_init__(self) -> None:
        self.now = NOW
        self.store = InsightStore(cast(Any, self.client), "events")
        self.events = Events(self.store, lambda: self.now)
        settings = Settings(console_url="https://console.example/")
        self.notices = Notices(self.events, self.store, cast(Mailer, self.post), settings, lambda: self.now)

    def near(self, tenant: Tenant = TENANT, period: str = "2026-11", used: int = 1_600) -> bool:
        return self.notices.limit(tenant, "limit_near", "chats", period, used, 2_000, RESETS)

    def bought(self, order: str = "ord_1", **more: Any) -> bool:
        facts = {"credits": "500", "amount": "¥1,500", "order": order}
        return self.notices.billing(TENANT, "credits_bought", order, facts, **more)

    def notes(self, tenant: Tenant = TENANT) -> list[Any]:
        return self.notices.notes(tenant.tenant_id, 100, None)[0]


@pytest.fixture
def desk(aws: str) -> Desk:
    client = Faulty(emulator_client())
    make_table(client, "events")
    client.calls.clear()
    return Desk(client)


def test_an_event_is_new_once(desk: Desk) -> None:
    assert desk.events.emit(TENANT.tenant_id, "limit_near", "chats#2026-11", {"used": 1_600})
    desk.now += 3600
    assert not desk.events.emit(TENANT.tenant_id, "limit_near", "chats#2026-11", {"used": 1_700})
    first = desk.events.ensure(TENANT.tenant_id, "limit_near", "chats#2026-11", {"used": 1_800})
    assert (first.data, first.occurred_at) == ({"used": 1_600}, NOW)
    assert desk.events.emit(TENANT.tenant_id, "limit_near", "chats#2026-12", {})
    assert desk.events.emit(TENANT.tenant_id, "limit_reached", "chats#2026-11", {})
    assert desk.events.emit(PLATFORM_TENANT, "limit_near", "chats#2026-11", {})


def test_an_event_whose_first_answer_was_lost_is_new_all_the_same(desk: Desk) -> None:
    desk.client.plan = {0: "twice"}
    assert desk.near()
    assert len(desk.post.mails) == 1


def test_a_repeated_producer_tells_once(desk: Desk) -> None:
    assert [desk.near(used=1_600 + n) for n in range(3)] == [True, False, False]
    (note,) = desk.notes()
    assert (note.kind, note.read_at, note.occurred_at) == ("limit_near", None, NOW)
    assert note.data == {
        "what": "chats",
        "period": "2026-11",
        "used": 1_600,
        "limit": 2_000,
        "resets_at": "2026-11-30T15:00:00Z",
    }
    (mail,) = desk.post.mails
    assert (mail["to"], mail["template"], mail["locale"]) == ("aya@example.jp", "limit_near", "ja")
    assert mail["data"]["resets"] == "2026-12-01 00:00 (Asia/Tokyo)"
    assert mail["data"]["link"] == "https://console.example/billing.html"
    assert desk.near(period="2026-12")
    assert len(desk.notes()) == len(desk.post.mails) == 2


def test_once_told_a_repetition_costs_one_refused_write(desk: Desk) -> None:
    desk.near()
    desk.client.calls.clear()
    desk.near()
    assert desk.client.calls == ["put_item"]


@pytest.mark.parametrize("fault", ["crash_before", "crash_after", "throttle", "timeout_before", "timeout_after"])
@pytest.mark.parametrize("step", range(3))
def test_whoever_dies_or_fails_at_any_step_is_finished_by_the_repetition(desk: Desk, step: int, fault: Any) -> None:
    desk.client.plan = {step: fault}
    with pytest.raises(BaseException):  # noqa: B017 - a crash is no Exception
        desk.near()
    again = Desk(Faulty(emulator_client()), desk.post)
    again.near(used=1_999)
    again.near(used=2_000)
    assert len(again.notes()) == 1
    died_between_queue_and_mark = step == 2 and fault != "crash_after" and fault != "timeout_after"
    assert len(desk.post.mails) == (2 if died_between_queue_and_mark else 1)
    assert len({mail["data"]["used"] for mail in desk.post.mails}) == len(desk.post.mails)


@pytest.mark.parametrize(("dies", "mails"), [("before", 1), ("after", 2)])
def test_a_mail_is_never_lost_and_rarely_doubled(desk: Desk, dies: str, mails: int) -> None:
    desk.post.dies = dies
    with pytest.raises(Crash):
        desk.near()
    desk.near()
    assert len(desk.post.mails) == mails
    assert len(desk.notes()) == 1


def test_racing_producers_leave_one_notification(desk: Desk) -> None:
    desks = [Desk(Faulty(emulator_client()), desk.post) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda each: each.near(), desks))
    assert sum(new) == 1
    assert len(desk.notes()) == 1
    assert len(desk.post.mails) >= 1


def test_the_platforms_own_tenant_has_nobody_to_write_to(desk: Desk) -> None:
    own = replace(TENANT, tenant_id=PLATFORM_TENANT, billing_email="")
    assert desk.near(own)
    assert len(desk.notes(own)) == 1
    assert desk.post.mails == []


def test_reading_is_once_and_for_the_tenants_own(desk: Desk) -> None:
    desk.near()
    (note,) = desk.notes()
    other = TenantId("ten_" + "2" * 32)
    assert desk.notices.mark_read(other, [note.notification_id], "user:b") == []
    desk.now += 60
    ids = [note.notification_id, "note_" + "0" * 32]
    assert desk.notices.mark_read(TENANT.tenant_id, ids, "user:a") == [note.notification_id]
    assert desk.notices.mark_read(TENANT.tenant_id, ids, "user:b") == []
    (read,) = desk.notes()
    assert (read.read_at, read.read_by) == (NOW + 60, "user:a")
    desk.near()  # the producer again: it stays read
    assert desk.notes() == [read]


@pytest.mark.parametrize("locale", ["ja", "ko", "en", "fr"])
@pytest.mark.parametrize("kind", get_args(Notice))
@pytest.mark.parametrize("what", ["chats", "embedding_tokens", "site_" + "1" * 32, "credits"])
def test_every_mail_says_what_happened_when_it_resets_and_what_to_do(kind: Notice, what: str, locale: str) -> None:
    data = {"tenant": "T{x}", "what": what, "used": "1,600", "limit": "2,000", "resets": "RESETS", "link": "LINK"}
    text = write(kind, locale, data)
    assert "T{x}" in text.subject
    assert "LINK" in text.body
    assert "2,000" in text.body
    assert ("RESETS" in text.body) == (kind != "credits_low")
    assert "{what}" not in text.subject + text.body
    shown = WORDS.get((what, "en" if locale == "fr" else locale), what)
    if kind != "credits_low":
        assert shown in text.body
    assert len(text.body) < 400


@pytest.mark.parametrize("locale", ["ja", "ko", "en", "fr"])
@pytest.mark.parametrize("reason", get_args(WebhookReason))
def test_the_mail_of_a_disabled_webhook_says_why_and_what_to_do(reason: WebhookReason, locale: str) -> None:
    data = {"tenant": "T{x}", "host": "HOST", "what": f"webhook_{reason}", "link": "LINK"}
    text = write("webhook_disabled", locale, data)
    assert "HOST" in text.subject
    assert "T{x}" in text.body
    assert text.body.endswith("LINK\n")
    assert WORDS[f"webhook_{reason}", "en" if locale == "fr" else locale] in text.body
    assert "30" in text.body


FACTS = {"credits": "500", "amount": "¥1,500", "why": "WHY", "cap": "2,000", "plan": "pro", "until": "UNTIL"}
NEEDED: dict[BillingNotice, set[str]] = {
    "credits_bought": {"credits", "amount"},
    "purchase_failed": {"credits", "amount", "why"},
    "invoice_sent": {"credits", "amount"},
    "auto_purchase_paid": {"credits", "amount"},
    "auto_purchase_failed": {"why"},
    "auto_purchase_off": {"why"},
    "auto_purchase_capped": {"cap"},
    "payment_action": {"amount"},
    "plan_past_due": {"plan", "until"},
    "plan_changed": {"plan"},
    "plan_ended": {"plan"},
    "trial_ending": {"plan", "until"},
    "payment_disputed": set(),
}


@pytest.mark.parametrize("locale", ["ja", "ko", "en", "fr"])
@pytest.mark.parametrize("kind", BILLING_NOTICES)
def test_every_mail_of_billing_says_what_happened_and_what_to_do(kind: BillingNotice, locale: str) -> None:
    needed = {name: FACTS[name] for name in NEEDED[kind]}
    text = write(kind, locale, needed | {"tenant": "T{x}", "link": "LINK"})  # KeyError: a fact that nobody gives
    assert "T{x}" in text.body
    assert text.body.endswith("LINK\n")
    assert not [value for value in needed.values() if value not in text.subject + text.body]
    assert text.subject
    assert len(text.body) < 420
    if locale != "fr":
        assert (kind, locale) in TEMPLATES


def test_a_payment_is_told_once_with_the_way_to_its_order(desk: Desk) -> None:
    assert [desk.bought(), desk.bought(), desk.bought("ord_2")] == [True, False, True]
    assert {note.data["order"] for note in desk.notes()} == {"ord_1", "ord_2"}
    first, second = desk.post.mails
    assert (first["to"], first["template"], first["locale"]) == ("aya@example.jp", "credits_bought", "ja")
    assert first["data"]["link"] == "https://console.example/billing.html?order=ord_1"
    assert second["data"]["link"].endswith("?order=ord_2")


def test_a_page_that_opens_without_a_sign_in_is_for_the_mail_alone(desk: Desk) -> None:
    page = "https://invoice.stripe.example/1"
    desk.bought(link=page, also_to="keiri@example.jp")
    assert [mail["to"] for mail in desk.post.mails] == ["aya@example.jp", "keiri@example.jp"]
    assert {mail["data"]["link"] for mail in desk.post.mails} == {page}
    (note,) = desk.notes()
    assert page not in str(note.data)
    assert "keiri" not in str(note.data)


def test_a_date_is_told_in_the_tenants_own_zone(desk: Desk) -> None:
    desk.notices.billing(TENANT, "plan_past_due", "sub_1#1", {"plan": "pro"}, until=RESETS)
    (mail,) = desk.post.mails
    assert mail["data"]["until"] == "2026-12-01 00:00 (Asia/Tokyo)"
    (note,) = desk.notes()
    assert note.data == {"plan": "pro", "until": "2026-11-30T15:00:00Z"}


@pytest.mark.parametrize("fault", ["crash_before", "crash_after", "throttle", "timeout_before", "timeout_after"])
@pytest.mark.parametrize("step", range(3))
def test_a_payment_is_told_by_the_repetition_of_who_died(desk: Desk, step: int, fault: Any) -> None:
    desk.client.plan = {step: fault}
    with pytest.raises(BaseException):  # noqa: B017 - a crash is no Exception
        desk.bought()
    again = Desk(Faulty(emulator_client()), desk.post)
    again.bought()
    again.bought()
    assert len(again.notes()) == 1
    died_between_queue_and_mark = step == 2 and fault != "crash_after" and fault != "timeout_after"
    assert len(desk.post.mails) == (2 if died_between_queue_and_mark else 1)
