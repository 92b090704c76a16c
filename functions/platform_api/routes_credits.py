"""Credit packages and standing orders."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from noren.billing.models import Package
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, listed
from noren.tenants.models import Role, Tenant
from platform_api import schemas_credits as c

ADMIN = Access(platform_admin=True)
RETRACTABLE = ("valid_from", "valid_until", "valid_days")
"""Fields in which null means something."""


def packages(call: Call) -> c.PackagesOut:
    """What the tenant may buy, in its currency."""
    tenant = call.services.tenants.get(call.tenant_id)
    return c.PackagesOut(items=[_offer(call, each, tenant) for each in call.services.packages.offered(tenant)])


def patch_auto_purchase(call: Call) -> c.AutoPurchaseOut:
    """Change the standing order."""
    given = call.body.model_dump(exclude_none=True)
    changed = call.services.auto_purchases.put(call.tenant_id, given, call.caller.principal)
    return c.AutoPurchaseOut.model_validate(changed)


def auto_purchase_before(call: Call) -> c.AutoPurchaseOut:
    """The standing order as it was."""
    return c.AutoPurchaseOut.model_validate(call.services.auto_purchases.get(call.tenant_id))


def list_packages(call: Call) -> Page[c.AdminPackageOut]:
    """All packages, deleted ones for 30 days."""
    return listed(call, "/api/v1/admin/packages", call.services.packages.listed(), _package)


def create_package(call: Call) -> c.AdminPackageOut:
    """A new package."""
    return _package(call.services.packages.create(call.body.model_dump(), call.caller.principal))


def patch_package(call: Call) -> c.AdminPackageOut:
    """Change a package."""
    sent = call.body.model_dump(exclude_unset=True)
    given = {name: value for name, value in sent.items() if value is not None or name in RETRACTABLE}
    return _package(call.services.packages.change(_id(call), given, call.caller.principal))


def delete_package(call: Call) -> Response:
    """Take a package away."""
    call.services.packages.delete(_id(call), call.caller.principal)
    return Response(status=204)


def restore_package(call: Call) -> c.AdminPackageOut:
    """Bring a deleted package back."""
    return _package(call.services.packages.restore(_id(call), call.caller.principal))


def package_before(call: Call) -> c.AdminPackageOut:
    """The package as it was."""
    return _package(call.services.packages.get(_id(call), or_restorable=True))


def _id(call: Call) -> str:
    return call.params["package_id"]


def _package(each: Package) -> c.AdminPackageOut:
    return c.AdminPackageOut.model_validate(asdict(each) | {"plans": sorted(each.plans)})


def _offer(call: Call, each: Package, tenant: Tenant) -> c.PackageOut:
    plain: dict[str, Any] = asdict(each) | {
        "price": {"amount": each.prices[tenant.currency], "currency": tenant.currency},
        "valid_days": call.services.packages.valid_days(each),
    }
    return c.PackageOut.model_validate(plain)


ROUTES = (
    Route(
        "GET",
        "/api/v1/credits/packages",
        packages,
        Access(role=Role.VIEWER, scope="read"),
        "Credit packages for the tenant's plan, in its currency",
        answer=c.PackagesOut,
        rate="analytics",
    ),
    Route(
        "PATCH",
        "/api/v1/credits/auto-purchase",
        patch_auto_purchase,
        Access(role=Role.OWNER),
        "Have credits bought when they run low",
        c.AutoPurchaseOut,
        c.AutoPurchasePatch,
        before=auto_purchase_before,
    ),
    Route(
        "GET",
        "/api/v1/admin/packages",
        list_packages,
        ADMIN,
        "All credit packages, newest first",
        answer=Page[c.AdminPackageOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/admin/packages",
        create_package,
        ADMIN,
        "Offer a credit package",
        c.AdminPackageOut,
        c.PackageIn,
        status=201,
        idempotent=True,
    ),
    Route(
        "PATCH",
        "/api/v1/admin/packages/{package_id}",
        patch_package,
        ADMIN,
        "Change a credit package",
        c.AdminPackageOut,
        c.PackagePatch,
        before=package_before,
    ),
    Route(
        "DELETE",
        "/api/v1/admin/packages/{package_id}",
        delete_package,
        ADMIN,
        "Take a credit package away; it can be restored for 30 days",
        status=204,
        before=package_before,
    ),
    Route(
        "POST",
        "/api/v1/admin/packages/{package_id}/restore",
        restore_package,
        ADMIN,
        "Bring a deleted credit package back",
        c.AdminPackageOut,
        idempotent=True,
        before=package_before,
    ),
)
