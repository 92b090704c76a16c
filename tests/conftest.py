"""Fixtures that every test may use: the embedded cloud, fresh storage accounts, no way out to the world."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from local import emulator
from tests.aws import account
from tests.shares import Shares, rank

settings.register_profile("noren", deadline=None)  # a busy machine is no failure
settings.load_profile("noren")

_ACCOUNTS = itertools.count(100_000_000_001 + os.getpid() * 10_000)
_REAL_CONNECT = socket.socket.connect


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


def _guarded_connect(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else ""
    if isinstance(address, tuple) and host not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test tried to reach {host}")
    _REAL_CONNECT(self, address)


@pytest.fixture(autouse=True)
def _no_egress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _guarded_connect)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an emulator for storage tests, shared by the session. Real, atomic, empty at first.

    `NOREN_TEST_CLOUD=<endpoint>` uses one that is up already.
    """
    if running := os.environ.get("NOREN_TEST_CLOUD"):
        yield running
        return
    port = emulator.free_port()
    process = emulator.start(port, log=Path(tmp_path_factory.mktemp("ministack")) / "ministack.log")
    yield f"http://127.0.0.1:{port}"
    emulator.stop(process)


@pytest.fixture
def aws(ministack: str) -> Iterator[str]:
    """Points boto3 at the emulator, in an account that no other test uses. Returns the endpoint."""
    with account(ministack, str(next(_ACCOUNTS))):
        yield ministack
