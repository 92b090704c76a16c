"""Credit packages and standing orders as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from noren.edge.numbers import PlainDecimal
from platform_api.schemas import Answer, Body, CurrencyName, Line
from platform_api.schemas_admin import Amount, Name


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Moment = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"), AfterValidator(_moment)
]
"""`2026-12-01T00:00:00Z`."""
Sum = Annotated[int, Field(ge=1, le=99_999_999)]
"""Minor units: a package is never free, and Stripe takes eight digits."""
Credits = Annotated[int, Field(ge=1, le=10_000_000)]
Discount = Annotated[Amount, Field(ge=Decimal(0), lt=Decimal(1))]
Days = Annotated[int, Field(ge=0, le=3_650)]
Text = Annotated[str, StringConstraints(max_length=300)]


class NamesIn(Body):
    """A name in each language."""

    ja: Line
    ko: Line
    en: Line


class TextsIn(Body):
    """A text in each language, or none."""

    ja: Text = ""
    ko: Text = ""
    en: Text = ""


class SumsIn(Body):
    """The price in minor units, discount already taken off, in every currency."""

    JPY: Sum
    KRW: Sum
    USD: Sum


class PriceOut(Answer):
    """Minor units of the currency; JPY and KRW have none."""

    amount: int
    currency: CurrencyName


class PackageOut(Answer):
    """A package as a tenant may buy it. Its credits last `valid_days`, 0 for ever."""

    package_id: str
    credits_amount: int
    price: PriceOut
    discount_rate: PlainDecimal
    is_bulk_package: bool
    is_promotional: bool
    valid_until: str | None
    valid_days: int
    display_name: dict[str, str]
    description: dict[str, str]
    marketing_highlight: dict[str, str]


class PackagesOut(Answer):
    """What the tenant's plan may buy now, the smallest first."""

    items: list[PackageOut]


class AdminPackageOut(Answer):
    """A package as the platform admin sees it. `valid_days` is null where the platform's setting holds."""

    package_id: str
    plans: list[str]
    credits_amount: int
    prices: dict[str, int]
    discount_rate: PlainDecimal
    is_bulk_package: bool
    is_promotional: bool
    active: bool
    valid_from: str | None
    valid_until: str | None
    valid_days: int | None
    display_name: dict[str, str]
    description: dict[str, str]
    marketing_highlight: dict[str, str]
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str
    deleted_at: str | None
    deleted_by: str | None


class PackageIn(Body):
    """A new package. `valid_days` null: the platform's setting; 0: its credits last for ever."""

    plans: Annotated[list[Name], Field(min_length=1, max_length=50)]
    credits_amount: Credits
    prices: SumsIn
    display_name: NamesIn
    description: TextsIn = Field(default_factory=TextsIn)
    marketing_highlight: TextsIn = Field(default_factory=TextsIn)
    discount_rate: Discount = Decimal(0)
    is_bulk_package: bool = False
    is_promotional: bool = False
    active: bool = True
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    valid_days: Days | None = None


class PackagePatch(Body):
    """What changes; members left out stay. `valid_from`, `valid_until` and `valid_days` are taken back by null."""

    plans: Annotated[list[Name], Field(min_length=1, max_length=50)] | None = None
    credits_amount: Credits | None = None
    prices: SumsIn | None = None
    display_name: NamesIn | None = None
    description: TextsIn | None = None
    marketing_highlight: TextsIn | None = None
    discount_rate: Discount | None = None
    is_bulk_package: bool | None = None
    is_promotional: bool | None = None
    active: bool | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    valid_days: Days | None = None


class AutoPurchasePatch(Body):
    """What changes, in credits; members left out stay."""

    enabled: bool | None = None
    threshold: Annotated[int, Field(ge=0, le=100_000)] | None = None
    amount: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    monthly_cap: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class AutoPurchaseOut(Answer):
    """At `threshold` credits left, the smallest package of at least `amount` is bought, up to `monthly_cap` a month."""

    enabled: bool
    threshold: int
    amount: int
    monthly_cap: int
