"""Every function does its work with the rights of its own role: the run enforces IAM (AUTH=true), as AWS does.

The other end-to-end tests run under it as well; when the session ends, `stack` fails if anything of ours was refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local import emulator
from noren.billing.seed import PACKAGES
from noren.tables import platform_key
from tests.e2e.client import Client, Stack
from tests.unit.webhooks.world import Subscriber

pytestmark = pytest.mark.e2e

KILLED = """
import os, sys, time
from noren import wiring
from noren.ids import TenantId, new_id
from noren.ledger.models import Ask
from noren.settings import Settings
from noren.usage.models import UsageRecord

tenant, site, now = TenantId(sys.argv[1]), sys.argv[2], time.time()
request = new_id("req", now)
record = UsageRecord(request_id=request, tenant_id=tenant, site_id=site, occurred_at=now)
with wiring.build(Settings.from_env()).ledger.reserve(Ask(tenant, request, site, deadline=now - 3600), record):
    time.sleep(1.1)
    os._exit(0)
"""
"""A process that dies in the middle of a chat and leaves its hold, already past its time."""


WORKING = {
    *("Chat", "CognitoTriggers", "MailWorker", "PlatformApi", "QuotaStream", "Scheduler"),
    *("StripeWebhook", "StripeWorker", "SummaryWorker", "UsageStream", "EventStream", "WebhookSender"),
    *("TrainWorker", "Publisher"),
}
"""The functions of the product, by their roles; the surveyor has no rights."""


def eventually(what: str, found: Callable[[], Any], seconds: float = 60) -> Any:
    """What `found` gives as soon as it is true; fails, naming it, if that is not soon enough."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)
    return value


def invoke(stack: Stack, name: str, event: dict[str, Any]) -> Any:
    """Call a function as its trigger does; its answer. Fails with what it raised."""
    client = stack.aws("lambda")
    (function,) = (each for each in client.list_functions()["Functions"] if f"-{name}Function" in each["FunctionName"])
    answer = client.invoke(FunctionName=function["FunctionName"], Payload=json.dumps(event).encode())
    body = json.loads(answer["Payload"].read() or b"null")
    assert "FunctionError" not in answer, body
    return body


@pytest.fixture(scope="module")
def worked(stack: Stack) -> list[dict[str, str]]:
    """The verdicts on our functions after each of them did all that it does."""
    owner, me = stack.newcomer("grants")
    tenant_id = me["tenant"]["tenant_id"]
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{tenant_id}", {"plan": "pro", "overrides": {"concurrent_chats": 9}})
    _manage(stack, owner)
    _chat(stack, owner)
    _background(stack, me["tenant"])
    _subscribe(stack, owner)
    _train(stack, owner, me["tenant"]["default_site_id"])
    eventually("a verdict on every function", lambda: {each["role"] for each in stack.verdicts()} >= WORKING)
    return stack.verdicts()


def _train(stack: Stack, owner: Client, site_id: str) -> None:
    """A text and a file are learnt, one of them is forgotten; and what the clock has both functions of training do."""
    place = owner.ok("POST", "/api/v1/train/uploads", {"site_id": site_id})
    file = {"file": ("hours.txt", b"We are open from ten to six, and on Sundays from eleven to four.")}
    requests.post(place["url"], data=place["fields"], files=file, timeout=10).raise_for_status()

    def learn(kind: str, **body: Any) -> Any:
        return _end(owner, owner.ok("POST", f"/api/v1/train/{kind}", {"site_id": site_id, **body}))

    learn("files", files=[{"upload_id": place["upload_id"], "name": "hours.txt"}])
    lost = learn("files", files=[{"upload_id": "upl_" + "0" * 32, "name": "menu.txt"}])
    assert lost["reasons"] == {"input_missing": 1}
    learn("text", texts=[{"title": "Parking", "text": "There are four places behind the shop."}])
    documents = owner.ok("GET", "/api/v1/documents")["items"]
    assert {each["title"] for each in documents} >= {"hours", "Parking"}
    _end(owner, owner.ok("DELETE", f"/api/v1/documents/{documents[0]['document_id']}"))
    assert "stopped" in invoke(stack, "TrainWorker", {"job": "training"})
    assert "begun" in invoke(stack, "Publisher", {"job": "schedules"})


def _end(owner: Client, job: dict[str, Any]) -> Any:
    path = f"/api/v1/train/jobs/{job['job_id']}"
    return eventually("the job's end", lambda: each if (each := owner.ok("GET", path))["ended_at"] else None, 120)


def _subscribe(stack: Stack, owner: Client) -> None:
    """A webhook: a test event, one of a payment, and one that is answered with 410, which ends it with a mail."""
    subscriber = Subscriber(urlsplit(stack["webhook_url"]).port or 0)
    try:
        owner.ok("PATCH", "/api/v1/tenant", {"billing_email": "hooks@noren.example"})
        body = {"callback_url": stack["webhook_url"], "event_types": ["credits_added"]}
        made = owner.ok("POST", "/api/v1/webhooks", body)
        path = f"/api/v1/webhooks/{made['webhook_id']}"
        secret = owner.ok("POST", f"{path}/secret")["secret"]
        owner.ok("POST", f"{path}/test")
        eventually("the test event", lambda: [got for got in subscriber.got if got.data["type"] == "test"])
        assert subscriber.got[0].is_signed_by(secret)
        assert subscriber.got[0].is_signed_by(made["secret"])
        _pay(stack, owner)
        eventually("the payment", lambda: [got for got in subscriber.got if got.data["type"] == "credits_added"])
        taken = eventually("their marks", lambda: each if len(each := _delivered(owner, path)) == 2 else None)
        subscriber.answer = lambda _: 500
        owner.ok("POST", f"{path}/deliveries/{taken[0]['delivery_id']}/replay")
        eventually("a failure", lambda: owner.ok("GET", path)["failures"])
        subscriber.answer = lambda _: 200
        eventually("its repetition", lambda: len(_delivered(owner, path)) == 2)
        subscriber.answer = lambda _: 410
        owner.ok("POST", f"{path}/test")
        eventually("its end", lambda: owner.ok("GET", path)["disabled_reason"] == "gone")
        eventually("a mail of it", lambda: "Webhook" in json.dumps(stack.mails(), ensure_ascii=False))
        invoke(stack, "WebhookSender", {"job": "webhooks"})
        owner.ok("DELETE", path)
    finally:
        subscriber.close()


def _delivered(owner: Client, path: str) -> list[dict[str, Any]]:
    return [each for each in owner.ok("GET", f"{path}/deliveries")["items"] if each["status"] == "delivered"]


def _pay(stack: Stack, owner: Client) -> None:
    """Save a card, of which Stripe tells the webhook and that the worker; and buy credits by it."""
    card = {"stripe_payment_method_id": stack.save_card(owner)}
    body = {"package_id": PACKAGES[0].package_id, "payment_method": "stripe", "payment_details": card}
    owner.ok("POST", "/api/v1/credits/purchase", body)


def _manage(stack: Stack, owner: Client) -> None:
    """The platform API: the team, keys, records, stops, the catalogue, health; and the mail that it queues."""
    email = f"guest-{time.time_ns()}@noren.example"
    invited = owner.ok(
        "POST", "/api/v1/invitations", {"email": email, "role": "viewer"}, Idempotency_Key=f"k-{time.time_ns()}"
    )
    eventually("the mail", lambda: email in json.dumps(stack.mails()))
    owner.ok("PATCH", f"/api/v1/invitations/{invited['invitation_id']}", {"role": "editor"})
    owner.ok("DELETE", f"/api/v1/invitations/{invited['invitation_id']}")
    made = owner.ok("POST", "/api/v1/api-keys", {"name": "server", "scopes": ["chat", "read"]})
    assert Client(owner.base, made["secret"]).ok("GET", "/v1/models")["data"]
    owner.ok("PATCH", f"/api/v1/api-keys/{made['key_id']}", {"name": "shop"})
    owner.ok("DELETE", f"/api/v1/api-keys/{made['key_id']}")
    for path in ("members", "invitations", "api-keys", "usage/records"):
        owner.ok("GET", f"/api/v1/{path}")
    owner.ok("PATCH", "/api/v1/tenant", {"name": "Grants"})
    for path in ("tenants", "plans", "model-policies", "exchange-rates"):
        stack.admin.ok("GET", f"/api/v1/admin/{path}")
    assert stack.admin.ok("GET", "/health/deep")["status"] == "ok"
    assert Client(owner.base, "not.a.token").call("GET", "/api/v1/me").status_code == 401, "counted as an event"


def _chat(stack: Stack, owner: Client) -> None:
    """Plain, streamed, cancelled, repeated with a key, OpenAI's way, anonymous; sessions, feedback, a summary."""
    answer = owner.chat("When is check-in?", headers={"Idempotency-Key": f"k-{time.time_ns()}"})
    assert [event.name for event in owner.stream("When is check-out?")][-1] == "done"
    stack.control("*", pace_ms=300)
    try:
        running = owner.stream("Tell me everything about yourself.")
        owner.ok("POST", f"/api/v1/chat/{next(running).data['id']}/cancel")
        assert [event.name for event in running][-1] == "done"
    finally:
        stack.control("*")
    asked = {"model": "default", "messages": [{"role": "user", "content": "When is breakfast?"}]}
    assert owner.ok("POST", "/v1/chat/completions", asked)["choices"]
    visitor = Client(owner.base, Client(owner.base).ok("POST", "/api/v1/visitor-tokens")["token"])
    assert visitor.chat("What does the free plan cost?")["answer"]
    owner.ok("POST", f"/api/v1/chat/{answer['id']}/feedback", {"rating": 5})
    forged = Client(owner.base, "not.a.token").call("POST", "/api/v1/chat", {"message": "Hello"})
    assert forged.status_code == 401, "counted as an event"
    for _ in range(12):
        owner.chat("When is check-in?", session_key=answer["session_key"])
    path = f"/api/v1/sessions/{answer['session_key']}"
    recent = "/api/v1/usage/records?limit=5"
    eventually("the summary", lambda: "summary" in {each["source"] for each in owner.ok("GET", recent)["items"]})
    assert owner.ok("GET", path)["turns"]
    assert owner.ok("GET", "/api/v1/sessions")["items"]
    _read_visitors(owner, answer)
    owner.ok("DELETE", path)


def _read_visitors(owner: Client, answer: dict[str, Any]) -> None:
    """The owner's views: feedback, made a canned response; conversations, errors."""
    patterns = [{"kind": "exact", "text": "Asked for the grants."}]
    feedback = f"/api/v1/feedback/{answer['id']}"
    assert owner.ok("GET", feedback)["question"]
    made = owner.ok("POST", f"{feedback}/canned", {"patterns": patterns, "answer": "Granted."})
    path = f"/api/v1/sites/{made['site_id']}/canned/{made['canned_id']}"
    owner.ok("PATCH", path, {"answer": "Granted again."})
    owner.ok("DELETE", path)
    assert owner.ok("POST", f"{path}/restore")["answer"] == "Granted again."
    assert owner.ok("GET", "/api/v1/conversations")["items"]
    assert owner.ok("GET", f"/api/v1/conversations/{answer['session_key']}")["messages"]
    owner.ok("GET", "/api/v1/errors")


def _background(stack: Stack, tenant: dict[str, Any]) -> None:
    """What the emulator does not call by itself soon enough, or ever: the clock, the sign-up's trigger."""
    subprocess.run(
        [sys.executable, "-c", KILLED, tenant["tenant_id"], tenant["default_site_id"]],
        env=os.environ
        | emulator.aws_env(stack["aws_endpoint_url"])
        | {f"{name.upper()}_TABLE": table for name, table in stack.tables.items()},
        check=True,
    )
    report = invoke(stack, "Scheduler", {})
    assert report["failures"] == 0
    sub = f"grants-{time.time_ns()}"
    attributes = {"sub": sub, "email": f"{sub}@noren.example", "email_verified": "true"}
    event = {"triggerSource": "PostConfirmation_ConfirmSignUp", "request": {"userAttributes": attributes}}
    assert invoke(stack, "CognitoTriggers", event) == event
    key = {"pk": {"S": platform_key("USR", sub)}, "sk": {"S": "PERSONAL"}}
    marker = stack.aws("dynamodb").get_item(TableName=stack.tables["tenants"], Key=key)
    assert "Item" in marker, "that the tenant could not be made is only logged"


def test_nothing_was_refused(worked: list[dict[str, str]]) -> None:
    roles = {each["role"] for each in worked}
    assert roles == WORKING
    assert not [each for each in worked if each["verdict"] != "allow"]
