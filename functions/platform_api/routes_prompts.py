"""Prompt profiles and their versions; experiments that compare them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from noren.clock import iso
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, listed, paged
from noren.ids import TenantId
from noren.insight.experiment_results import ArmResult, Comparison, Results
from noren.insight.intervals import Interval
from noren.sites.prompt_models import Arm, Experiment, Profile, Version
from noren.sites.prompts import version_number
from noren.tenants.models import Role
from platform_api import schemas_prompts as p
from platform_api.views import when

READ = Access(role=Role.VIEWER, scope="read")
CHANGE = Access(role=Role.EDITOR, scope="admin")
SAVED_PER_HOUR = 240
"""Profiles, versions and experiments that a tenant saves: they are kept for good."""


# Profiles


def list_profiles(call: Call) -> Page[p.ProfileRow]:
    """Profiles, deleted ones for 30 days."""
    return listed(call, "/api/v1/prompts", call.services.sites.prompts.listed(call.tenant_id), _row)


def create_profile(call: Call) -> p.ProfileOut:
    """A new profile."""
    body: p.ProfileIn = call.body
    _count(call)
    made = call.services.sites.prompts.create(
        call.tenant_id, body.profile_name, body.use_for, body.content.given(), body.note, call.caller.principal
    )
    return _profile(made)


def get_profile(call: Call) -> p.ProfileOut:
    """One profile, as it is now."""
    return _profile(call.services.sites.prompts.get(*_which(call)))


def profile_before(call: Call) -> p.ProfileOut:
    """The profile as it was."""
    return _profile(call.services.sites.prompts.get(*_which(call), or_restorable=True))


def patch_profile(call: Call) -> p.ProfileOut:
    """Change name or use."""
    given = call.body.model_dump(exclude_none=True)
    return _profile(call.services.sites.prompts.change(*_which(call), given, call.caller.principal))


def delete_profile(call: Call) -> Response:
    """Take a profile away that nobody uses."""
    call.services.sites.prompts.delete(*_which(call), call.caller.principal)
    return Response(status=204)


def restore_profile(call: Call) -> p.ProfileOut:
    """Bring a deleted profile back."""
    return _profile(call.services.sites.prompts.restore(*_which(call), call.caller.principal))


# Versions


def list_versions(call: Call) -> Page[p.VersionRow]:
    """A profile's versions."""
    prompts = call.services.sites.prompts

    def read(limit: int, position: dict[str, str] | None) -> tuple[list[p.VersionRow], dict[str, str] | None]:
        profile = prompts.get(*_which(call))
        found, following = prompts.versions(profile, limit, int(position["before"]) if position else None)
        rows = [p.VersionRow.model_validate(_version_row(each, profile.published)) for each in found]
        return rows, {"before": str(following)} if following else None

    items, following = paged(call, f"/api/v1/prompts/{call.params['profile_id']}/versions", read)
    return Page(items=items, next_cursor=following)


def save_version(call: Call) -> p.VersionOut:
    """Save what is to be told."""
    body: p.VersionIn = call.body
    _count(call)
    made = call.services.sites.prompts.save(
        *_which(call), body.base_version, body.content.given(), body.note, call.caller.principal, publish=body.publish
    )
    return _version(made, made.version if body.publish else 0)


def get_version(call: Call) -> p.VersionOut:
    """One version with its content."""
    prompts = call.services.sites.prompts
    profile = prompts.get(*_which(call))
    return _version(prompts.version(*_which(call), version_number(call.params["version"])), profile.published)


def diff(call: Call) -> p.DiffOut:
    """What differs between two versions."""
    before, after = call.query.from_, call.query.to
    found = call.services.sites.prompts.diff(*_which(call), before, after)
    fields = [p.DiffField.model_validate(asdict(each)) for each in found]
    return p.DiffOut(profile_id=call.params["profile_id"], from_=before, to=after, fields=fields)


def publish(call: Call) -> p.ProfileOut:
    """Put a version in force."""
    prompts, body = call.services.sites.prompts, call.body
    return _profile(prompts.publish(*_which(call), body.version, body.note, call.caller.principal))


def rollback(call: Call) -> p.ProfileOut:
    """Put an earlier version in force again."""
    prompts, body = call.services.sites.prompts, call.body
    return _profile(prompts.rollback(*_which(call), body.version, body.note, call.caller.principal))


# Experiments


def list_experiments(call: Call) -> Page[p.ExperimentOut]:
    """Experiments in every state."""
    rows = call.services.sites.experiments.listed(call.tenant_id)
    return listed(call, "/api/v1/experiments", rows, _experiment)


def create_experiment(call: Call) -> p.ExperimentOut:
    """A draft."""
    body: p.ExperimentIn = call.body
    _count(call)
    arms = [Arm(each.arm, each.version, each.weight) for each in body.arms]
    made = call.services.sites.experiments.create(
        call.tenant_id, body.profile_id, body.name, arms, call.caller.principal
    )
    return _experiment(made)


def get_experiment(call: Call) -> p.ExperimentDetail:
    """An experiment with its results."""
    found = call.services.sites.experiments.get(*_experiment_id(call))
    results = _results(call.services.experiment_results.of(found))
    return p.ExperimentDetail(**_experiment(found).model_dump(), results=results)


def experiment_before(call: Call) -> p.ExperimentOut:
    """The experiment as it was."""
    return _experiment(call.services.sites.experiments.get(*_experiment_id(call)))


def start(call: Call) -> p.ExperimentOut:
    """Begin to spread sessions."""
    return _experiment(call.services.sites.experiments.start(*_experiment_id(call), call.caller.principal))


def stop(call: Call) -> p.ExperimentOut:
    """Tell everybody the published version again."""
    return _experiment(call.services.sites.experiments.stop(*_experiment_id(call), call.caller.principal))


def promote(call: Call) -> p.ExperimentOut:
    """Publish an arm's version."""
    experiments = call.services.sites.experiments
    return _experiment(experiments.promote(*_experiment_id(call), call.body.arm, call.caller.principal))


# Views


def _count(call: Call) -> None:
    call.services.limiter.check(f"prompts#{call.tenant_id}", SAVED_PER_HOUR, 3600)


def _which(call: Call) -> tuple[TenantId, str]:
    return call.tenant_id, call.params["profile_id"]


def _experiment_id(call: Call) -> tuple[TenantId, str]:
    return call.tenant_id, call.params["experiment_id"]


def _row(each: Profile) -> p.ProfileRow:
    return p.ProfileRow.model_validate(_plain(each))


def _profile(each: Profile) -> p.ProfileOut:
    return p.ProfileOut.model_validate(_plain(each))


def _plain(each: Profile) -> dict[str, Any]:
    return asdict(each) | {
        "published_version": each.published,
        "latest_version": each.latest,
        "rollback_version": each.earlier[-1] if each.earlier else None,
        "experiment_id": each.experiment_id or None,
        "published_at": iso(each.published_at),
        "created_at": iso(each.created_at),
        "updated_at": iso(each.updated_at),
        "deleted_at": when(each.deleted_at),
    }


def _version(each: Version, published: int) -> p.VersionOut:
    return p.VersionOut.model_validate(_version_row(each, published))


def _version_row(each: Version, published: int) -> dict[str, Any]:
    return asdict(each) | {"updated_at": iso(each.updated_at), "is_published": each.version == published}


def _experiment(each: Experiment) -> p.ExperimentOut:
    times = {name: when(getattr(each, name)) for name in ("started_at", "ended_at", "created_at", "updated_at")}
    return p.ExperimentOut.model_validate(asdict(each) | times | {"promoted_arm": each.promoted_arm or None})


def _results(each: Results) -> p.ResultsOut:
    return p.ResultsOut(
        arms=[_arm(arm) for arm in each.arms],
        confidence=each.confidence,
        comparisons=[_comparison(one) for one in each.comparisons],
    )


def _arm(each: ArmResult) -> p.ArmResultOut:
    figures = [
        p.FigureOut(metric=metric, count=each.counts[metric], estimate=_interval(found))
        for metric, found in each.figures.items()
    ]
    plain = {name: getattr(each, name) for name in ("arm", "version", "weight", "requests", "answers", "sessions")}
    return p.ArmResultOut(**plain, figures=figures)


def _comparison(each: Comparison) -> p.ComparisonOut:
    difference = _interval(each.difference)
    return p.ComparisonOut.model_validate(
        {"difference": difference}
        | {name: getattr(each, name) for name in ("metric", "arm", "compared_with", "verdict", "text")}
    )


def _interval(each: Interval | None) -> p.IntervalOut | None:
    """Six digits: more would claim what no estimate knows."""
    if each is None:
        return None
    return p.IntervalOut(**{name: float(f"{value:.6g}") for name, value in each._asdict().items()})


PROFILE = "/api/v1/prompts/{profile_id}"
EXPERIMENT = "/api/v1/experiments/{experiment_id}"

ROUTES = (
    Route(
        "GET",
        "/api/v1/prompts",
        list_profiles,
        READ,
        "Prompt profiles, newest first",
        answer=Page[p.ProfileRow],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/prompts",
        create_profile,
        CHANGE,
        "Make a prompt profile; its first version is published",
        p.ProfileOut,
        p.ProfileIn,
        status=201,
        idempotent=True,
        max_body=p.MAX_BODY,
    ),
    Route("GET", PROFILE, get_profile, READ, "A prompt profile with its published version", p.ProfileOut),
    Route(
        "PATCH",
        PROFILE,
        patch_profile,
        CHANGE,
        "Rename a prompt profile, or change what it is for",
        p.ProfileOut,
        p.ProfilePatch,
        before=profile_before,
    ),
    Route(
        "DELETE",
        PROFILE,
        delete_profile,
        CHANGE,
        "Delete a prompt profile that no site uses; it can be restored for 30 days",
        status=204,
        before=profile_before,
    ),
    Route(
        "POST",
        f"{PROFILE}/restore",
        restore_profile,
        CHANGE,
        "Bring a deleted prompt profile back",
        p.ProfileOut,
        idempotent=True,
        before=profile_before,
    ),
    Route(
        "GET",
        f"{PROFILE}/versions",
        list_versions,
        READ,
        "A profile's versions, newest first",
        answer=Page[p.VersionRow],
        query=PageQuery,
    ),
    Route(
        "POST",
        f"{PROFILE}/versions",
        save_version,
        CHANGE,
        "Save a version, as a draft or published",
        p.VersionOut,
        p.VersionIn,
        status=201,
        idempotent=True,
        max_body=p.MAX_BODY,
    ),
    Route("GET", f"{PROFILE}/versions/{{version}}", get_version, READ, "A version with its content", p.VersionOut),
    Route("GET", f"{PROFILE}/diff", diff, READ, "What differs between two versions", p.DiffOut, query=p.DiffQuery),
    Route(
        "POST",
        f"{PROFILE}/publish",
        publish,
        CHANGE,
        "Put a version in force, everywhere within 30 s",
        p.ProfileOut,
        p.PublishIn,
        idempotent=True,
        before=profile_before,
    ),
    Route(
        "POST",
        f"{PROFILE}/rollback",
        rollback,
        CHANGE,
        "Put an earlier version in force again, everywhere within 30 s",
        p.ProfileOut,
        p.RollbackIn,
        idempotent=True,
        before=profile_before,
    ),
    Route(
        "GET",
        "/api/v1/experiments",
        list_experiments,
        READ,
        "A/B tests, newest first",
        answer=Page[p.ExperimentOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/experiments",
        create_experiment,
        CHANGE,
        "Plan an A/B test between versions of a profile",
        p.ExperimentOut,
        p.ExperimentIn,
        status=201,
        idempotent=True,
    ),
    Route(
        "GET",
        EXPERIMENT,
        get_experiment,
        READ,
        "An A/B test with its results",
        p.ExperimentDetail,
        rate="analytics",
    ),
    Route(
        "POST",
        f"{EXPERIMENT}/start",
        start,
        CHANGE,
        "Begin to spread sessions over the arms",
        p.ExperimentOut,
        idempotent=True,
        before=experiment_before,
    ),
    Route(
        "POST",
        f"{EXPERIMENT}/stop",
        stop,
        CHANGE,
        "End an A/B test; the published version is told to everybody again",
        p.ExperimentOut,
        idempotent=True,
        before=experiment_before,
    ),
    Route(
        "POST",
        f"{EXPERIMENT}/promote",
        promote,
        CHANGE,
        "Publish an arm's version, and end the A/B test",
        p.ExperimentOut,
        p.PromoteIn,
        idempotent=True,
        before=experiment_before,
    ),
)
