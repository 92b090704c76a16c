"""The `noren` command. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing by that name, 4 not set up or not up."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import date

from noren.cli import doctor
from noren.cli.deployment import STAGES, connect
from noren.cli.output import CliError, show

CAUSES = ("manual", "security", "billing", "quota")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="noren", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, for scripts")
    stage = argparse.ArgumentParser(add_help=False, parents=[common])
    stage.add_argument("--stage", choices=STAGES, default="local", help="which deployment (default: the local run)")
    stage.add_argument("--region", default="ap-northeast-1", help="its AWS region")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    commands.add_parser("doctor", parents=[common], help="what is missing on this machine and how to get it")
    commands.add_parser("up", help="run the whole platform on this machine (make run)")
    commands.add_parser("reset", help="forget all local data (make reset)")

    commands.add_parser("seed", parents=[stage], help="give a new stage its catalogue: plans, models, rates, packages")
    commands.add_parser("smoke", parents=[stage], help="after a deployment: does the main job work from outside?")
    commands.add_parser("sweep", parents=[stage], help="release the holds of killed processes now")
    each = commands.add_parser(
        "reconcile", parents=[stage], help="does every account agree with what it was made from?"
    )
    each.add_argument("--tenant", help="this one alone: its id, or a part of its name or billing address")

    tenant = commands.add_parser("tenant", help="look at a tenant, stop it, let it go on")
    acts = tenant.add_subparsers(dest="act", required=True, metavar="show|suspend|resume")
    for act, text in (("show", "plan, stops, use"), ("suspend", "set a stop"), ("resume", "lift a stop")):
        each = acts.add_parser(act, parents=[stage], help=text)
        each.add_argument("tenant", help="its id, or a part of its name or billing address")
        if act != "show":
            each.add_argument("--cause", choices=CAUSES, default="manual", help="each cause stands alone")
        if act == "suspend":
            each.add_argument("--reason", required=True, help="for the audit and for colleagues")

    usage = commands.add_parser("usage", help="summaries of usage")
    acts = usage.add_subparsers(dest="act", required=True, metavar="rebuild")
    each = acts.add_parser("rebuild", parents=[stage], help="count the records again, compare, mend what differs")
    each.add_argument("--tenant", help="this one alone: its id, or a part of its name or billing address")
    each.add_argument("--from", dest="first", type=_day, metavar="DAY", help="2026-11-01 (default: all that is kept)")
    each.add_argument("--to", dest="last", type=_day, metavar="DAY", help="2026-11-30 (default: today)")

    secrets = commands.add_parser("secrets", help="keys of model services")
    acts = secrets.add_subparsers(dest="act", required=True, metavar="set")
    each = acts.add_parser("set", parents=[stage], help="store a key, read from standard input")
    from noren.cli.commands import PAYMENT_KEYS, PROVIDER_KEYS
    from noren.cli.deployment import QUEUES

    each.add_argument("name", choices=(*PROVIDER_KEYS, *PAYMENT_KEYS))
    each.add_argument("--remove", action="store_true", help="remove it instead")

    billing = commands.add_parser("billing", help="Stripe")
    acts = billing.add_subparsers(dest="act", required=True, metavar="sync")
    each = acts.add_parser("sync", parents=[stage], help="derive tenants from Stripe anew; tells what was different")
    each.add_argument("--tenant", help="this one alone: its id, or a part of its name or billing address")

    queue = commands.add_parser("queue", help="dead letters")
    acts = queue.add_subparsers(dest="act", required=True, metavar="redrive")
    each = acts.add_parser("redrive", parents=[stage], help="move dead letters back to their queue")
    each.add_argument("queue", choices=QUEUES)
    each.add_argument("--per-second", type=_positive, default=5.0, help="at most that many (default 5)")
    each.add_argument("--limit", type=int, help="no more than that many in all")

    worker = commands.add_parser("worker", help="GPU workers on RunPod")
    acts = worker.add_subparsers(dest="act", required=True, metavar="deploy")
    each = acts.add_parser("deploy", parents=[stage], help="create or update the endpoints")
    each.add_argument("--image", required=True, help="the worker's container image")
    each.add_argument("--dry-run", action="store_true", help="only tell what would change")
    return top


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("a day is written like 2026-11-30") from None


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("between 0 and 1000")
    return value


def run(options: argparse.Namespace) -> int:
    """Carry a parsed command out; its exit code. Raises CliError."""
    from noren.cli import commands

    if options.command == "doctor":
        return doctor.main(as_json=options.json)
    if options.command in ("up", "reset"):
        command = commands.make(options.command)
        os.execvp(command[0], command)  # noqa: S606 (fixed words)
    if options.command == "worker":
        key = os.environ.get("RUNPOD_API_KEY", "")
        deployment = None if key else connect(options.stage, options.region)
        made = commands.deploy_workers(
            deployment, key, stage=options.stage, image=options.image, dry_run=options.dry_run
        )
        show(made, as_json=options.json)
        return 0
    if options.command == "smoke":
        from noren.cli import smoke

        return smoke.main(connect(options.stage, options.region), as_json=options.json)
    if options.command == "usage":
        from noren.cli import usage

        deployment = connect(options.stage, options.region)
        return usage.main(deployment, options.tenant, options.first, options.last, as_json=options.json)
    if options.command in ("seed", "sweep"):
        act = commands.seed if options.command == "seed" else commands.sweep
        result = act(connect(options.stage, options.region))
    elif options.command == "reconcile":
        result = commands.reconcile(connect(options.stage, options.region), options.tenant)
    elif options.command == "secrets":
        value = None if options.remove else commands.read_secret(options.name)
        result = commands.set_secret(connect(options.stage, options.region), options.name, value)
    elif options.command == "billing":
        result = commands.sync_billing(connect(options.stage, options.region), options.tenant)
    elif options.command == "queue":
        deployment = connect(options.stage, options.region)
        result = commands.redrive(deployment, options.queue, options.per_second, options.limit)
    else:
        deployment = connect(options.stage, options.region)
        match options.act:
            case "show":
                result = commands.show_tenant(deployment, options.tenant)
            case "suspend":
                result = commands.suspend(deployment, options.tenant, options.cause, options.reason)
            case _:
                result = commands.resume(deployment, options.tenant, options.cause)
    show(result, as_json=options.json)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except CliError as error:
        print(f"noren: {error}", file=sys.stderr)
        return error.code
    except ModuleNotFoundError as error:
        print(f"noren: {error.name} is not installed: run `make setup` first.", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
