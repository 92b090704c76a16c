"""Which models answer, in which order."""

from __future__ import annotations

import dataclasses

import pytest

from noren.errors import Busy, Forbidden
from noren.llm.models import Message, Prompt
from noren.llm.routes import Route, fit, plan_route
from noren.llm.tokens import prompt_tokens
from noren.plans.models import Tier
from tests.unit.llm.scripted import CLAUDE, GPT, MISTRAL, PHI3, entitlement


def chain(route: Route) -> list[tuple[str, bool]]:
    return [(step.policy.id, step.degraded) for step in route.steps]


@pytest.mark.parametrize(
    ("tier", "model", "expected"),
    [
        ("free", None, [("phi-3-mini", False)]),
        ("paid", None, [("mistral-7b", False), ("phi-3-mini", True)]),
        ("paid", "phi-3-mini", [("phi-3-mini", False), ("mistral-7b", False)]),
        ("vip", None, [("claude", False), ("gpt", False), ("mistral-7b", True)]),
        ("vip", "gpt", [("gpt", False), ("claude", False), ("mistral-7b", True)]),
        ("vip", "vendor/gpt", [("gpt", False), ("claude", False), ("mistral-7b", True)]),
        ("vip", "Mistral-7B", [("mistral-7b", False), ("claude", False), ("gpt", False), ("phi-3-mini", True)]),
    ],
)
def test_chains(tier: Tier, model: str | None, expected: list[tuple[str, bool]]) -> None:
    route = plan_route(entitlement(tier), model)
    assert chain(route) == expected
    assert route.reason == ("requested" if model else "default")


def test_order_of_the_catalogue_does_not_matter() -> None:
    one = plan_route(entitlement("vip", CLAUDE, GPT, MISTRAL, PHI3))
    other = plan_route(entitlement("vip", PHI3, MISTRAL, GPT, CLAUDE))
    assert chain(one) == chain(other)


def test_a_model_of_another_plan_is_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        plan_route(entitlement("free"), "claude")
    assert refused.value.code == "model_not_in_plan"


def test_disabled_and_embedding_policies_are_no_choice() -> None:
    off = dataclasses.replace(PHI3, enabled=False)
    embedding = dataclasses.replace(PHI3, id="embed", type="embedding")
    with pytest.raises(Busy):
        plan_route(entitlement("free", off, embedding))


def test_fit_drops_oldest_turns_and_keeps_system_and_question() -> None:
    turns = tuple(Message("user" if i % 2 == 0 else "assistant", f"turn {i} " + "word " * 80) for i in range(8))
    whole = Prompt((Message("system", "rules"), *turns, Message("user", "the question")), 200, 0.7)
    fitted = fit(whole, 700)
    assert fitted is not None
    assert fitted.messages[0].content == "rules"
    assert fitted.messages[-1].content == "the question"
    assert 2 < len(fitted.messages) < len(whole.messages)
    assert [message.role for message in fitted.messages[1::2]] == ["user"] * (len(fitted.messages) // 2)
    assert prompt_tokens(fitted.messages) + fitted.max_tokens <= 700
    assert fit(whole, 100_000) == whole
    assert fit(whole, 100) is None


def test_fit_shortens_the_answer_before_it_gives_up() -> None:
    whole = Prompt((Message("system", "word " * 600), Message("user", "q")), 1000, 0.7)
    fitted = fit(whole, prompt_tokens(whole.messages) + 300)
    assert fitted is not None
    assert 128 <= fitted.max_tokens < 300
