"""Mails to people: queued by services, written from templates in three languages by the mail worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from noren.mail_billing import BILLING_TEXTS, BillingNotice
from noren.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

Notice = Literal["limit_near", "limit_reached", "site_limit_reached", "credits_low"]
"""What a tenant is told of by `insight.notices.Notices.limit`."""
WebhookNotice = Literal["webhook_disabled"]
WebhookReason = Literal["gone", "failing"]
Template = Literal["invitation"] | Notice | WebhookNotice | BillingNotice


class Text(NamedTuple):
    """A finished mail in plain text."""

    subject: str
    body: str


TEMPLATES: dict[tuple[Template, str], Text] = {
    ("invitation", "ja"): Text(
        "{tenant} への招待",
        "{inviter} さんが、Noren の「{tenant}」にあなたを招待しました(権限: {role})。\n\n"
        "次のリンクを開き、このメールアドレスでサインインして承諾してください。7 日間有効です。\n{link}\n\n"
        "心当たりがない場合は、このメールを破棄してください。\n",
    ),
    ("invitation", "ko"): Text(
        "{tenant} 초대",
        "{inviter} 님이 Noren의 '{tenant}'에 초대했습니다(권한: {role}).\n\n"
        "아래 링크를 열고 이 메일 주소로 로그인하여 수락해 주세요. 7일간 유효합니다.\n{link}\n\n"
        "짐작 가는 일이 없으면 이 메일을 무시해 주세요.\n",
    ),
    ("invitation", "en"): Text(
        "Invitation to {tenant}",
        "{inviter} has invited you to {tenant} on Noren (role: {role}).\n\n"
        "Open this link and sign in with this e-mail address to accept. It is good for 7 days.\n{link}\n\n"
        "If you don't know what this is about, please ignore it.\n",
    ),
    ("limit_near", "ja"): Text(
        "「{tenant}」の{what}が上限の 80 % を超えました",
        "「{tenant}」は、今月の{what} {limit} のうち {used} を使いました。\n\n"
        "上限に達すると {resets} まで止まります。続けて使うには、プランの変更かクレジットの購入をお願いします。\n"
        "{link}\n",
    ),
    ("limit_near", "ko"): Text(
        "'{tenant}'의 {what} 사용량이 한도의 80%를 넘었습니다",
        "'{tenant}'에서 이번 달 {what} {limit} 중 {used}을(를) 사용했습니다.\n\n"
        "한도에 도달하면 {resets}까지 중지됩니다. 계속 사용하려면 요금제를 변경하거나 크레딧을 구매해 주세요.\n"
        "{link}\n",
    ),
    ("limit_near", "en"): Text(
        "{tenant} has used over 80 % of its {what}",
        "{tenant} has used {used} of this month's {limit} {what}.\n\n"
        "At the limit they stop until {resets}. To go on, choose a larger plan or buy credits:\n{link}\n",
    ),
    ("limit_reached", "ja"): Text(
        "「{tenant}」の{what}が上限に達しました",
        "「{tenant}」は、今月の{what} {limit} をすべて使いました。{resets} に再開します。\n\n"
        "すぐに再開するには、プランの変更またはクレジットの購入をお願いします。\n{link}\n",
    ),
    ("limit_reached", "ko"): Text(
        "'{tenant}'의 {what} 사용량이 한도에 도달했습니다",
        "'{tenant}'에서 이번 달 {what} {limit}을(를) 모두 사용했습니다. {resets}에 다시 시작됩니다.\n\n"
        "바로 다시 시작하려면 요금제를 변경하거나 크레딧을 구매해 주세요.\n{link}\n",
    ),
    ("limit_reached", "en"): Text(
        "{tenant} has used up its {what}",
        "{tenant} has used all {limit} {what} of this month. They start again at {resets}.\n\n"
        "To go on at once, choose a larger plan or buy credits:\n{link}\n",
    ),
    ("site_limit_reached", "ja"): Text(
        "「{tenant}」のサイトが今日の上限に達しました",
        "「{tenant}」のサイト {what} は、今日のリクエスト {limit} 回をすべて使いました。{resets} に再開します。\n\n"
        "より多く使うには、プランの変更をご検討ください。\n{link}\n",
    ),
    ("site_limit_reached", "ko"): Text(
        "'{tenant}'의 사이트가 오늘 한도에 도달했습니다",
        "'{tenant}'의 사이트 {what}에서 오늘 요청 {limit}회를 모두 사용했습니다. {resets}에 다시 시작됩니다.\n\n"
        "더 많이 사용하려면 요금제를 변경해 주세요.\n{link}\n",
    ),
    ("site_limit_reached", "en"): Text(
        "A site of {tenant} has used up its requests of today",
        "The site {what} of {tenant} has used all {limit} requests of today. It answers again from {resets}.\n\n"
        "A larger plan allows more:\n{link}\n",
    ),
    ("credits_low", "ja"): Text(
        "「{tenant}」のクレジットが残りわずかです",
        "「{tenant}」のクレジットは残り {used} です(お知らせの基準: {limit})。\n"
        "なくなると、クレジットを使う機能が止まります。\n\n"
        "クレジットの購入はこちらから。\n{link}\n",
    ),
    ("credits_low", "ko"): Text(
        "'{tenant}'의 크레딧이 얼마 남지 않았습니다",
        "'{tenant}'의 크레딧이 {used} 남았습니다(알림 기준: {limit}).\n"
        "모두 사용하면 크레딧을 쓰는 기능이 중지됩니다.\n\n"
        "크레딧 구매는 여기에서 할 수 있습니다.\n{link}\n",
    ),
    ("credits_low", "en"): Text(
        "{tenant} is running out of credits",
        "{tenant} has {used} credits left (you are told at {limit}). Without credits, what costs credits stops.\n\n"
        "Buy credits here:\n{link}\n",
    ),
    ("webhook_disabled", "ja"): Text(
        "{host} への Webhook を停止しました",
        "「{tenant}」の {host} への Webhook を停止しました。\n理由: {what}\n\n"
        "受信側を直してから、もう一度有効にしてください。\n"
        "届かなかったイベントは、30 日以内なら配信履歴から再送できます。\n"
        "{link}\n",
    ),
    ("webhook_disabled", "ko"): Text(
        "{host}(으)로 보내는 웹훅을 중지했습니다",
        "'{tenant}'에서 {host}(으)로 보내는 웹훅을 중지했습니다.\n이유: {what}\n\n"
        "받는 쪽을 고친 뒤 다시 켜 주세요. 전달되지 않은 이벤트는 30일 안에 전송 기록에서 다시 보낼 수 있습니다.\n"
        "{link}\n",
    ),
    ("webhook_disabled", "en"): Text(
        "Webhooks to {host} have been switched off",
        "Webhooks of {tenant} are no longer sent to {host}.\nWhy: {what}\n\n"
        "Mend the receiving side, then enable the webhook again. What was not delivered can be sent again from its log "
        "for 30 days.\n{link}\n",
    ),
    **{key: Text(*text) for key, text in BILLING_TEXTS.items()},
}

WORDS: dict[tuple[str, str], str] = {
    ("chats", "ja"): "チャット",
    ("chats", "ko"): "채팅",
    ("embedding_tokens", "ja"): "埋め込みトークン",
    ("embedding_tokens", "ko"): "임베딩 토큰",
    ("embedding_tokens", "en"): "embedding tokens",
    ("webhook_gone", "ja"): "受信側が「もう存在しない」(410)と応答しました。",
    ("webhook_gone", "ko"): "받는 쪽에서 더 이상 존재하지 않는다고(410) 응답했습니다.",
    ("webhook_gone", "en"): "The receiving side answered that it is gone (410).",
    ("webhook_failing", "ja"): "5 日間、すべての配信が失敗しました。",
    ("webhook_failing", "ko"): "5일 동안 모든 전송이 실패했습니다.",
    ("webhook_failing", "en"): "Every delivery has failed for five days.",
}
"""What data name in our own words, by language; anything else stands as it is."""


def write(template: Template, locale: str, data: Mapping[str, str]) -> Text:
    """The mail in that language (English where we don't speak it). Raises KeyError for an unknown template or datum."""
    language = locale if (template, locale) in TEMPLATES else "en"
    text = TEMPLATES[template, language]
    if what := data.get("what"):
        data = {**data, "what": WORDS.get((what, language), what)}
    one_line = " ".join(text.subject.format_map(data).split())
    return Text(one_line[:200], text.body.format_map(data))


def masked(address: str) -> str:
    """`t***@example.jp`: how an address may stand in a log."""
    name, at, domain = address.partition("@")
    return f"{name[:1]}***{at}{domain}"


class Mailer:
    """Queues mails; the queue's worker sends them."""

    def __init__(self, settings: Settings) -> None:
        self._queue_url = settings.mail_queue_url
        self._client: SQSClient | None = None

    def queue(self, to: str, template: Template, data: Mapping[str, str], locale: str) -> None:
        """Have a mail sent soon. `data` fills the template."""
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
            self._client = boto3.client("sqs", config=config)
        message = {"to": to, "template": template, "data": dict(data), "locale": locale}
        self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message, ensure_ascii=False))
