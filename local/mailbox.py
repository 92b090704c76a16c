"""The mailbox page of the local run: what Noren mailed through the emulator's SES, newest first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

STORE = "/_ministack/ses/messages"
"""Where the emulator lists what its SES was given."""

_LINK = re.compile(r"https?://[^\s<>\"')\]、。」）]+")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message."""

    sent_at: float
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str


def parse(listing: dict[str, Any]) -> list[Mail]:
    """The emulator's listing (messages by account) as mails, newest first.

    A mail without text shows its HTML source.
    """
    mails = [
        Mail(
            sent_at=float(message["Timestamp"]),
            sender=message["Source"],
            to=(*message["To"], *message["CC"], *message["BCC"]),
            subject=message["Subject"],
            text=message["BodyText"] or message["BodyHtml"] or "",
        )
        for messages in listing["messages"].values()
        for message in messages
    ]
    return sorted(mails, key=lambda mail: mail.sent_at, reverse=True)


def linked(text: str) -> str:
    """Text as HTML: everything escaped, http(s) links clickable."""
    parts, end = [], 0
    for match in _LINK.finditer(text):
        url = escape(match.group())
        parts += [escape(text[end : match.start()]), f'<a href="{url}" rel="noreferrer">{url}</a>']
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def shell(title: str, body: str) -> str:
    """A page in the looks of the console; `body` is HTML, `title` is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>' + escape(title) + "</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/style.css"></head>'
        '<body class="plain"><main>' + body + "</main></body></html>"
    )


def render(mails: list[Mail]) -> str:
    """The page."""
    items = [
        f"<article class=card><h2>{escape(mail.subject) or '(no subject)'}</h2>"
        f"<p class=muted>{escape(mail.sender)} → {escape(', '.join(mail.to))} · "
        f"<time>{datetime.fromtimestamp(mail.sent_at, UTC):%Y-%m-%d %H:%M:%S} UTC</time></p>"
        f"<pre class=mail>{linked(mail.text)}</pre></article>"
        for mail in mails
    ]
    return shell("Mailbox", "<h1>Mailbox</h1>" + ("".join(items) or "<p>No mail yet. Invite somebody.</p>"))
