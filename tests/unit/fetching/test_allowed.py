"""What a local run may fetch of its own machine, and nobody else."""

from __future__ import annotations

import pytest

from noren.settings import Settings


def test_a_local_run_names_hosts_and_ports() -> None:
    settings = Settings(stage="local", fetch_allow="localhost:8086, 127.0.0.1:8086,")
    assert settings.fetch_allowed == {("localhost", 8086), ("127.0.0.1", 8086)}
    assert not Settings(stage="local").fetch_allowed


@pytest.mark.parametrize("stage", ["dev", "staging", "prod", "", "LOCAL"])
def test_other_stages_allow_nothing_whatever_is_set(stage: str) -> None:
    assert not Settings(stage=stage, fetch_allow="127.0.0.1:8086").fetch_allowed
