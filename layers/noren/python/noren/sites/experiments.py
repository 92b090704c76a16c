"""A/B tests: sessions are spread over versions of one profile, until one of them is promoted.

An experiment that runs never changes, so that a session stays in its arm: other weights are another experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noren.clock import Clock
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId, is_id, new_id
from noren.sites.prompt_models import Arm, Experiment, ExperimentStatus, Profile
from noren.sites.prompt_store import PromptStore
from noren.sites.prompts import Prompts

MOST_AT_ONCE = 20
"""Experiments of a tenant that run or were started within `AT_ONCE_SECONDS`. A month's summary of a site holds the sums
of all their arms, so there has to be a bound."""
AT_ONCE_SECONDS = 31 * 86400
MOST_ARMS = 5


class Experiments:
    """A tenant's experiments. What they came to is reckoned in `noren.insight.experiment_results`."""

    def __init__(self, store: PromptStore, prompts: Prompts, clock: Clock) -> None:
        self._store, self._prompts, self._clock = store, prompts, clock

    def listed(self, tenant_id: TenantId) -> list[Experiment]:
        """All of them, the newest first."""
        return list(self._store.experiments(tenant_id))

    def get(self, tenant_id: TenantId, experiment_id: str) -> Experiment:
        """The experiment as it is now. Raises NotFound."""
        found = self._store.experiment(tenant_id, experiment_id) if is_id(experiment_id, "exp") else None
        if found is None:
            raise NotFound("There is no such experiment")
        return found

    def ratings(self, experiment: Experiment) -> dict[str, dict[int, int]]:
        """How often each arm's answers are rated 1 to 5 now."""
        return self._store.ratings(experiment.tenant_id, experiment.experiment_id)

    def create(self, tenant_id: TenantId, profile_id: str, name: str, arms: Sequence[Arm], actor: str) -> Experiment:
        """A draft. Raises NotFound for the profile, Unprocessable for arms that don't fit."""
        profile = self._prompts.get(tenant_id, profile_id)
        if not 2 <= len(arms) <= MOST_ARMS or len({arm.arm for arm in arms}) != len(arms):
            raise Unprocessable(f"An experiment has two to {MOST_ARMS} arms, each with a name of its own.")
        for arm in arms:
            if not 1 <= arm.version <= profile.latest:
                raise Unprocessable(f"The profile has no version {arm.version}.", code="no_such_version")
        now = self._clock()
        made = Experiment(new_id("exp", now), tenant_id, profile_id, name, tuple(arms), now, actor, now, actor)
        self._write(made)
        return made

    def start(self, tenant_id: TenantId, experiment_id: str, actor: str) -> Experiment:
        """Begin to spread sessions; in force everywhere within 30 s.

        Raises NotFound, Conflict where another experiment runs on the profile, Unprocessable where there are too many.
        """
        experiment = self.get(tenant_id, experiment_id)
        self._check_status(experiment, "draft")
        profile = self._prompts.get(tenant_id, experiment.profile_id)
        if profile.experiment_id:
            raise Conflict(
                "Another experiment runs on this profile: stop it first.",
                code="experiment_running",
                experiment_id=profile.experiment_id,
            )
        since = self._clock() - AT_ONCE_SECONDS
        started = (each for each in self._store.experiments(tenant_id) if each.started_at is not None)
        recent = sum(each.status == "running" or (each.started_at or 0) > since for each in started)
        if recent >= MOST_AT_ONCE:
            raise Unprocessable(f"At most {MOST_AT_ONCE} experiments can be started within 31 days.", code="too_many")
        running = self._next(experiment, actor, status="running", started_at=self._clock())
        self._write(running, self._prompts.next_of(profile, actor, experiment_id=experiment_id, arms=experiment.arms))
        return running

    def stop(self, tenant_id: TenantId, experiment_id: str, actor: str) -> Experiment:
        """End it: the published version is told to everybody again. Raises NotFound, Conflict."""
        experiment = self.get(tenant_id, experiment_id)
        self._check_status(experiment, "running")
        stopped = self._next(experiment, actor, status="stopped", ended_at=self._clock())
        self._write(stopped, self._freed(experiment, actor))
        return stopped

    def promote(self, tenant_id: TenantId, experiment_id: str, arm: str, actor: str) -> Experiment:
        """Publish an arm's version, and end the experiment if it still runs.

        Raises NotFound, Conflict while another experiment runs on the profile, Unprocessable for an unknown arm.
        """
        experiment = self.get(tenant_id, experiment_id)
        self._check_status(experiment, "running", "stopped")
        chosen = next((each for each in experiment.arms if each.arm == arm), None)
        if chosen is None:
            raise Unprocessable("The experiment has no such arm.", code="no_such_arm")
        if experiment.status == "running":
            profile = self._freed(experiment, actor)
        else:
            profile = self._prompts.next_of(self._prompts.get(tenant_id, experiment.profile_id), actor)
        made = self._prompts.version(tenant_id, experiment.profile_id, chosen.version)
        note = f"Arm {arm} of the experiment {experiment.name}"
        ended_at = experiment.ended_at or self._clock()
        promoted = self._next(experiment, actor, status="promoted", ended_at=ended_at, promoted_arm=arm)
        self._write(promoted, self._prompts.published(profile, made, note, actor))
        return promoted

    def _freed(self, experiment: Experiment, actor: str) -> Profile:
        """The profile without the experiment that runs on it, on paper."""
        profile = self._prompts.get(experiment.tenant_id, experiment.profile_id)
        return self._prompts.next_of(profile, actor, experiment_id="", arms=())

    def _next(self, experiment: Experiment, actor: str, **given: Any) -> Experiment:
        now = self._clock()
        return replace(experiment, **given, updated_at=now, updated_by=actor, revision=experiment.revision + 1)

    @staticmethod
    def _check_status(experiment: Experiment, *fitting: ExperimentStatus) -> None:
        if experiment.status not in fitting:
            raise Conflict(f"The experiment is {experiment.status}, not {' or '.join(fitting)}.", code="wrong_status")

    def _write(self, experiment: Experiment, *profiles: Profile) -> None:
        if not self._store.write(experiment, *profiles):
            raise Conflict("Somebody else has changed this experiment or its profile. Load it again, then repeat.")
        for profile in profiles:
            self._prompts.forget(profile)
