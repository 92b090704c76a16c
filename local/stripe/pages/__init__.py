"""The hosted pages that people click: Checkout, 3-D Secure, payment slip, portal, invoice; and a dashboard."""

from __future__ import annotations

from aiohttp import web

from local.stripe.pages import checkout, dashboard, invoice, portal, steps


def routes() -> list[web.RouteDef]:
    """Their routes."""
    return [
        web.get("/", dashboard.show),
        web.post("/dashboard", dashboard.act),
        web.get("/c/pay/{session}", checkout.show),
        web.post("/c/pay/{session}", checkout.submit),
        web.get("/3ds/{challenge}", steps.secure),
        web.post("/3ds/{challenge}", steps.secure_done),
        web.get("/konbini/{intent}", steps.slip),
        web.post("/konbini/{intent}", steps.slip_done),
        web.get("/elements/{secret}", steps.element),
        web.post("/elements/{secret}", steps.element_done),
        web.get("/receipts/{intent}", steps.receipt),
        web.get("/p/session/{session}", portal.show),
        web.post("/p/session/{session}", portal.act),
        web.get("/i/{invoice}/{token}", invoice.show),
        web.get("/i/{invoice}/{token}/print", invoice.show),
        web.post("/i/{invoice}/{token}", invoice.pay),
    ]
