"""The CDK app: a stage's settings become its stacks. `cdk deploy --all -c stage=dev|staging|prod`."""

from __future__ import annotations

import os
from typing import Any

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

import config
from stacks.data import DataStack
from stacks.firewall import FirewallStack
from stacks.identity import IdentityStack
from stacks.inference import InferenceStack
from stacks.local import has
from stacks.observability import ObservabilityStack
from stacks.platform_api import PlatformApiStack
from stacks.web import PageStack, WebStack, WidgetStack
from stacks.workers import WorkersStack


def build(**app_options: Any) -> App:
    """The app of the stage that the context names. Raises ValueError if there is no such stage."""
    app = App(**app_options)
    stage = config.load(app.node.try_get_context("stage"), app.node.try_get_context)
    account = os.environ.get("CDK_DEFAULT_ACCOUNT")
    common: dict[str, Any] = {
        "env": Environment(account=account, region=stage.region),
        "termination_protection": stage.retain,
    }

    web = WebStack(app, stage, **common) if has(stage, "web") else None
    console_url = web.url if web else stage.endpoints.console_url
    acl = FirewallStack(app, stage, **common).arn if stage.waf and has(stage, "web_acl") else ""

    data = DataStack(app, stage, console_url=console_url, **common)
    identity = IdentityStack(app, stage, data=data, console_url=console_url, web_acl_arn=acl, **common)
    serving: dict[str, Any] = {"data": data, "identity": identity, "console_url": console_url, "web_acl_arn": acl}
    inference = InferenceStack(app, stage, **serving, **common)
    platform = PlatformApiStack(app, stage, inference_url=inference.url, **serving, **common)
    workers = WorkersStack(app, stage, data=data, console_url=console_url, **common)

    if web:
        platform.add_stack_dependency(WidgetStack(app, stage, web=web, **common))
        addresses = {"platform_url": platform.proxy.url, "inference_url": inference.url}
        login = {"login_url": identity.login_url, "client_id": identity.client.user_pool_client_id}
        PageStack(app, stage, web=web, **addresses, **login, **common)
    if has(stage, "observability"):
        functions = [*identity.functions, *inference.functions, *platform.functions, *workers.functions]
        apis = {"platform": platform.proxy.api, "inference": inference.proxy.api}
        ObservabilityStack(app, stage, data=data, functions=functions, apis=apis, **common)

    for name, value in {"stage": stage.name, "service": "noren", "cost-centre": stage.cost_centre}.items():
        Tags.of(app).add(name, value)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    return app


if __name__ == "__main__":
    build().synth()
