"""Prompt profiles, their versions, and experiments that compare versions. Times are epoch seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from noren.ids import TenantId

UseFor = Literal["site", "chat", "summary", "voice"]
ExperimentStatus = Literal["draft", "running", "stopped", "promoted"]


@dataclass(frozen=True, slots=True)
class Content:
    """What an assistant is told before a question."""

    system_prompt: str = ""
    guardrail_prompt: str = ""
    greeting_message: str = ""
    facts: str = ""
    """What the assistant may rely on; goes into prompts as delimited data, never as instructions."""
    temperature: float = 0.7
    max_tokens: int = 1000


@dataclass(frozen=True, slots=True)
class Version:
    """One save of a profile: never changed, numbered from 1 without gaps."""

    tenant_id: TenantId
    profile_id: str
    version: int
    content: Content
    note: str
    updated_at: float
    updated_by: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One of an experiment's choices. It gets `weight` of the weights' sum of all sessions."""

    arm: str
    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A prompt profile. `published` is the version in force, `content` what that version says."""

    profile_id: str
    tenant_id: TenantId
    profile_name: str
    use_for: UseFor
    published: int
    latest: int
    content: Content
    created_at: float
    created_by: str
    updated_at: float
    updated_by: str
    published_at: float
    published_by: str
    publish_note: str = ""
    earlier: tuple[int, ...] = ()
    """Versions that were in force before, the last one at the end: where a rollback leads."""
    experiment_id: str = ""
    """The experiment that runs on it, "" for none; `arms` are its choices."""
    arms: tuple[Arm, ...] = ()
    deleted_at: float | None = None
    deleted_by: str = ""
    revision: int = 1
    """Of this record: two people who change it at once are told apart by it."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An A/B test between versions of one profile. Once it runs, nothing of it changes but its end."""

    experiment_id: str
    tenant_id: TenantId
    profile_id: str
    name: str
    arms: tuple[Arm, ...]
    created_at: float
    created_by: str
    updated_at: float
    updated_by: str
    status: ExperimentStatus = "draft"
    started_at: float | None = None
    ended_at: float | None = None
    promoted_arm: str = ""
    revision: int = 1


@dataclass(frozen=True, slots=True)
class ActivePrompt:
    """What one chat is told, and by which version and arm, for its usage record."""

    profile_id: str
    version: int
    content: Content
    experiment_id: str = ""
    arm: str = ""


@dataclass(frozen=True, slots=True)
class InForce:
    """A profile as chats see it: its published version, or the arms of the experiment that runs on it."""

    published: ActivePrompt
    experiment_id: str = ""
    arms: Sequence[Arm] = ()
    contents: dict[int, Content] = field(default_factory=dict)
    """What the arms' versions say."""

    def for_session(self, key: str) -> ActivePrompt:
        """What the session of that key is told: always the same while an experiment runs."""
        if not self.arms:
            return self.published
        chosen = assigned(self.experiment_id, key, self.arms)
        content = self.contents[chosen.version]
        return ActivePrompt(self.published.profile_id, chosen.version, content, self.experiment_id, chosen.arm)


def assigned(experiment_id: str, key: str, arms: Sequence[Arm]) -> Arm:
    """The arm of a session: by a hash of both, so that it sticks without being stored, whoever asks.

    The experiment is part of what is hashed: who was in one's first arm is no likelier to be in another's.
    """
    digest = hashlib.blake2b(f"{experiment_id}\n{key}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") * sum(arm.weight for arm in arms) >> 64
    for arm in arms:
        if point < arm.weight:
            return arm
        point -= arm.weight
    raise AssertionError("the point lies below the weights' sum")
