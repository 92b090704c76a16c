"""The looks of the hosted pages and their words in Japanese and English. No script, nothing from outside."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from html import escape

from aiohttp import web

from local.stripe.cards import BY_NUMBER
from local.stripe.world import Obj, currency_symbol

JST = timezone(timedelta(hours=9))
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root{color-scheme:light dark;--ink:#1a1f36;--soft:#5b6478;--line:#d8dde6;--paper:#fff;--ground:#f5f7fa;--main:#4b45d6;
--bad:#b3261e;--good:#1b6e3c}
@media(prefers-color-scheme:dark){:root{--ink:#eef0f6;--soft:#aab2c5;--line:#3a4153;--paper:#1c2130;--ground:#12151f;
--main:#a9a4ff;--bad:#ffb4ab;--good:#8ddba8}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.6 system-ui,"Hiragino Sans","Noto Sans CJK JP","Noto Sans JP",sans-serif}
.note{background:#fff3cd;color:#533f03;text-align:center;padding:.4rem 1rem;font-size:.85rem}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem;display:grid;gap:1.5rem}
@media(min-width:48rem){main.two{grid-template-columns:1fr 1fr;align-items:start;padding-top:3rem}}
main.one{max-width:34rem}
.steps{display:flex;flex-wrap:wrap;gap:.5rem}
.steps button{width:auto;margin-top:.5rem;min-height:36px;padding:.25rem .7rem}
td .steps{justify-content:flex-end}code{overflow-wrap:anywhere}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:1.25rem}
h1{font-size:1.15rem;margin:0 0 .25rem}h2{font-size:1rem;margin:0 0 .75rem}
.amount{font-size:2.1rem;font-weight:700;margin:.25rem 0 1rem;line-height:1.2}
dl{display:grid;grid-template-columns:1fr auto;gap:.4rem 0;margin:0}dt{padding-right:1rem}dd{margin:0;text-align:right;
font-variant-numeric:tabular-nums}
dl .sum{font-weight:700;border-top:1px solid var(--line);padding-top:.4rem}
.soft{color:var(--soft);font-size:.9rem}
label{display:block;font-size:.9rem;font-weight:600;margin-top:.75rem}
input{font:inherit;color:inherit;background:var(--paper);width:100%;padding:.6rem .7rem;border:1px solid var(--soft);
border-radius:8px;min-height:44px}
input:focus-visible,button:focus-visible,a:focus-visible,summary:focus-visible{outline:3px solid var(--main);
outline-offset:2px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.75rem}
.row{display:flex;gap:.5rem;align-items:end}.row button{width:auto;white-space:nowrap}
button{font:inherit;font-weight:600;width:100%;min-height:46px;padding:.6rem 1rem;border-radius:8px;cursor:pointer;
border:1px solid var(--soft);background:transparent;color:inherit;margin-top:.75rem}
button.main{background:#4b45d6;border-color:#4b45d6;color:#fff}
.row button{margin-top:0}
.error{color:var(--bad);border:1px solid currentColor;border-radius:8px;padding:.6rem .8rem;margin:0 0 .75rem}
.good{color:var(--good);font-weight:600}
a{color:var(--main)}
table{border-collapse:collapse;width:100%;font-size:.95rem}td,th{padding:.45rem .25rem;text-align:left;
border-bottom:1px solid var(--line)}td:last-child,th:last-child{text-align:right;font-variant-numeric:tabular-nums}
code{font-size:.9em}details{margin-top:.75rem;font-size:.9rem}summary{cursor:pointer}
ul{padding-left:1.2rem;margin:.5rem 0}li{margin:.2rem 0}
.item{border-top:1px solid var(--line);padding:.75rem 0}.item:first-of-type{border-top:0;padding-top:0}
"""
WORDS = {
    "note": (
        "手元のStripe代替です。実際の請求はありません。",
        "A stand-in for Stripe on this machine: no money moves.",
    ),
    "pay_amount": ("{amount} を支払う", "Pay {amount}"),
    "subscribe": ("申し込む", "Subscribe"),
    "save_card": ("カードを登録", "Save card"),
    "pay_later": ("コンビニで後払い", "Pay at a convenience store"),
    "cancel": ("キャンセルして戻る", "Cancel and go back"),
    "summary": ("ご注文内容", "Order summary"),
    "payment": ("お支払い", "Payment"),
    "email": ("メールアドレス", "Email"),
    "card": ("カード番号", "Card number"),
    "expiry": ("有効期限(月/年)", "Expiry (MM/YY)"),
    "cvc": ("セキュリティコード", "Security code"),
    "name": ("お名前・会社名", "Name or company"),
    "tax_id": ("登録番号(T+13桁)", "Registration number (T and 13 digits)"),
    "code": ("プロモーションコード", "Promotion code"),
    "apply": ("適用", "Apply"),
    "test_cards": ("試験用カード", "Test cards"),
    "subtotal": ("小計", "Subtotal"),
    "discount": ("割引", "Discount"),
    "tax": ("消費税(10%)", "Consumption tax (10%)"),
    "tax_included": ("うち消費税(10%)", "of which consumption tax (10%)"),
    "total": ("合計", "Total"),
    "per_month": ("月額", "per month"),
    "per_year": ("年額", "per year"),
    "trial": ("{days}日間無料、その後 {amount}", "{days} days free, then {amount}"),
    "over": ("このページの有効期限は切れています。", "This page has expired."),
    "done": ("お手続きは完了しています。", "This is complete."),
    "secure": ("本人認証(3Dセキュア)", "3-D Secure authentication"),
    "secure_text": (
        "カード発行会社の認証ページの代わりです。結果を選んでください。",
        "This stands for the page of the card's bank. Choose what happens.",
    ),
    "secure_ok": ("認証を完了する", "Complete authentication"),
    "secure_fail": ("認証に失敗する", "Fail authentication"),
    "secure_failed": (
        "本人認証に失敗しました。別のカードをお試しください。",
        "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
    ),
    "portal": ("お支払いの管理", "Manage billing"),
    "plan": ("ご契約中のプラン", "Your subscription"),
    "no_plan": ("契約中のプランはありません。", "There is no subscription."),
    "renews": ("次回更新日", "Renews on"),
    "ends": ("終了予定日", "Ends on"),
    "cancel_plan": ("期間終了時に解約する", "Cancel at period end"),
    "resume_plan": ("解約を取り消す", "Keep the subscription"),
    "cards": ("お支払い方法", "Payment method"),
    "default": ("既定", "default"),
    "make_default": ("既定にする", "Make default"),
    "add_card": ("カードを変更する", "Change card"),
    "invoices": ("請求書", "Invoices"),
    "back": ("戻る", "Back"),
    "invoice": ("請求書", "Invoice"),
    "number": ("請求書番号", "Invoice number"),
    "issued": ("発行日", "Date of issue"),
    "due": ("お支払期限", "Due date"),
    "from": ("発行者", "From"),
    "to": ("宛先", "Bill to"),
    "registration": ("登録番号", "Registration number"),
    "paid": ("支払い済み", "Paid"),
    "open": ("未払い", "Open"),
    "void": ("無効", "Void"),
    "uncollectible": ("回収不能", "Uncollectible"),
    "draft": ("下書き", "Draft"),
    "slip": ("コンビニ払込票", "Payment slip"),
    "slip_text": (
        "お店で支払った、または期限が過ぎたことにします。",
        "Say that it was paid at the store, or that it expired.",
    ),
    "slip_paid": ("お店で支払う", "Pay at the store"),
    "slip_expired": ("期限切れにする", "Let it expire"),
    "shop": ("お店のページへ進む", "Continue to the shop"),
    "receipt": ("領収書", "Receipt"),
    "active": ("有効", "Active"),
    "trialing": ("トライアル中", "Trial"),
    "past_due": ("お支払いの遅れ", "Past due"),
    "incomplete": ("お支払い待ち", "Incomplete"),
    "unpaid": ("未払い", "Unpaid"),
    "paused": ("一時停止", "Paused"),
    "canceled": ("解約済み", "Canceled"),
    "incomplete_expired": ("期限切れ", "Expired"),
    "dashboard": ("ダッシュボード", "Dashboard"),
    "clock": ("時計", "Clock"),
    "step_hour": ("時間", "hour"),
    "step_day": ("日", "day"),
    "step_week": ("週間", "week"),
    "step_month": ("か月", "month"),
    "webhooks": ("Webhook {url} : 配信済み {done} · 待ち {left}", "Webhook {url}: delivered {done}, waiting {left}"),
    "payments": ("支払い", "Payments"),
    "subscriptions": ("サブスクリプション", "Subscriptions"),
    "events": ("イベント", "Events"),
    "waiting": ("待ち", "waiting"),
    "delivered": ("配信済み", "delivered"),
    "disputed": ("異議申し立てあり", "disputed"),
    "refunded": ("{amount} 返金済み", "{amount} refunded"),
    "refund": ("返金する", "Refund"),
    "dispute": ("異議を申し立てる", "Dispute"),
    "won": ("当方の勝ち", "We win"),
    "lost": ("当方の負け", "We lose"),
    "canceling": ("解約予定", "Will be canceled"),
}


class Words:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """As HTML."""
        return escape(self.text(key, **values))

    def text(self, key: str, **values: object) -> str:
        """As text."""
        return WORDS[key][0 if self.language == "ja" else 1].format(**values)

    def moment(self, moment: int) -> str:
        """Day and time in Japan."""
        return f"{datetime.fromtimestamp(moment, JST):%Y-%m-%d %H:%M}"

    def date(self, moment: int) -> str:
        """A day in Japan."""
        day = datetime.fromtimestamp(moment, JST)
        return f"{day.year}年{day.month}月{day.day}日" if self.language == "ja" else f"{day:%d %b %Y}"


def words_for(request: web.Request, locale: str | None = None) -> Words:
    """Japanese or English: what the page was made for, else what the browser wants first."""
    if locale in ("ja", "en"):
        return Words(locale)
    for wanted in request.headers.get("Accept-Language", "").lower().split(","):
        if wanted.strip()[:2] in ("ja", "en"):
            return Words(wanted.strip()[:2])
    return Words("en")


def money(amount: int, currency: str) -> str:
    """An amount as the pages show it: ¥7,800, and −¥500."""
    shown = currency_symbol(abs(amount), currency)
    return escape(f"−{shown}" if amount < 0 else shown)


def page(
    words: Words, title: str, body: str, *, two: bool = False, wide: bool = False, status: int = 200
) -> web.Response:
    """A whole page; `title` and `body` are HTML."""
    shape = "two" if two else "wide" if wide else "one"
    text = (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><p class="note" style="margin:0">{words("note")}</p><main class="{shape}">{body}'
        "</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html", status=status, headers=_HEADERS)


def error(message: str) -> str:
    """What went wrong, read out at once; `message` is text."""
    return f'<p class="error" role="alert">{escape(message)}</p>' if message else ""


def field(name: str, label: str, value: str = "", *, more: str = "") -> str:
    """A labelled input; `label` and `more` are HTML."""
    return f'<label for="{name}">{label}</label><input id="{name}" name="{name}" value="{escape(value)}" {more}>'


def card_fields(words: Words, number: str = "") -> str:
    """Number, expiry, code; the test cards are offered as suggestions."""
    offered = "".join(f'<option value="{each}">{_purpose(each)}</option>' for each in BY_NUMBER)
    listed = "".join(f"<li><code>{_spaced(each)}</code> {_purpose(each)}</li>" for each in BY_NUMBER)
    more = 'inputmode="numeric" autocomplete="cc-number" placeholder="4242 4242 4242 4242" required list="test-cards"'
    return (
        field("number", words("card"), number, more=more)
        + f'<datalist id="test-cards">{offered}</datalist><div class="pair"><div>'
        + field("expiry", words("expiry"), "12 / 34", more='inputmode="numeric" autocomplete="cc-exp" required')
        + "</div><div>"
        + field("cvc", words("cvc"), "123", more='inputmode="numeric" autocomplete="cc-csc" required')
        + f"</div></div><details><summary>{words('test_cards')}</summary><ul>{listed}</ul></details>"
    )


def _spaced(number: str) -> str:
    return " ".join(number[at : at + 4] for at in range(0, 16, 4))


def _purpose(number: str) -> str:
    card = BY_NUMBER[number]
    parts = [card.brand]
    parts += [card.charge.replace("_", " ")] if card.charge else []
    parts += ["3-D Secure"] if card.secure != "never" else []
    parts += ["disputed"] if card.disputed else []
    return escape(", ".join(parts))


def card_line(method: Obj) -> str:
    """A saved card in a few characters."""
    card = method["card"]
    return escape(f"{card['brand'].title()} •••• {card['last4']}  {card['exp_month']:02d}/{card['exp_year'] % 100:02d}")
