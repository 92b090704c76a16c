"""The packages that a new platform starts with. An operator edits the table afterwards, not this file."""

from __future__ import annotations

from decimal import Decimal

from noren.billing.models import Package

PACKAGES: tuple[Package, ...] = (
    Package(
        package_id="pkg_" + f"{1:032x}",
        plans=frozenset({"free", "starter", "pro", "enterprise"}),
        credits_amount=500,
        prices={"JPY": 1_500, "KRW": 14_000, "USD": 1_000},
        display_name={"ja": "500 クレジット", "ko": "500 크레딧", "en": "500 credits"},
        description={
            "ja": "チャット約 250 回分です。",
            "ko": "채팅 약 250회 분량입니다.",
            "en": "Enough for about 250 chats.",
        },
    ),
    Package(
        package_id="pkg_" + f"{2:032x}",
        plans=frozenset({"starter", "pro", "enterprise"}),
        credits_amount=2_000,
        prices={"JPY": 5_400, "KRW": 50_400, "USD": 3_600},
        display_name={"ja": "2,000 クレジット", "ko": "2,000 크레딧", "en": "2,000 credits"},
        description={
            "ja": "チャット約 1,000 回分です。",
            "ko": "채팅 약 1,000회 분량입니다.",
            "en": "Enough for about 1,000 chats.",
        },
        marketing_highlight={"ja": "10 % お得", "ko": "10% 할인", "en": "Save 10 %"},
        discount_rate=Decimal("0.1"),
    ),
    Package(
        package_id="pkg_" + f"{3:032x}",
        plans=frozenset({"pro", "enterprise"}),
        credits_amount=10_000,
        prices={"JPY": 24_000, "KRW": 224_000, "USD": 16_000},
        display_name={"ja": "10,000 クレジット", "ko": "10,000 크레딧", "en": "10,000 credits"},
        description={
            "ja": "チャット約 5,000 回分です。",
            "ko": "채팅 약 5,000회 분량입니다.",
            "en": "Enough for about 5,000 chats.",
        },
        marketing_highlight={"ja": "20 % お得", "ko": "20% 할인", "en": "Save 20 %"},
        discount_rate=Decimal("0.2"),
        is_bulk_package=True,
    ),
)
