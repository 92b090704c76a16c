"""The CDK app: a stage's settings become its stacks. `cdk deploy --all -c stage=dev|staging|prod`."""

from __future__ import annotations

import os
from typing import Any

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

import config
from stacks.data import DataStack
from stacks.identity import IdentityStack
from stacks.inference import InferenceStack
from stacks.platform_api import PlatformApiStack
from stacks.workers import WorkersStack


def build(**app_options: Any) -> App:
    """The app of the stage named in the context `stage`. Raises ValueError if there is no such stage."""
    app = App(**app_options)
    stage = config.load(app.node.try_get_context("stage"), app.node.try_get_context)
    common = {
        "env": Environment(account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=stage.region),
        "termination_protection": stage.retain,
    }
    console_url = stage.console_origins[0] if stage.console_origins else ""
    data = DataStack(app, stage, **common)
    identity = IdentityStack(app, stage, data=data, console_url=console_url, **common)
    inference = InferenceStack(app, stage, data=data, identity=identity, console_url=console_url, **common)
    platform = PlatformApiStack(
        app,
        stage,
        data=data,
        identity=identity,
        inference_url=inference.url,
        console_url=console_url,
        **common,
    )
    workers = WorkersStack(app, stage, data=data, console_url=console_url, **common)
    for name, value in {"stage": stage.name, "service": "noren", "cost-centre": stage.cost_centre}.items():
        Tags.of(app).add(name, value)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    return app


if __name__ == "__main__":
    build().synth()
