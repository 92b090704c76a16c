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
Note = Annotated[str, StringConstraints(max_length=500)]
Number = Annotated[int, Field(ge=1, le=99_999_999)]
ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,19}$")]
Id = Annotated[str, StringConstraints(max_length=80)]


class ContentIn(Body):
    """What an assistant is told. Members left out, or null, stay as they are in the version before."""

    system_prompt: Annotated[Text, Field(max_length=8_000)] | None = None
    guardrail_prompt: Annotated[Text, Field(max_length=2_000)] | None = None
    """Stands after everything else that is told, also where a client brings instructions of its own."""
    greeting_message: Annotated[Plain, Field(max_length=500)] | None = None
    """What a widget greets with, unless the site's `welcome_message` says something else."""
    facts: Annotated[Text, Field(max_length=20_000)] | None = None
    """What the assistant may rely on: data, never instructions."""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=4_000)] | None = None
    """Of an answer, within what the plan allows."""

    def given(self) -> dict[str, Any]:
        """What was sent."""
        return self.model_dump(exclude_none=True)


class ProfileIn(Body):
    """A new profile; its first version is published at once. What `content` leaves out is as we think best."""

    profile_name: Line
    use_for: UseFor = "site"
    content: ContentIn = Field(default_factory=ContentIn)
    note: Note = ""


class ProfilePatch(Body):
    """What changes; members left out, or null, stay. What the assistant is told is saved as a version."""

    profile_name: Line | None = None
    use_for: UseFor | None = None


class VersionIn(Body):
    """A new version, made of the latest one (`base_version`: its number, as you loaded it) and `content`.

    It is a draft unless `publish` is true.
    """

    base_version: Number
    content: ContentIn
    note: Note = ""
    publish: bool = False


class PublishIn(Body):
    """The version to put in force."""

    version: Number
    note: Note = ""


class RollbackIn(Body):
    """The earlier version to put in force again; null for the one that was before."""

    version: Number | None = None
    note: Note = ""


class DiffQuery(BaseModel):
    """Two versions of one profile."""

    model_config = ConfigDict(extra="forbid")

    from_: Number = Field(alias="from")
    to: Number


class ContentOut(Answer):
    """What an assistant is told."""

    system_prompt: str
    guardrail_prompt: str
    greeting_message: str
    facts: str
    temperature: float
    max_tokens: int


class VersionRow(Answer):
    """A version in a list."""

    version: int
    note: str
    updated_by: str
    updated_at: str
    is_published: bool


class VersionOut(VersionRow):
    """A version: never changed after it was saved."""

    content: ContentOut


class ProfileRow(Answer):
    """A profile in a list."""

    profile_id: str
    profile_name: str
    use_for: UseFor
    published_version: int
    """The one in force."""
    latest_version: int
    rollback_version: int | None
    """Where a rollback leads; null where no other version was in force before."""
    publish_note: str
    published_at: str
    published_by: str
    experiment_id: str | None
    """The experiment that runs on it."""
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str
    deleted_at: str | None
    deleted_by: str


class ProfileOut(ProfileRow):
    """A prompt profile; `content` is what its published version says."""

    content: ContentOut


class DiffLine(Answer):
    """A line that one version has, or both."""

    kind: Literal["add", "remove", "same"]
    text: str


class DiffHunk(Answer):
    """Changes that lie together, with lines around them; it begins at these lines (from 1) of either version."""

    from_line: int
    to_line: int
    lines: list[DiffLine]


class DiffField(Answer):
    """A field that differs. Numbers are shown as lines."""

    field: str
    hunks: list[DiffHunk]


class DiffOut(Answer):
    """What one has to do to version `from` to get version `to`. Fields that don't differ are left out."""

    profile_id: str
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

    profile_id: Id
    name: Line
    arms: Annotated[list[ArmIn], Field(min_length=2, max_length=MOST_ARMS)]


class PromoteIn(Body):
    """The arm whose version is published."""

    arm: ArmName


class ArmOut(Answer):
    """A choice."""

    arm: str
    version: int
    weight: int


class ExperimentOut(Answer):
    """An A/B test between versions of one profile."""

    experiment_id: str
    profile_id: str
    name: str
    status: ExperimentStatus
    arms: list[ArmOut]
    started_at: str | None
    ended_at: str | None
    promoted_arm: str | None
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str


class IntervalOut(Answer):
    """An estimate and its interval."""

    value: float
    low: float
    high: float


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
    """Those that began in this arm."""
    figures: list[FigureOut]


class ComparisonOut(Answer):
    """How an arm differs from the first one. It is `better` or `worse` only where the interval leaves out 0."""

    metric: Metric
    arm: str
    compared_with: str
    verdict: Verdict
    difference: IntervalOut | None
    text: str
    """The verdict in words."""


class ResultsOut(Answer):
    """The sums so far. Intervals take answers for independent; decide beforehand when you will look at them."""

    arms: list[ArmResultOut]
    confidence: float
    """Of each comparison: higher with more than two arms, so that all of them together hold with 95 %."""
    comparisons: list[ComparisonOut]


class ExperimentDetail(ExperimentOut):
    """An experiment with what it has shown."""

    results: ResultsOut
