"""A stand-in for Stripe: a stateful account that speaks its wire format, with the pages that people click.

`world` and the modules beside it are the account itself, without HTTP or real time; `api` is one function from request
to response; `inprocess` lets the SDK call it in memory; `server` is the process that the local run starts.
"""

from __future__ import annotations

API_KEY = "sk_test_noren_local"  # pragma: allowlist secret
