from __future__ import annotations

import pytest

from noren import tables
from noren.sites.service import Sites
from noren.sites.store import SiteStore


class Ticks:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def store(aws: str) -> SiteStore:
    """The table of sites, empty."""
    client = tables.dynamodb()
    client.create_table(
        TableName="sites",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    return SiteStore(client, "sites")


@pytest.fixture
def sites(store: SiteStore, clock: Ticks) -> Sites:
    return Sites(store, clock)
