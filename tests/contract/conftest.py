"""Every model service in processes of its own, for all contract tests of a session."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import emulator, models
from local.models import ModelStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStack]:
    started = models.start_stack(_two_ports(), Path(tmp_path_factory.mktemp("models")), pace_ms=5)
    yield started
    started.stop()


def _two_ports() -> int:
    while True:
        port = emulator.free_port()
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port + 1))
            return port
