"""Another function of ours, called and waited for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noren.errors import Busy

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_log = logging.getLogger("noren.functions")


class Function:
    """A function by its name or ARN. It is never called twice for one `call`."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds

    def call(self, event: Mapping[str, Any]) -> Any:
        """What it answers within `seconds`. Raises Busy where it does not: too many at once, too late, or it died."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._lambda.invoke(FunctionName=self._name, Payload=json.dumps(dict(event)).encode())
            said = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            _log.warning("a function was not called: %s", type(error).__name__)
            raise Busy(retry_after=5) from None
        if answer.get("FunctionError"):
            _log.error("a function failed", extra={"fields": {"function": self._name, "error": _kind(said)}})
            raise Busy(retry_after=5)
        return json.loads(said)

    @cached_property
    def _lambda(self) -> LambdaClient:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=2, read_timeout=self._seconds, retries={"total_max_attempts": 1})
        return boto3.client("lambda", config=config)


def _kind(said: bytes) -> str:
    """What a function failed with: never the error's text, which may hold what it worked on."""
    try:
        return str(json.loads(said).get("errorType", ""))[:100]
    except (ValueError, AttributeError):
        return ""
