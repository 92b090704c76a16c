"""Prompts in memory: what `noren.sites.prompt_store` does in a table, with the same refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from noren.ids import TenantId
from noren.sites.experiments import Experiments
from noren.sites.models import Site
from noren.sites.prompt_models import Content, Experiment, Profile, Version
from noren.sites.prompt_store import PromptStore
from noren.sites.prompts import Prompts

TENANT = TenantId("ten_" + "1" * 32)


class Ticks:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Memory:
    """Meets `PromptStore`. Rows are immutable, so that what is kept can't be changed from outside."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], Profile | Version | Experiment] = {}
        self.reads = 0
        self._lock = threading.Lock()

    def write(self, *rows: Profile | Version | Experiment) -> bool:
        with self._lock:
            for row in rows:
                there, revision = self.rows.get(key(row)), 1 if isinstance(row, Version) else row.revision
                known = 0 if there is None else 1 if isinstance(there, Version) else there.revision
                if known != revision - 1:
                    return False
            self.rows.update({key(row): row for row in rows})
            return True

    def profile(self, tenant_id: TenantId, profile_id: str) -> Profile | None:
        self.reads += 1
        found = self.rows.get((tenant_id, profile_id))
        return found if isinstance(found, Profile) else None

    def profiles(self, tenant_id: TenantId) -> list[Profile]:
        found = (row for row in self.rows.values() if isinstance(row, Profile) and row.tenant_id == tenant_id)
        return [replace(row, content=Content()) for row in found]

    def version(self, tenant_id: TenantId, profile_id: str, number: int) -> Version | None:
        self.reads += 1
        found = self.rows.get((tenant_id, profile_id, number))
        return found if isinstance(found, Version) else None

    def versions(self, tenant_id: TenantId, profile_id: str, last: int, limit: int) -> list[Version]:
        numbers = range(last, max(0, last - limit), -1)
        found = (self.rows[tenant_id, profile_id, number] for number in numbers)
        return [replace(row, content=Content()) for row in found if isinstance(row, Version)]

    def experiment(self, tenant_id: TenantId, experiment_id: str) -> Experiment | None:
        found = self.rows.get((tenant_id, experiment_id))
        return found if isinstance(found, Experiment) else None

    def experiments(self, tenant_id: TenantId) -> Iterator[Experiment]:
        found = (row for row in self.rows.values() if isinstance(row, Experiment) and row.tenant_id == tenant_id)
        return iter(sorted(found, key=lambda each: each.experiment_id, reverse=True))


def key(row: Profile | Version | Experiment) -> tuple[Any, ...]:
    match row:
        case Version():
            return row.tenant_id, row.profile_id, row.version
        case Profile():
            return row.tenant_id, row.profile_id
        case Experiment():
            return row.tenant_id, row.experiment_id


class World:
    """A tenant's prompts, as one process or several see them."""

    def __init__(self) -> None:
        self.clock = Ticks()
        self.memory = Memory()
        self.store = cast(PromptStore, self.memory)
        self.sites: list[Site] = []
        self.prompts = self.process()
        self.experiments = Experiments(self.store, self.prompts, self.clock)

    def process(self) -> Prompts:
        """Another process's prompts, with nothing remembered."""
        return Prompts(self.store, lambda _: self.sites, self.clock)

    def create(self, name: str = "Shop", **content: Any) -> Profile:
        return self.prompts.create(TENANT, name, "site", content, "", "user:1")

    def save(self, profile: Profile, *, publish: bool = False, **content: Any) -> Version:
        latest = self.prompts.get(TENANT, profile.profile_id).latest
        return self.prompts.save(TENANT, profile.profile_id, latest, content, "", "user:1", publish=publish)

    def site(self, profile: Profile, name: str = "Aoi", **changes: Any) -> None:
        """A site that answers by the profile."""
        number = len(self.sites)
        self.sites.append(Site(f"site_{number:032x}", TENANT, name, profile.profile_id, self.clock(), **changes))
