# ruff: noqa: E501 (text as it stands in pages)
"""Pages of three languages with all that stands around a shop's text, and what of them is the text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    language: str
    title: str
    main: tuple[str, ...]
    """The main text, block by block."""
    furniture: tuple[str, ...]
    html: str


def _page(
    language: str, shop: str, title: str, main: str, menu: list[str], aside: str, footer: str, cookie: str
) -> str:
    items = "".join(f'<li><a href="/{number}">{each}</a></li>' for number, each in enumerate(menu))
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title} | {shop}</title>'
        f"<script>var a = 'tracking';</script><style>p {{ color: red }}</style></head><body>"
        f'<header><a href="/">{shop}</a><nav><ul>{items}</ul></nav></header>'
        f'<div class="cookie-banner"><p>{cookie}</p><button>OK</button></div>'
        f'<div class="wrap"><main>{main}</main><aside><h2>{aside}</h2><ul>{items}</ul></aside></div>'
        f"<footer><p>{footer}</p></footer></body></html>"
    )


SAMPLES = (
    Sample(
        "ja",
        "送料とお届け",
        (
            "送料とお届け",
            "送料は全国一律 550 円(税込)です。5,000 円以上お買い上げの場合は無料になります。",
            "お届けまでの日数",
            "ご注文の確認後、二営業日以内に発送します。年末年始は一週間ほどかかることがあります。",
            "北海道は三日ほどかかります。",
            "沖縄と離島は五日ほどかかります。",
            "時間帯 | 目安\n午前中 | 8 時から 12 時\n夜間 | 19 時から 21 時",
        ),
        ("特定商取引法に基づく表記", "クッキーを使用しています", "人気の商品"),
        _page(
            "ja",
            "みどり茶房",
            "送料とお届け",
            "<h1>送料とお届け</h1><p>送料は全国一律 550 円(税込)です。\n5,000 円以上お買い上げの場合は無料になります。</p>"
            '<h2 id="days">お届けまでの日数</h2><p>ご注文の確認後、二営業日以内に発送します。'
            "年末年始は一週間ほどかかることがあります。</p>"
            "<ul><li>北海道は三日ほどかかります。</li><li>沖縄と離島は五日ほどかかります。</li></ul>"
            "<table><tr><th>時間帯</th><th>目安</th></tr><tr><td>午前中</td><td>8 時から 12 時</td></tr>"
            "<tr><td>夜間</td><td>19 時から 21 時</td></tr></table>",
            ["ホーム", "商品一覧", "お問い合わせ"],
            "人気の商品",
            "特定商取引法に基づく表記",
            "当サイトではクッキーを使用しています。",
        ),
    ),
    Sample(
        "ko",
        "교환 및 반품 안내",
        (
            "교환 및 반품 안내",
            "상품을 받은 날부터 7일 이내에 교환이나 반품을 신청할 수 있습니다. 단순 변심이면 왕복 배송비를 부담하셔야 합니다.",
            "신청 방법",
            "마이페이지의 주문 내역에서 반품 신청을 누르고 사유를 선택해 주세요.",
            "택배 기사가 2~3일 안에 방문합니다.",
            "환불은 상품 확인 뒤 3영업일 이내에 처리됩니다.",
            "사유 | 배송비\n단순 변심 | 5,000원\n상품 불량 | 무료",
        ),
        ("사업자등록번호", "쿠키를 사용합니다", "추천 상품"),
        _page(
            "ko",
            "푸른찻집",
            "교환 및 반품 안내",
            "<h1>교환 및 반품 안내</h1><p>상품을 받은 날부터 7일 이내에 교환이나 반품을 신청할 수 있습니다. "
            "단순 변심이면 왕복 배송비를 부담하셔야 합니다.</p>"
            '<h2><a name="how"></a>신청 방법</h2><p>마이페이지의 주문 내역에서 반품 신청을 누르고 사유를 선택해 주세요.</p>'
            "<ol><li>택배 기사가 2~3일 안에 방문합니다.</li><li>환불은 상품 확인 뒤 3영업일 이내에 처리됩니다.</li></ol>"
            "<table><tr><th>사유</th><th>배송비</th></tr><tr><td>단순 변심</td><td>5,000원</td></tr>"
            "<tr><td>상품 불량</td><td>무료</td></tr></table>",
            ["홈", "전체 상품", "고객센터"],
            "추천 상품",
            "사업자등록번호 000-00-00000",
            "이 사이트는 쿠키를 사용합니다.",
        ),
    ),
    Sample(
        "en",
        "Caring for your kettle",
        (
            "Caring for your kettle",
            "Rinse the kettle with warm water before you use it for the first time. Never put it into a dishwasher.",
            "Removing limescale",
            "Fill it with equal parts of water and vinegar, bring it to the boil, and let it stand for an hour.",
            "Rinse it twice.",
            "Boil fresh water once and pour it away.",
            "Model | Capacity\nK-100 | 1.2 litres\nK-200 | 1.8 litres",
        ),
        ("All rights reserved", "We use cookies", "You may also like"),
        _page(
            "en",
            "Green Leaf",
            "Caring for your kettle",
            "<h1>Caring for your kettle</h1><p>Rinse the kettle with warm water before you use it for the first time. "
            "<b>Never</b> put it into a dishwasher.</p>"
            '<section id="limescale"><h2>Removing limescale</h2><p>Fill it with equal parts of water and vinegar, bring it '
            "to the boil, and let it stand for an hour.</p></section>"
            "<ul><li>Rinse it twice.</li><li><p>Boil fresh water once and pour it away.</p></li></ul>"
            "<table><tr><th>Model</th><th>Capacity</th></tr><tr><td>K-100</td><td>1.2 litres</td></tr>"
            "<tr><td>K-200</td><td>1.8 litres</td></tr></table>",
            ["Home", "Products", "Contact"],
            "You may also like",
            "All rights reserved",
            "We use cookies on this site.",
        ),
    ),
)
