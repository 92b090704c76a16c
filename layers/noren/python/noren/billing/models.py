"""What is sold: credit packages; and when they are to be bought without asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Package:
    """Credits at a price. Texts are by language (`ja`, `ko`, `en`), times ISO 8601 UTC."""

    package_id: str
    plans: frozenset[str]
    """Who may buy it."""
    credits_amount: int
    prices: dict[str, int]
    """Minor units by currency, discount already taken off."""
    display_name: dict[str, str]
    description: dict[str, str] = field(default_factory=dict)
    marketing_highlight: dict[str, str] = field(default_factory=dict)
    discount_rate: Decimal = Decimal(0)
    """What the price says it saves, for display: 0.1 is 10 %."""
    is_bulk_package: bool = False
    is_promotional: bool = False
    active: bool = True
    valid_from: str | None = None
    valid_until: str | None = None
    """The first instant at which it is not sold any more."""
    valid_days: int | None = None
    """How long its credits last. None: as the platform has it, 0: for ever."""
    created_at: str = ""
    created_by: str = ""
    updated_at: str = ""
    updated_by: str = ""
    deleted_at: str | None = None
    deleted_by: str | None = None
    version: int = 1

    def is_sold(self, plan: str, now: str) -> bool:
        """Whether a tenant on `plan` may buy it at `now` (ISO)."""
        begun = self.valid_from is None or self.valid_from <= now
        over = self.valid_until is not None and self.valid_until <= now
        return self.active and self.deleted_at is None and plan in self.plans and begun and not over


@dataclass(frozen=True, slots=True)
class AutoPurchase:
    """A tenant's standing order, in credits: at `threshold` left, the smallest package of at least `amount` is bought,
    and no more than `monthly_cap` in a month."""

    enabled: bool = False
    threshold: int = 50
    amount: int = 500
    monthly_cap: int = 2_000
    version: int = 0
