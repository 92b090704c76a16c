"""What an operator looks at: one dashboard; and with the stage option `alarms`, what wakes somebody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_apigateway as apigw
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from config import Stage
from stacks.data import DataStack
from stacks.function import PythonFunction

MINUTES = Duration.minutes(5)
NAMESPACE = "Noren"
"""Of the metrics that the functions write as log lines (`noren/metrics.py`)."""
REASONS = ("chats", "credits", "debt", "site_day", "concurrency", "rate", "stopped", "contention")
"""Why a chat is not admitted."""


class ObservabilityStack(Stack):
    """Dashboard and alarms. No metric has a tenant dimension: that would be priced per tenant."""

    def __init__(
        self,
        scope: Construct,
        stage: Stage,
        *,
        data: DataStack,
        functions: Sequence[PythonFunction],
        apis: dict[str, apigw.RestApi],
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Observability", **kwargs)
        self._dashboard(stage, data, functions, apis)
        if not stage.alarms:
            return
        self._topic = sns.Topic(
            self,
            "Alarms",
            display_name=f"Noren {stage.name}",
            master_key=cast(kms.IKey, data.key),
            enforce_ssl=True,
        )
        CfnOutput(self, "AlarmTopic", value=self._topic.topic_arn)
        if stage.alarm_email:
            self._topic.add_subscription(
                cast(sns.ITopicSubscription, subscriptions.EmailSubscription(stage.alarm_email))
            )
        self._own_alarms(stage)
        for made in functions:
            self._function_alarms(made)
        for name, api in apis.items():
            self._alarm(
                f"{name}ServerErrors",
                api.metric_server_error(period=MINUTES, statistic="Sum"),
                threshold=5,
                meaning=f"The {name} API answers 5xx: look at its function's log by trace id",
            )
        for name, queue in data.queues.items():
            dead = queue.dead_letter_queue
            assert dead is not None
            self._alarm(
                f"{name.title()}DeadLetters",
                dead.queue.metric_approximate_number_of_messages_visible(period=MINUTES, statistic="Maximum"),
                threshold=1,
                meaning=f"Messages of the {name} queue failed five times: read one, fix, then `noren queue redrive`",
            )

        self._alarm(
            "StreamDeadLetters",
            data.passed_over.metric_approximate_number_of_messages_visible(period=MINUTES, statistic="Maximum"),
            threshold=1,
            meaning="A function that follows a table gave up on a change: see the runbook, then `noren reconcile`",
        )

    def _own_alarms(self, stage: Stage) -> None:
        self._alarm(
            "LateSettlements",
            _metric(stage, "LateSettlements", "Sum"),
            threshold=1,
            meaning="A chat outlived its hold, the platform bears its cost: do functions run past their time limit?",
        )
        self._alarm(
            "BreakerOpened",
            _metric(stage, "BreakerOpened", "Sum"),
            threshold=1,
            meaning="A model fails and is left alone for a while: the chat function's log and the dashboard name it",
        )
        self._alarm(
            "AuditLost",
            _metric(stage, "AuditLost", "Sum"),
            threshold=1,
            meaning="A change was made without its audit record: the platform API's log names who changed what",
        )

        self._alarm(
            "BooksDiffer",
            _metric(stage, "BooksDiffer", "Sum"),
            threshold=1,
            meaning="An account does not agree with what it was made from: `noren reconcile` says which figure",
        )

        self._alarm(
            "PaymentsDiffer",
            _metric(stage, "PaymentsDiffer", "Sum"),
            threshold=1,
            meaning="A payment is not what was ordered, or Stripe knows better than we do: the log names the order",
        )

        self._alarm(
            "IndexUnavailable",
            _metric(stage, "IndexUnavailable", "Sum"),
            threshold=5,
            meaning="Chats answer without their sites' documents: the chat function's log names the sites and why",
        )

    def _function_alarms(self, made: PythonFunction) -> None:
        function, limit = made.function, made.timeout
        self._alarm(
            f"{made.name}Errors",
            function.metric_errors(period=MINUTES, statistic="Sum"),
            threshold=3,
            meaning=f"{made.name} raises errors",
        )
        self._alarm(
            f"{made.name}Throttles",
            function.metric_throttles(period=MINUTES, statistic="Sum"),
            threshold=1,
            meaning=f"{made.name} is refused more concurrency: raise its reserve or the account's quota",
        )
        if made.name.endswith("_stream"):
            self._alarm(
                f"{made.name}Behind",
                function.metric("IteratorAge", period=MINUTES, statistic="Maximum"),
                threshold=int(Duration.minutes(15).to_milliseconds()),
                meaning=f"{made.name} has not taken changes that are 15 minutes old: does it fail, or is it too slow?",
            )
        self._alarm(
            f"{made.name}Slow",
            function.metric_duration(period=MINUTES, statistic="p99"),
            threshold=int(limit.to_milliseconds()) * 8 // 10,
            meaning=f"One in a hundred runs of {made.name} takes over 80 % of its time limit",
            periods=3,
        )

    def _alarm(self, name: str, metric: cloudwatch.Metric, *, threshold: int, meaning: str, periods: int = 1) -> None:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part[:1].upper() + part[1:] for part in name.split("_")),
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=meaning,
        )
        action = cast(cloudwatch.IAlarmAction, actions.SnsAction(cast(sns.ITopic, self._topic)))
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)

    def _dashboard(
        self,
        stage: Stage,
        data: DataStack,
        functions: Sequence[PythonFunction],
        apis: dict[str, apigw.RestApi],
    ) -> None:
        def graph(title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.IWidget:
            return cast(cloudwatch.IWidget, cloudwatch.GraphWidget(title=title, left=metrics, width=8, height=6))

        waits = [
            _metric(stage, name, statistic, label=f"{name} {statistic}")
            for name in ("ChatLatency", "FirstToken")
            for statistic in ("p50", "p99")
        ]
        failed = ("FailedChats", "BreakerOpened", "IndexUnavailable")
        names = (*failed, "LateSettlements", "AuditLost", "BooksDiffer", "PaymentsDiffer")
        lost = [_metric(stage, name, "Sum") for name in names]
        calls = [made.function for made in functions]
        board = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"Noren-{stage.name}")
        board.add_widgets(
            graph("Chats", [_metric(stage, "ChatLatency", "SampleCount", label="chats"), *lost]),
            graph("Chat latency and first token", waits),
            graph("Not admitted", [_metric(stage, "Refused", "Sum", label=each, reason=each) for each in REASONS]),
        )
        board.add_widgets(
            graph("API requests", [api.metric_count(label=name) for name, api in apis.items()]),
            graph("API 5xx", [api.metric_server_error(label=name) for name, api in apis.items()]),
            graph("API latency, p99", [api.metric_latency(label=name, statistic="p99") for name, api in apis.items()]),
        )
        board.add_widgets(
            graph("Function errors", [function.metric_errors() for function in calls]),
            graph("Function throttles", [function.metric_throttles() for function in calls]),
            graph("Function duration, p99", [function.metric_duration(statistic="p99") for function in calls]),
        )
        queues = data.queues.values()
        dead = [queue.dead_letter_queue.queue for queue in queues if queue.dead_letter_queue]
        board.add_widgets(
            graph("Waiting messages", [queue.metric_approximate_number_of_messages_visible() for queue in queues]),
            graph("Oldest message", [queue.metric_approximate_age_of_oldest_message() for queue in queues]),
            graph("Dead letters", [queue.metric_approximate_number_of_messages_visible() for queue in dead]),
        )


def _metric(stage: Stage, name: str, statistic: str, *, label: str = "", **dimension: str) -> cloudwatch.Metric:
    """One of the functions' own metrics at this stage."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"stage": stage.name, **dimension},
        statistic=statistic,
        period=MINUTES,
        label=label or None,
    )
