"""Sends queued mails with SES. A message that fails is tried again alone, then goes to the dead letters."""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from noren.edge import log
from noren.edge.events import work_off
from noren.mail import masked, write
from noren.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

REMEMBERED = 1000

SETTINGS = Settings.from_env()
log.configure(SETTINGS.stage)
_log = logging.getLogger("noren.mail_worker")
_sent: dict[str, None] = {}
"""Ids of messages that this container has sent: a redelivery after a lost acknowledgement sends nothing twice."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry: a batch from SQS, answered with the messages to deliver again."""
    return work_off(event, _send)


def _send(message_id: str, body: str) -> None:
    if message_id in _sent:
        return
    message = json.loads(body)
    text = write(message["template"], message["locale"], message["data"])
    _ses().send_email(
        FromEmailAddress=SETTINGS.mail_from,
        Destination={"ToAddresses": [message["to"]]},
        Content={
            "Simple": {
                "Subject": {"Data": text.subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": text.body, "Charset": "UTF-8"}},
            }
        },
    )
    _sent[message_id] = None
    while len(_sent) > REMEMBERED:
        del _sent[next(iter(_sent))]
    _log.info("mail sent", extra={"fields": {"to": masked(message["to"]), "template": message["template"]}})


@cache
def _ses() -> SESV2Client:
    import boto3
    from botocore.config import Config

    return boto3.client("sesv2", config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2}))
