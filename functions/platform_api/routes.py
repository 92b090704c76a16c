"""The platform API's one table: dispatched, documented and tested from here."""

from __future__ import annotations

from noren.edge.http import Route
from platform_api import (
    routes_admin,
    routes_billing,
    routes_canned,
    routes_catalog,
    routes_checks,
    routes_credits,
    routes_embed,
    routes_errors,
    routes_feedback,
    routes_index,
    routes_insight,
    routes_ledger,
    routes_me,
    routes_prompts,
    routes_sites,
    routes_tenant,
    routes_train,
    routes_usage,
    routes_webhooks,
)

ROUTES: tuple[Route, ...] = (
    *routes_me.ROUTES,
    *routes_tenant.ROUTES,
    *routes_catalog.ROUTES,
    *routes_admin.ROUTES,
    *routes_billing.ROUTES,
    *routes_credits.ROUTES,
    *routes_ledger.ROUTES,
    *routes_usage.ROUTES,
    *routes_insight.ROUTES,
    *routes_prompts.ROUTES,
    *routes_sites.ROUTES,
    *routes_embed.ROUTES,
    *routes_checks.ROUTES,
    *routes_webhooks.ROUTES,
    *routes_canned.ROUTES,
    *routes_feedback.ROUTES,
    *routes_errors.ROUTES,
    *routes_train.ROUTES,
    *routes_index.ROUTES,
)
