"""Every rule of cdk-nag that we answer instead of follow, with the reason, next to nothing else."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

_RULES = "AwsSolutions-"

AUTHENTICATES = "Tokens, API keys and visitors are verified in the function: a gateway authorizer knows only JWTs"


def managed_policy(name: str) -> str:
    """The finding that one of AWS's service-role policies is in use."""
    return f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/{name}]"


def acknowledge(scope: IConstruct, reasons: dict[str, str]) -> None:
    """Answer findings on `scope` and below: rule (or `rule[finding]`) to reason."""
    Validations.of(scope).acknowledge(
        *(Acknowledgment(id=_RULES + rule, reason=reason) for rule, reason in reasons.items())
    )


def acknowledge_runtime(function: IConstruct) -> None:
    """Which Python the functions run on is the house's decision."""
    acknowledge(function, {"L1": "Python 3.13 is what the lock files are resolved for and the tests run on"})


def acknowledge_snap_start(function: IConstruct) -> None:
    """CDK can't see that `PythonFunction` publishes versions."""
    rule = "@aws-cdk/aws-lambda:snapStartRequirePublish"
    Validations.of(function).acknowledge(Acknowledgment(id=rule, reason="The alias `live` is a published version"))


def acknowledge_tracing(role: IConstruct) -> None:
    """X-Ray's write actions know no resource."""
    acknowledge(
        role, {"IAM5[Resource::*]": "xray:PutTraceSegments and PutTelemetryRecords have no resource-level form"}
    )


def acknowledge_code_deploy(group: IConstruct) -> None:
    """CodeDeploy's service role is AWS's own."""
    acknowledge(
        group,
        {
            managed_policy("AWSCodeDeployRoleForLambdaLimited"): (
                "AWS's own, already limited, role for shifting Lambda aliases"
            )
        },
    )
