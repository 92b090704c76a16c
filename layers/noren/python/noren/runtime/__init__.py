"""Short-lived shared state: rate windows, counters, leases, idempotency keys. Nothing here is backed up."""
