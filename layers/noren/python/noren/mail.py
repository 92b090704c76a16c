"""Mails to people: queued by services, written from templates in three languages by the mail worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from noren.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

Template = Literal["invitation"]


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
}


def write(template: Template, locale: str, data: Mapping[str, str]) -> Text:
    """The mail in that language (English where we don't speak it). Raises KeyError for an unknown template or datum."""
    text = TEMPLATES.get((template, locale)) or TEMPLATES[template, "en"]
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
