"""Accounts of the emulator for tests: boto3 as it is, but for the way that DynamoDB's calls take.

Signing, sending and retrying in botocore takes a call longer than the emulator itself, and there are hundreds of
thousands of calls. So botocore checks and writes DynamoDB's parameters, pages and raises errors, and `bench.wire`
carries them. Our functions on the emulator (end-to-end tests) and `bench.cost` go all the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from bench.wire import Wire
from local import emulator

_LOADER = Loader()  # keeps what it has read of the services' descriptions


@contextmanager
def account(endpoint: str, number: str) -> Iterator[None]:
    """Points boto3 and the environment at an account (12 digits) of the emulator."""
    variables = emulator.aws_env(endpoint, access_key=number)
    with (
        _session(endpoint, number) as session,
        patch("boto3.DEFAULT_SESSION", session),
        patch.dict(os.environ, variables),
    ):
        yield


@contextmanager
def shared(endpoint: str, number: str) -> Iterator[Any]:
    """A DynamoDB client of an account that many tests share, each with a tenant of its own."""
    with _session(endpoint, number) as session:
        client = session.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name=emulator.REGION,
            aws_access_key_id=number,
            aws_secret_access_key="test",
        )
        yield client
        client.close()


@contextmanager
def _session(endpoint: str, number: str) -> Iterator[boto3.Session]:
    session: Any = botocore.session.get_session()
    session.register_component("data_loader", _LOADER)
    with Wire(endpoint, number) as wire:

        def carry(model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, Any] | None:
            if not params["url"].startswith(endpoint):
                return None
            try:
                return SimpleNamespace(status_code=200), wire.call(model.name, params["body"])
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                return SimpleNamespace(status_code=status), error.response

        session.get_component("event_emitter").register_last("before-call.dynamodb", carry)  # after what tests add
        yield boto3.Session(botocore_session=session)
