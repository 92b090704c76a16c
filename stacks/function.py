"""The only place that makes a Lambda function: runtime, layers, logs, tracing, alias, canary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from config import Stage
from stacks import nag
from stacks.bundling import dependency_layer, domain_layer, function_code
from stacks.local import has

RETENTION = {
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
}


class Layers(Construct):
    """The two layers, once a stack: a layer shared across stacks would leave its users behind when it changes."""

    def __init__(self, scope: Construct, stage: Stage) -> None:
        super().__init__(scope, "Layers")
        runtimes = [lambda_.Runtime.PYTHON_3_13]
        self.all = [
            lambda_.LayerVersion(
                self, "Dependencies", code=dependency_layer(stage), compatible_runtimes=runtimes, description="Packages"
            ),
            lambda_.LayerVersion(
                self, "Domain", code=domain_layer(stage), compatible_runtimes=runtimes, description="The noren package"
            ),
        ]

        self._runtimes, self._stage = runtimes, stage

    def payments(self) -> lambda_.LayerVersion:
        """Stripe's SDK, for the few functions that call it."""
        found = self.node.try_find_child("Payments")
        if isinstance(found, lambda_.LayerVersion):
            return found
        code = dependency_layer(self._stage, "stripe")
        return lambda_.LayerVersion(
            self, "Payments", code=code, compatible_runtimes=self._runtimes, description="Stripe's SDK"
        )

    def extracting(self) -> lambda_.LayerVersion:
        """What reads pages and files, for the function that trains."""
        found = self.node.try_find_child("Extracting")
        if isinstance(found, lambda_.LayerVersion):
            return found
        code = dependency_layer(self._stage, "extract")
        return lambda_.LayerVersion(
            self, "Extracting", code=code, compatible_runtimes=self._runtimes, description="Readers of pages and files"
        )

    @staticmethod
    def of(scope: Construct, stage: Stage) -> Layers:
        """The layers of the stack that `scope` belongs to."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child("Layers")
        return found if isinstance(found, Layers) else Layers(stack, stage)


class PythonFunction(Construct):
    """One function of `functions/<name>`. `function` takes the grants, `target` is what events and APIs call.

    `memory` and `disk` are in MiB; with SnapStart there is no larger disk to be had.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        environment: Mapping[str, str],
        timeout: Duration,
        memory: int = 1024,
        disk: int = 512,
        handler: str = "",
        snap_start: bool = False,
        reserved_concurrency: int | None = None,
        payments: bool = False,
        extracting: bool = False,
        extra_layers: tuple[lambda_.ILayerVersion, ...] = (),
    ) -> None:
        super().__init__(scope, "".join(part.title() for part in name.split("_")))
        self.name = name
        self.timeout = timeout
        arm = not stage.is_local
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=RETENTION[stage.log_days],
            removal_policy=RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "Role", assumed_by=cast(iam.IPrincipal, iam.ServicePrincipal("lambda.amazonaws.com")))
        log_group.grant_write(role)
        layers = Layers.of(self, stage)
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"Noren {name} ({stage.name})",
            code=function_code(name),
            handler=handler or f"{name}.main.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64 if arm else None,
            layers=[
                *layers.all,
                *([layers.payments()] if payments else []),
                *([layers.extracting()] if extracting else []),
                *extra_layers,
            ],
            role=cast(iam.IRole, role),
            memory_size=memory,
            ephemeral_storage_size=Size.mebibytes(disk) if disk != 512 else None,
            timeout=timeout,
            environment={
                "STAGE": stage.name,
                **{key: value for key, value in environment.items() if value},
            },
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
            reserved_concurrent_executions=reserved_concurrency,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
        )
        nag.acknowledge_runtime(self.function)
        nag.acknowledge_tracing(role)
        if snap_start:
            nag.acknowledge_snap_start(self.function)
        self.target: lambda_.IFunction = self.function
        if has(stage, "versions"):
            self.target = self._alias(stage)

    def _alias(self, stage: Stage) -> lambda_.Alias:
        """The published version that is live; with a canary, CodeDeploy moves it and an alarm moves it back."""
        alias = lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
        if stage.canary and has(stage, "code_deploy"):
            alarm = cloudwatch.Alarm(
                self,
                "CanaryErrors",
                alarm_description=f"{self.name}: a new version fails, it is rolled back",
                metric=alias.metric_errors(period=Duration.minutes(1)),
                threshold=1,
                evaluation_periods=1,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            group = codedeploy.LambdaDeploymentGroup(
                self,
                "Canary",
                alias=alias,
                deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
                alarms=[alarm],
            )
            nag.acknowledge_code_deploy(group)
        return alias
