"""What happens behind the requests: mail, session summaries, the sweep of dead holds."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any, cast

import jsii
from aws_cdk import Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from config import Stage
from stacks.data import QUEUES, DataStack
from stacks.environment import fetching, payments, vendors
from stacks.function import PythonFunction

SWEEP = Duration.minutes(5)


@jsii.implements(lambda_.IEventSourceDlq)
class _SetAside:
    """Like `sources.SqsDlq`, which would grant key actions with stars."""

    def __init__(self, queue: sqs.Queue) -> None:
        self._queue = queue

    def bind(self, target: Any, target_handler: Any) -> lambda_.DlqDestinationConfig:
        """Meets `IEventSourceDlq`."""
        return lambda_.DlqDestinationConfig(destination=self._queue.queue_arn)


class WorkersStack(Stack):
    """Functions on queues and on the clock."""

    def __init__(self, scope: Construct, stage: Stage, *, data: DataStack, console_url: str, **kwargs: Any) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Workers", **kwargs)
        self._data = data
        self._is_local = stage.is_local
        mail = PythonFunction(
            self,
            "mail_worker",
            stage=stage,
            timeout=QUEUES["mail"],
            memory=256,
            environment={"MAIL_FROM": stage.endpoints.mail_from, "CONSOLE_URL": console_url},
        )
        self._consume(mail, "mail")
        address = parseaddr(stage.endpoints.mail_from)[1]
        mail.function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["ses:SendEmail"],
                resources=[
                    f"arn:{self.partition}:ses:{self.region}:{self.account}:identity/{identity}"
                    for identity in (address, address.partition("@")[2])
                ],
            )
        )
        summary = PythonFunction(
            self,
            "summary_worker",
            stage=stage,
            timeout=QUEUES["summary"],
            memory=512,
            environment=data.variables(tables=("tenants", "usage", "sites", "runtime"))
            | vendors(stage)
            | {"PROVIDER_SECRET_ARN": data.provider_secret.attr_id},
        )
        self._consume(summary, "summary")
        data.grant(summary, sites="rw", usage="w", runtime="rwd", tenants="r")
        data.grant_secrets(summary, data.provider_secret)
        scheduler = PythonFunction(
            self,
            "scheduler",
            stage=stage,
            timeout=Duration.minutes(4),
            memory=512,
            reserved_concurrency=1 if stage.retain else None,
            environment=data.variables(tables=("tenants", "quotas", "credits", "usage", "sites", "knowledge"))
            | {"KNOWLEDGE_BUCKET": data.bucket_name, **data.vectors.variables},
        )
        data.grant(scheduler, tenants="r", quotas="sweep", credits="rw", usage="rw", sites="rwd", knowledge="rwd")
        data.grant_blobs(scheduler, "dl")
        data.vectors.grant(scheduler, "remove")
        self._by_the_clock(scheduler, "sweep", events.Schedule.rate(SWEEP), "Sweeps dead holds, turns months")
        # From three to six in Tokyo; a run that finds the night's work done does nothing.
        night = events.Schedule.cron(minute="0/10", hour="18-20")
        self._by_the_clock(scheduler, "reconcile", night, "Compares every account with its books")
        later = events.Schedule.cron(minute="5/10", hour="18-20")
        self._by_the_clock(scheduler, "summaries", later, "Counts the last two days' usage anew")
        last = events.Schedule.cron(minute="40", hour="18")
        self._by_the_clock(scheduler, "purge", last, "Removes sites that were deleted 30 days ago")
        quota_stream = PythonFunction(
            self,
            "quota_stream",
            stage=stage,
            timeout=Duration.minutes(1),
            memory=512,
            environment=data.variables(
                tables=("tenants", "quotas", "credits", "usage", "sites", "events"), queues=("mail", "billing")
            )
            | {"CONSOLE_URL": console_url},
        )
        data.grant(quota_stream, tenants="update", quotas="rw", credits="rw", usage="rw", sites="rw", events="rw")
        data.grant_send(quota_stream, "mail", "billing")
        self._follow(quota_stream, "quotas")
        usage_stream = PythonFunction(
            self,
            "usage_stream",
            stage=stage,
            timeout=Duration.minutes(5),
            memory=1024,
            environment=data.variables(tables=("tenants", "usage")),
        )
        data.grant(usage_stream, tenants="r", usage="rw")
        # Summaries are in the same table: what the function writes must not call it.
        records = {
            "eventName": lambda_.FilterRule.or_("INSERT", "MODIFY"),
            "dynamodb": {"Keys": {"pk": {"S": lambda_.FilterRule.begins_with("USE#")}}},
        }
        self._follow(usage_stream, "usage", batch=1000, window=Duration.seconds(30), only=records)
        stripe = PythonFunction(
            self,
            "stripe_worker",
            stage=stage,
            timeout=QUEUES["billing"],
            memory=512,
            payments=True,
            environment=data.variables(
                tables=("tenants", "quotas", "credits", "billing", "usage", "sites", "events"), queues=("mail",)
            )
            | payments(stage)
            | {"PAYMENT_SECRET_ARN": data.payment_secret.attr_id, "CONSOLE_URL": console_url},
        )
        self._consume(stripe, "billing")
        data.grant(stripe, tenants="rw", quotas="rw", credits="rw", billing="rw", usage="r", sites="rw", events="rw")
        data.grant_send(stripe, "mail")
        data.grant_secrets(stripe, data.payment_secret)
        by_night = events.Schedule.cron(minute="30", hour="18")
        self._by_the_clock(stripe, "drift", by_night, "Compares every tenant with Stripe")
        event_stream = PythonFunction(
            self,
            "event_stream",
            stage=stage,
            timeout=Duration.minutes(1),
            memory=512,
            environment=data.variables(tables=("webhooks",), queues=("webhook",)),
        )
        data.grant(event_stream, webhooks="rw")
        data.grant_send(event_stream, "webhook")
        # Audit records, notifications and counted refusals are in the same table.
        new = {"eventName": ["INSERT"], "dynamodb": {"Keys": {"pk": {"S": lambda_.FilterRule.begins_with("EVT#")}}}}
        self._follow(event_stream, "events", window=Duration.seconds(1), only=new)
        webhook = PythonFunction(
            self,
            "webhook_sender",
            stage=stage,
            timeout=QUEUES["webhook"],
            memory=512,
            environment=data.variables(tables=("tenants", "events", "webhooks", "runtime"), queues=("mail", "webhook"))
            | fetching(stage)
            | {"DATA_KEY_ARN": data.key.key_arn, "CONSOLE_URL": console_url},
        )
        self._consume(webhook, "webhook", batch=1)  # one endpoint's slowness is no other's
        data.grant(webhook, tenants="r", events="rw", webhooks="rwd", runtime="rwd")
        data.grant_send(webhook, "mail", "webhook")
        every_minute = events.Schedule.rate(Duration.minutes(1))
        self._by_the_clock(webhook, "webhooks", every_minute, "Has webhooks sent that are due")
        # Strangers' pages and files are read without money, keys, people or anything to be deleted in reach (ADR 7).
        train = PythonFunction(
            self,
            "train_worker",
            stage=stage,
            timeout=QUEUES["train"],
            memory=2048,
            extracting=True,
            environment=data.variables(tables=("tenants", "sites", "knowledge", "runtime"), queues=("train", "publish"))
            | fetching(stage)
            | {"KNOWLEDGE_BUCKET": data.bucket_name},
        )
        self._consume(train, "train", batch=1)  # one page's slowness is no other's
        data.grant(train, tenants="r", sites="r", knowledge="rwb", runtime="rw")
        data.grant_blobs(train, "rw", objects="*/*/docs/*")
        data.grant_blobs(train, "rw", objects="*/*/uploads/*")  # what hosts say for robots is kept there too
        data.grant_send(train, "train", "publish")
        often = events.Schedule.rate(SWEEP)
        self._by_the_clock(train, "training", often, "Looks after training that has come to a stop")
        publisher = PythonFunction(
            self,
            "publisher",
            stage=stage,
            timeout=QUEUES["publish"],
            memory=2048,
            disk=3072,  # the largest index, as it is written and as it was
            environment=data.variables(
                tables=("tenants", "quotas", "credits", "usage", "sites", "events", "knowledge", "runtime"),
                queues=("train", "publish"),
            )
            | vendors(stage)
            | {
                "KNOWLEDGE_BUCKET": data.bucket_name,
                **data.vectors.variables,
                "PROVIDER_SECRET_ARN": data.provider_secret.attr_id,
                "CONSOLE_URL": console_url,
            },
        )
        self._consume(publisher, "publish", batch=1)  # one site's size is no other's
        data.grant(publisher, tenants="r", sites="rw", events="rw", knowledge="rwd", runtime="rwd")
        data.grant(publisher, quotas="rw", credits="rw", usage="rw")  # vectors are paid for
        data.grant_secrets(publisher, data.provider_secret)
        data.grant_blobs(publisher, "rwdl")
        data.vectors.grant(publisher, "build")
        data.grant_send(publisher, "train", "publish")
        self._by_the_clock(publisher, "schedules", often, "Begins trainings whose time has come")
        self.functions = [stripe, mail, summary, scheduler, quota_stream, usage_stream, event_stream, webhook, train]
        self.functions.append(publisher)

    def _by_the_clock(self, worker: PythonFunction, job: str, schedule: events.Schedule, text: str) -> None:
        """Call a function with `{"job": …}`. Missed runs need no repeat: the next one does the same."""
        rule = events.Rule(self, job.title(), schedule=schedule, description=text)
        target = targets.LambdaFunction(
            worker.target,
            event=events.RuleTargetInput.from_object({"job": job}),
            retry_attempts=0,
            max_event_age=SWEEP,
        )
        rule.add_target(cast(events.IRuleTarget, target))

    def _follow(
        self,
        follower: PythonFunction,
        table: str,
        *,
        batch: int = 100,
        window: Duration = Duration.seconds(5),  # noqa: B008 - never changed
        only: dict[str, Any] | None = None,
    ) -> None:
        """Follow a table's changes, in order for each key; the function names the first that it could not take."""
        follower.target.add_event_source(
            sources.DynamoEventSource(
                cast(dynamodb.ITable, self._data.tables[table]),
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=batch,
                max_batching_window=Duration.seconds(1) if self._is_local else window,
                filters=[lambda_.FilterCriteria.filter(only)] if only else None,
                bisect_batch_on_error=True,  # of a batch on which the function dies, only the poisonous change is lost
                report_batch_item_failures=True,
                retry_attempts=100,
                max_record_age=Duration.hours(12),
                on_failure=cast(lambda_.IEventSourceDlq, _SetAside(self._data.passed_over)),
            )
        )
        self._data.grant_set_aside(follower)

    def _consume(self, worker: PythonFunction, queue: str, *, batch: int = 10) -> None:
        """Work a queue off; only the messages that the function names come back."""
        worker.target.add_event_source(
            sources.SqsEventSource(
                cast(sqs.IQueue, self._data.queues[queue]),
                batch_size=batch,
                report_batch_item_failures=True,
                max_concurrency=3 if self._is_local else 10,  # one machine has to unpack each, layers and all
            )
        )
        self._data.grant_key(worker)
