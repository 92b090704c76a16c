"""What the tests of the training page share: a site, its trainings and documents as the stand-in APIs tell them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import World
from tests.browser.fixtures import sign_in
from tests.browser.standin import LIMITS, PLANS

SITE = {"site_id": "site_1", "name": "Teahouse", "domains": ["tea.example"], "is_default": True}
JOB = {
    "job_id": "job_1",
    "site_id": "site_1",
    "kind": "url",
    "mode": "differential",
    "status": "running",
    "attempt": 1,
    "found": 10,
    "left": 6,
    "fetched": 3,
    "changed": 2,
    "unchanged": 1,
    "removed": 0,
    "failed": 1,
    "skipped": 0,
    "chunks": 12,
    "tokens": 3400,
    "reasons": {"timed_out": 1},
    "error": "",
    "url": "https://tea.example/help/",
    "embedded_chunks": 0,
    "embedding_tokens": 0,
    "cost_usd": "0",
    "created_at": "2026-11-26T03:00:00Z",
}
ENDED = JOB | {
    "status": "partial",
    "left": 0,
    "fetched": 8,
    "changed": 7,
    "skipped": 1,
    "embedded_chunks": 12,
    "reasons": {"robots": 1, "timed_out": 1},
}
PAGES = [
    {"name": "https://tea.example/secret", "source": "", "status": "skipped", "reason": "robots"},
    {
        "name": "https://tea.example/<img src=x onerror=alert(1)>",
        "source": "",
        "status": "failed",
        "reason": "timed_out",
    },
    {"name": "https://tea.example/", "source": "", "status": "changed", "reason": ""},
]
DOCUMENT = {
    "document_id": "doc_1",
    "site_id": "site_1",
    "kind": "page",
    "url": "https://tea.example/hours",
    "title": "Opening hours",
    "chunk_count": 3,
    "updated_at": "2026-11-26T03:00:00Z",
}
HOSTILE = DOCUMENT | {"document_id": "doc_2", "title": "<b>Free</b>", "url": "javascript:alert(1)"}
SKIPPED = [{"reason": "robots", "count": 4, "example": "https://tea.example/secret"}]
QUOTE = {
    "pages": 40,
    "pages_low": 35,
    "pages_high": 48,
    "tokens": 52_000,
    "tokens_low": 44_000,
    "tokens_high": 61_000,
    "unchanged": 5,
    "embedding_model": "embedding_3_small",
    "cost_usd": "0.00104",
    "cost_usd_low": "0.00088",
    "cost_usd_high": "0.00122",
    "cost_local": "0.16",
    "cost_local_low": "0.13",
    "cost_local_high": "0.18",
    "max_pages": 2000,
    "include": [],
    "embedding_tokens_left": 60_000,
    "currency": "JPY",
    "listed": 44,
    "is_cut": False,
    "is_growing": False,
    "may_exceed_quota": True,
    "skipped": SKIPPED,
    "sampled": 12,
    "exceeds_quota": False,
}
FOUND = {
    "is_answered": True,
    "confidence": 0.87,
    "index_version": 3,
    "passages": [{"title": "Opening hours", "url": "https://tea.example/hours#week", "snippet": "We open at ten."}],
}


def told() -> dict[str, Any]:
    return {
        "GET /api/v1/sites": {"items": [SITE], "next_cursor": None},
        "GET /api/v1/plans": {"items": [each | {"resync": "weekly"} for each in PLANS]},
        "GET /api/v1/train/jobs": {"items": [], "next_cursor": None},
        "GET /api/v1/train/schedules": {"items": [], "next_cursor": None},
        "GET /api/v1/documents": {"items": [], "next_cursor": None},
        "GET /api/v1/train/jobs/job_1/pages": {"items": PAGES, "next_cursor": None},
        "GET /api/v1/train/jobs/job_1": [JOB, JOB, ENDED],
        "POST /api/v1/train/estimate": QUOTE,
        "POST /api/v1/train/url": JOB,
    }


@pytest.fixture
def owner(world: World) -> World:
    world.api.me = {
        "user": {"user_id": "u", "email": "mei@example.com", "is_platform_admin": False},
        "role": "owner",
        "plan": "starter",
        "tenant": {"tenant_id": "ten_1", "plan": "starter", "timezone": "Asia/Tokyo", "default_site_id": "site_1"},
        "limits": LIMITS,
        "inference_url": "",
    }
    world.api.told = copy.deepcopy(told())
    return world


def opened(page: Page, world: World) -> None:
    sign_in(page, world.run)
    page.goto(f"{world.url}/training.html")
    expect(page.locator("#teach")).to_be_visible()
