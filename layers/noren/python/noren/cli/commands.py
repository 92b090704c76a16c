"""What the subcommands do on a deployed stage. Each returns what is shown."""

from __future__ import annotations

import getpass
import json
import re
import sys
import time
from dataclasses import asdict
from typing import Any, Literal, cast, get_args

from noren.cli.deployment import ROOT, Deployment
from noren.cli.output import MISSING, CliError, progress, progress_done
from noren.clock import iso
from noren.ids import TenantId, is_id
from noren.tenants.models import Stop, Tenant

PROVIDER_KEYS = ("openai_api_key", "anthropic_api_key", "runpod_api_key", "local_llm_api_key")
PAYMENT_KEYS = ("stripe_secret_key", "stripe_webhook_secret")


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _tenant(deployment: Deployment, wanted: str) -> Tenant:
    """The one tenant that an id, or a part of a name or billing address, leads to."""
    from noren.errors import NotFound

    tenants = deployment.services.tenants
    if is_id(wanted, "ten"):
        try:
            return tenants.fresh(TenantId(wanted))
        except NotFound:
            raise CliError(f"There is no tenant {wanted}.", MISSING) from None
    found, position = tenants.search(wanted, "", 20, None)
    while not found and position:
        found, position = tenants.search(wanted, "", 20, position)
    if not found:
        raise CliError(f"No tenant's name or address holds {wanted!r}.", MISSING)
    if len(found) > 1 or position:
        names = "\n".join(f"  {each.tenant_id}  {each.name}  {each.billing_email}" for each in found)
        raise CliError(f"Several tenants hold {wanted!r}; name one by its id:\n{names}")
    return found[0]


def show_tenant(deployment: Deployment, wanted: str) -> dict[str, Any]:
    """A tenant, its stops and what it has used."""
    tenant = _tenant(deployment, wanted)
    standing = deployment.services.ledger.standing(tenant.tenant_id)
    return {
        "tenant_id": tenant.tenant_id,
        "name": tenant.name,
        "plan": tenant.plan,
        "plan_status": tenant.plan_status,
        "created_at": iso(tenant.created_at),
        "billing_email": tenant.billing_email,
        "timezone": tenant.timezone,
        "stops": sorted(tenant.stops),
        "overrides": tenant.overrides,
        "admits": standing.active,
        "chats": f"{standing.chats_used} of {standing.chats_limit}",
        "resets_at": iso(standing.resets_at),
        "open_holds": standing.open_holds,
        "concurrency": standing.concurrency,
    }


def suspend(deployment: Deployment, wanted: str, cause: str, reason: str) -> dict[str, Any]:
    """Set one stop."""
    tenant = _tenant(deployment, wanted)
    after = deployment.services.tenants.stop(tenant.tenant_id, _cause(cause), reason, _actor())
    _record(deployment, "noren tenant suspend", cause, tenant, after)
    return show_tenant(deployment, tenant.tenant_id)


def resume(deployment: Deployment, wanted: str, cause: str) -> dict[str, Any]:
    """Lift one stop; others stay."""
    tenant = _tenant(deployment, wanted)
    if cause not in tenant.stops:
        raise CliError(
            f"{tenant.tenant_id} has no stop `{cause}` (it has: {', '.join(sorted(tenant.stops)) or 'none'})."
        )
    after = deployment.services.tenants.lift(tenant.tenant_id, _cause(cause), _actor())
    _record(deployment, "noren tenant resume", cause, tenant, after)
    return show_tenant(deployment, tenant.tenant_id)


def _record(deployment: Deployment, action: str, cause: str, before: Tenant, after: Tenant) -> None:
    """An operator's change goes into the tenant's audit trail like everybody's."""

    def view(tenant: Tenant) -> dict[str, Any]:
        return {"stops": tenant.extra["stop_causes"], "stop_mode": tenant.stop_mode}

    deployment.services.audit.write(
        tenant_id=after.tenant_id,
        actor=_actor(),
        by_platform=True,
        action=action,
        entity_type="stops",
        entity_id=cause,
        before=view(before),
        after=view(after),
    )


def _cause(name: str) -> Stop:
    assert name in get_args(Stop)
    return cast(Stop, name)


def seed(deployment: Deployment) -> dict[str, Any]:
    """Give a new stage its catalogue (plans, models, rates, packages) and the tenant that visitors chat under."""
    services = deployment.services
    added = services.plans.seed() + services.packages.seed()
    return {"catalogue rows added": added, "platform tenant": services.tenants.ensure_platform().tenant_id}


def sweep(deployment: Deployment) -> dict[str, Any]:
    """Settle or release the holds that killed processes left, now instead of within five minutes."""
    return asdict(deployment.services.ledger.sweep_all())


def reconcile(deployment: Deployment, wanted: str | None) -> dict[str, Any]:
    """Compare every figure of one tenant's account, or of all, with what it was made from. Repairs nothing.

    Raises CliError where figures differ.
    """
    reconciler = deployment.services.reconciler
    if wanted:
        found = reconciler.examine(_tenant(deployment, wanted).tenant_id)
        accounts = 1
    else:
        report = reconciler.examine_all()
        found, accounts = list(report.differences), report.accounts
        if report.failures:
            raise CliError(f"{report.failures} of {report.accounts} accounts could not be read; see the log above.")
    if found:
        listed = "\n".join(f"  {each}" for each in found)
        raise CliError(f'{len(found)} figures differ (docs/runbook.md, "The books differ", says what to do):\n{listed}')
    return {"accounts": accounts, "differences": 0}


def sync_billing(deployment: Deployment, wanted: str | None) -> dict[str, Any]:
    """Derive one tenant from Stripe anew, or all that have a customer; what was different is put right and told."""
    sync = deployment.services.billing_sync
    if wanted:
        tenant = _tenant(deployment, wanted)
        return {"tenants": 1, "differences": sync.one(tenant.tenant_id)}
    report = sync.all()
    if report.failures:
        raise CliError(f"{report.failures} of {report.tenants} tenants could not be compared; see the log above.")
    return {"tenants": report.tenants, "differences": report.differences}


def read_secret(name: str) -> str:
    """A secret from standard input: typed unseen at a terminal, else its first line.

    Never an argument, which `ps` and the shell's history show. Raises CliError for what can't be a key.
    """
    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline()
    value = value.strip()
    if not value or not re.fullmatch(r"[!-~]{8,512}", value):
        raise CliError("That is no key: 8 to 512 printable ASCII characters without spaces.")
    return value


def set_secret(deployment: Deployment, name: str, value: str | None) -> dict[str, Any]:
    """Store a vendor's key (None removes it); the other keys stay. Functions see it within 5 minutes."""
    import boto3

    client = boto3.client("secretsmanager")
    names = PAYMENT_KEYS if name in PAYMENT_KEYS else PROVIDER_KEYS
    arn = deployment["PaymentSecret" if name in PAYMENT_KEYS else "ProviderSecret"]
    held = json.loads(client.get_secret_value(SecretId=arn).get("SecretString") or "{}")
    if value is None:
        held.pop(name, None)
    else:
        held[name] = value
    client.put_secret_value(SecretId=arn, SecretString=json.dumps(held))
    return {key: "set" if held.get(key) else "not set" for key in names}


def redrive(deployment: Deployment, queue: str, per_second: float, limit: int | None) -> dict[str, Any]:
    """Move dead letters back to their queue, at most `per_second`; a message leaves there only once it is back.

    Not more than lay there at the start: what fails again is not moved in circles.
    """
    import boto3

    client = boto3.client("sqs")
    url = deployment[f"Queue{queue.title()}"]
    policy = client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    dead_name = json.loads(policy["RedrivePolicy"])["deadLetterTargetArn"].rsplit(":", 1)[1]
    dead = client.get_queue_url(QueueName=dead_name)["QueueUrl"]
    count = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    waiting = int(count["ApproximateNumberOfMessages"])
    wanted = waiting if limit is None else min(limit, waiting)
    moved = 0
    started = time.monotonic()
    while moved < wanted:
        batch = client.receive_message(
            QueueUrl=dead,
            MaxNumberOfMessages=min(10, wanted - moved),
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not batch:
            break
        for message in batch:
            client.send_message(
                QueueUrl=url,
                MessageBody=message["Body"],
                MessageAttributes=cast(Any, message.get("MessageAttributes", {})),
            )
            client.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
            progress(f"{moved} of {wanted} moved")
            time.sleep(max(0.0, started + moved / per_second - time.monotonic()))
    progress_done()
    return {"queue": queue, "moved": moved, "left": waiting - moved}


def deploy_workers(
    deployment: Deployment | None, api_key: str, *, stage: str, image: str, dry_run: bool
) -> list[dict[str, Any]]:
    """Bring RunPod to what `workers/runpod/endpoints.toml` says; the stage's own key where none is given."""
    from noren.cli import worker_deploy

    key = api_key or (deployment.services.secrets.provider_key("runpod_api_key") if deployment else "")
    if not key:
        raise CliError("No RunPod key: set RUNPOD_API_KEY, or `noren secrets set runpod_api_key`.")
    try:
        config = worker_deploy.load(ROOT / "workers" / "runpod" / "endpoints.toml")
        done = worker_deploy.deploy(key, config, stage=stage, image=image, dry_run=dry_run)
    except (ValueError, worker_deploy.DeployError) as error:
        raise CliError(str(error)) from None
    return [asdict(each) for each in done]


Command = Literal["up", "reset"]


def make(command: Command) -> list[str]:
    """The `make` call that a command stands for."""
    return ["make", "-C", str(ROOT), {"up": "run", "reset": "reset"}[command]]
