"""Prompt profiles and experiments as the API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from noren.insight.experiment_results import Metric, Verdict
from noren.sites.experiments import MOST_ARMS
from noren.sites.prompt_models import ExperimentStatus, UseFor
from noren.sites.widget import Plain
from platform_api.schemas import Answer, Body, Line

MAX_BODY = 400_000
"""Bytes: every text at its longest, each of its characters written as a pair of escapes."""


def _unix(text: str) -> str:
    """Lines end alike wherever they were typed, or every line would differ from what it was."""
    return text.replace("\r\n", "\n")


Text = Annotated[str, AfterValidator(_unix)]
Number = Annotated[int, Field(ge=1, le=99_999_999)]
ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,19}$"), Field(examples=["B"])]

# What the documents show as examples
ProfileId = Annotated[str, Field(examples=["prof_019ab2c4d5e67f8091a2b3c4d5e6f708"])]
ExperimentId = Annotated[str, Field(examples=["exp_019ab2c4d5e67f8091a2b3c4d5e6f708"])]
ProfileName = Annotated[str, Field(examples=["Shop"])]
ExperimentName = Annotated[str, Field(examples=["Shorter answers"])]
SystemPrompt = Annotated[Text, Field(examples=["Answer as the staff of our shop: kindly, and in three sentences."])]
Guardrail = Annotated[Text, Field(examples=["Never promise a discount."])]
GREETING = "いらっしゃいませ。何かお探しですか？"
Greeting = Annotated[str, Field(examples=[GREETING])]
Facts = Annotated[Text, Field(examples=["Open from 9:00 to 17:00, closed on Mondays."])]
Temperature = Annotated[float, Field(examples=[0.4])]
MaxTokens = Annotated[int, Field(examples=[800])]
Note = Annotated[str, Field(examples=["Shorter answers, as guests asked for"])]
Person = Annotated[str, Field(examples=["user:7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11"])]
Time = Annotated[str, Field(examples=["2026-11-20T03:00:00Z"])]
Name = Annotated[str, Field(examples=["B"])]
NoteIn = Annotated[Note, Field(max_length=500)]
ARMS = [{"arm": "A", "version": 1, "weight": 70}, {"arm": "B", "version": 2, "weight": 30}]


class ContentIn(Body):
    """What an assistant is told. Members left out, or null, stay as they are in the version before."""

    system_prompt: Annotated[SystemPrompt, Field(max_length=8_000)] | None = None
    guardrail_prompt: Annotated[Guardrail, Field(max_length=2_000)] | None = None
    """Stands after everything else that is told, also where a client brings instructions of its own."""
    greeting_message: Annotated[Plain, Field(max_length=500, examples=[GREETING])] | None = None
    """What a widget greets with, unless the site's `welcome_message` says something else."""
    facts: Annotated[Facts, Field(max_length=20_000)] | None = None
    """What the assistant may rely on: data, never instructions."""
    temperature: Annotated[Temperature, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[MaxTokens, Field(ge=1, le=4_000)] | None = None
    """Of an answer, within what the plan allows."""

    def given(self) -> dict[str, Any]:
        """What was sent."""
        return self.model_dump(exclude_none=True)


class ProfileIn(Body):
    """A new profile; its first version is published at once. What `content` leaves out is as we think best."""

    profile_name: Annotated[Line, Field(examples=["Shop"])]
    use_for: UseFor = "site"
    content: ContentIn = Field(default_factory=ContentIn)
    note: NoteIn = ""


class ProfilePatch(Body):
    """What changes; members left out, or null, stay. What the assistant is told is saved as a version."""

    profile_name: Annotated[Line, Field(examples=["Shop"])] | None = None
    use_for: UseFor | None = None


class VersionIn(Body):
    """A new version, made of the latest one (`base_version`: its number, as you loaded it) and `content`.

    It is a draft unless `publish` is true.
    """

    base_version: Number
    content: ContentIn
    note: NoteIn = ""
    publish: bool = False


class PublishIn(Body):
    """The version to put in force."""

    version: Number
    note: NoteIn = ""


class RollbackIn(Body):
    """The earlier version to put in force again; null for the one that was before."""

    version: Number | None = None
    note: NoteIn = ""


class DiffQuery(BaseModel):
    """Two versions of one profile."""

    model_config = ConfigDict(extra="forbid")

    from_: Number = Field(alias="from")
    to: Number


class ContentOut(Answer):
    """What an assistant is told."""

    system_prompt: SystemPrompt
    guardrail_prompt: Guardrail
    greeting_message: Greeting
    facts: Facts
    temperature: Temperature
    max_tokens: MaxTokens


class VersionRow(Answer):
    """A version in a list."""

    version: int
    note: Note
    updated_by: Person
    updated_at: str
    is_published: bool


class VersionOut(VersionRow):
    """A version: never changed after it was saved."""

    content: ContentOut


class ProfileRow(Answer):
    """A profile in a list."""

    profile_id: ProfileId
    profile_name: ProfileName
    use_for: UseFor
    published_version: int
    """The one in force."""
    latest_version: int
    rollback_version: int | None
    """Where a rollback leads; null where no other version was in force before."""
    publish_note: Note
    published_at: Time
    published_by: Person
    experiment_id: ExperimentId | None
    """The experiment that runs on it."""
    created_at: Time
    created_by: Person
    updated_at: Time
    updated_by: Person
    deleted_at: Time | None
    deleted_by: Person


class ProfileOut(ProfileRow):
    """A prompt profile; `content` is what its published version says."""

    content: ContentOut


class DiffLine(Answer):
    """A line that one version has, or both."""

    kind: Literal["add", "remove", "same"]
    text: Annotated[str, Field(examples=["Open from 9:00 to 17:00, closed on Mondays."])]


class DiffHunk(Answer):
    """Changes that lie together, with lines around them; it begins at these lines (from 1) of either version."""

    from_line: int
    to_line: int
    lines: list[DiffLine]


class DiffField(Answer):
    """A field that differs. Numbers are shown as lines."""

    field: Annotated[str, Field(examples=["facts"])]
    hunks: list[DiffHunk]


class DiffOut(Answer):
    """What one has to do to version `from` to get version `to`. Fields that don't differ are left out."""

    profile_id: ProfileId
    from_: int = Field(serialization_alias="from")
    to: int
    fields: list[DiffField]


# Experiments


class ArmIn(Body):
    """A choice, and its share of the sessions: its weight by the sum of all weights."""

    arm: ArmName
    version: Number
    weight: Annotated[int, Field(ge=1, le=1_000)]


class ExperimentIn(Body):
    """A draft. The first arm is what the others are compared with."""

    profile_id: Annotated[ProfileId, Field(max_length=80)]
    name: Annotated[Line, Field(examples=["Shorter answers"])]
    arms: Annotated[list[ArmIn], Field(min_length=2, max_length=MOST_ARMS, examples=[ARMS])]


class PromoteIn(Body):
    """The arm whose version is published."""

    arm: ArmName


class ArmOut(Answer):
    """A choice."""

    arm: Name
    version: int
    weight: Annotated[int, Field(examples=[30])]


class ExperimentOut(Answer):
    """An A/B test between versions of one profile."""

    experiment_id: ExperimentId
    profile_id: ProfileId
    name: ExperimentName
    status: ExperimentStatus
    arms: Annotated[list[ArmOut], Field(examples=[ARMS])]
    started_at: Time | None
    ended_at: Time | None
    promoted_arm: Name | None
    created_at: Time
    created_by: Person
    updated_at: Time
    updated_by: Person


class IntervalOut(Answer):
    """An estimate and its interval."""

    value: Annotated[float, Field(examples=[0.3])]
    low: Annotated[float, Field(examples=[0.1])]
    high: Annotated[float, Field(examples=[0.5])]


class FigureOut(Answer):
    """A mean or share of `count` observations at 95 %; `estimate` is null where there are too few."""

    metric: Metric
    count: int
    estimate: IntervalOut | None


class ArmResultOut(ArmOut):
    """What an arm came to. Costs are in USD, `good` is the share of ratings of 4 and 5.

    `answers` are those that came to their end: times and costs are theirs. `failures` is a share of `requests`.
    """

    requests: int
    answers: int
    sessions: int
    """Those whose first question a model answered in this arm."""
    figures: list[FigureOut]


class ComparisonOut(Answer):
    """How an arm differs from the first one. It is `better` or `worse` only where the interval leaves out 0."""

    metric: Metric
    arm: Name
    compared_with: Annotated[str, Field(examples=["A"])]
    verdict: Verdict
    difference: IntervalOut | None
    text: Annotated[str, Field(examples=["B's rating is better than A's by 0.30 (0.10 to 0.50)."])]
    """The verdict in words."""


class ResultsOut(Answer):
    """The sums so far. Intervals take answers for independent; decide beforehand when you will look at them."""

    arms: list[ArmResultOut]
    confidence: Annotated[float, Field(examples=[0.95])]
    """Of each comparison: higher with more than two arms, so that all of them together hold with 95 %."""
    comparisons: list[ComparisonOut]


class ExperimentDetail(ExperimentOut):
    """An experiment with what it has shown."""

    results: ResultsOut
