"""The index that a site answers from: which it is, and back to the one before."""

from __future__ import annotations

from dataclasses import asdict

from noren.clock import iso
from noren.edge.http import Access, Call, Route
from noren.knowledge.models import IndexPointer
from noren.sites.models import Site
from noren.tenants.models import Role
from platform_api.schemas_train import IndexOut

INDEX = "/api/v1/sites/{site_id}/index"
UNTRAINED = IndexOut(
    version=0, built_at=None, documents=0, chunks=0, languages=[], embedding_model="", can_roll_back=False
)


def get_index(call: Call) -> IndexOut:
    """What the site answers from."""
    return _index(call.services.training.index(_site(call)))


def roll_back(call: Call) -> IndexOut:
    """Answer from the version before again."""
    return _index(call.services.training.roll_back(_site(call)))


def _site(call: Call) -> Site:
    return call.services.sites.get(call.tenant_id, call.params["site_id"])


def _index(each: IndexPointer | None) -> IndexOut:
    if each is None:
        return UNTRAINED
    built = {"built_at": iso(each.built_at), "can_roll_back": each.previous is not None}
    return IndexOut.model_validate(asdict(each) | built)


ROUTES = (
    Route(
        "GET",
        INDEX,
        get_index,
        Access(role=Role.VIEWER, scope="read"),
        "The index that a site answers from",
        IndexOut,
    ),
    Route(
        "POST",
        f"{INDEX}/rollback",
        roll_back,
        Access(role=Role.EDITOR, scope="train"),
        "Have a site answer from the version before again, till the next training; a second time undoes it",
        IndexOut,
        idempotent=True,
        before=get_index,
    ),
)
