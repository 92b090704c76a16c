"""Every alarm is explained in the runbook, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from local.emulator import ROOT
from tests.infra.conftest import Synthesized


def test_every_alarm_is_in_the_runbook(synthesized: Callable[[str], Synthesized]) -> None:
    alarms = {re.sub(r"[0-9A-F]{8}$", "", each.id) for each in synthesized("prod").of("AWS::CloudWatch::Alarm")}
    rows = re.search(r"\| alarm \|.*?\n\n", (ROOT / "docs/runbook.md").read_text(), re.DOTALL)
    assert rows
    explained = re.findall(r"^\| `([*\w]+)`", rows[0], re.MULTILINE)
    assert [alarm for alarm in alarms if not any(fnmatchcase(alarm, each) for each in explained)] == []
    assert [each for each in explained if not any(fnmatchcase(alarm, each) for alarm in alarms)] == []
