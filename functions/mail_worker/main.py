"""Sends queued mails with SES. A message that fails is tried again alone, then goes to the dead letters."""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from noren.edge import log
from noren.mail import masked, write
from noren.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

REMEMBERED = 1000

log.configure()
SETTINGS = Settings.from_env()
_log = logging.getLogger("noren.mail_worker")
_sent: dict[str, None] = {}
"""Ids of messages that this container has sent: a redelivery after a lost acknowledgement sends nothing twice."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry: a batch from SQS, answered with the messages to deliver again."""
    failed = []
    for record in event["Records"]:
        try:
            _send(record["messageId"], json.loads(record["body"]))
        except Exception as error:
            _log.error("mail not sent", exc_info=error, extra={"fields": {"message_id": record["messageId"]}})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _send(message_id: str, message: dict[str, Any]) -> None:
    if message_id in _sent:
        return
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
