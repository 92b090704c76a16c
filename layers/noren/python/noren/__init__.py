"""Noren: a multi-tenant AI-assistant platform. Domain package; it never sees HTTP or Lambda events."""
