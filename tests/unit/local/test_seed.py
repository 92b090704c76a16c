"""The demo tenants' widgets: settings that the product takes, and questions that their own facts answer."""

from __future__ import annotations

import pytest

from local.seed import FACTS, PLANS, WIDGETS
from noren.llm.answerer import answer
from noren.llm.models import Message
from noren.sites.widget import Widget

ANSWERS = {
    "free": ("10", "2-14-3", "10"),
    "starter": ("900円", "200 yen", "900엔"),
    "pro": ("15시", "8:00", "15時"),
    "enterprise": ("29,800円", "seven days", "29,800엔"),
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_demo_widget_suggests_what_its_assistant_can_answer(plan: str) -> None:
    widget = Widget.model_validate(WIDGETS[plan])
    facts = Message("system", f"<facts>\n{FACTS[plan][1]}\n</facts>")
    for question, said in zip(widget.suggested_questions, ANSWERS[plan], strict=True):
        assert said in answer([facts, Message("user", question)]), question
