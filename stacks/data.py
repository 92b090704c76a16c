"""What must outlive every deployment: tables, queues, secrets, the stage's key."""

from __future__ import annotations

from typing import Any, Literal, cast

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from config import Stage
from stacks import nag
from stacks.function import PythonFunction
from stacks.local import LEFT_OUT, has
from stacks.vectors import VectorBucket

TABLES = ("tenants", "quotas", "credits", "billing", "usage", "sites", "events", "webhooks", "knowledge", "runtime")
INDEXED = ("tenants",)
EXPIRING = ("billing", "sites", "runtime", "usage", "events", "webhooks", "knowledge")
REBUILT = ("runtime",)
"""Holds nothing worth restoring."""

STREAMS = {
    "quotas": dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
    "usage": dynamodb.StreamViewType.NEW_IMAGE,
    "events": dynamodb.StreamViewType.NEW_IMAGE,
}
"""Tables whose changes are followed, and what is told of each."""

QUEUES = {
    "mail": Duration.seconds(30),
    "summary": Duration.seconds(120),
    "billing": Duration.seconds(60),
    "webhook": Duration.seconds(60),
    "train": Duration.seconds(300),
    "publish": Duration.seconds(300),
}
"""Queue to the time limit of the function that works it off."""

RECEIVES = 5

Access = Literal["r", "w", "rw", "rwb", "rwd", "update", "sweep"]

_READ = ("GetItem", "Query")
_WRITE = ("PutItem", "UpdateItem")
_ACTIONS: dict[str, tuple[str, ...]] = {
    "r": _READ,
    "w": _WRITE,
    "rw": (*_READ, *_WRITE),
    "rwb": (*_READ, *_WRITE, "BatchGetItem"),
    "rwd": (*_READ, *_WRITE, "DeleteItem", "BatchGetItem", "BatchWriteItem"),
    "update": (*_READ, "UpdateItem"),
    "sweep": (*_READ, *_WRITE, "Scan"),
}
_OBJECT_ACTIONS = {"r": "GetObject", "w": "PutObject", "d": "DeleteObject"}
_KEY_ACTIONS = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


class DataStack(Stack):
    """The stateful stack."""

    def __init__(self, scope: Construct, stage: Stage, *, console_url: str, **kwargs: Any) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Data", **kwargs)
        self._removal = RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY
        self.key = kms.Key(
            self,
            "Key",
            alias=f"noren-{stage.name}",
            description=f"Customer data of Noren {stage.name}",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        if stage.alarms:
            self._let_alarms_use_key()
        self.tables = {name: self._table(name, stage) for name in TABLES}
        self.queues = {name: self._queue(name, limit, stage) for name, limit in QUEUES.items()}
        # A name that all stacks know: a reference would show up in CDK's policies under a name nobody can foretell.
        self.bucket_name = knowledge_bucket(stage, self.account)
        self.bucket = self._bucket(stage, console_url)
        """Texts, uploads and indexes of sites."""
        self.vectors = VectorBucket(self, stage, self.key, self._removal)
        self.passed_over = self._one_queue("StreamDeadLetters", stage)
        """Where in a stream a function gave up; what lies there is found and told by `noren reconcile`."""
        nag.acknowledge(self.passed_over, {"SQS3": "This is a dead-letter queue: a stream's"})
        # The account's own key: a customer key shared across stacks would be a dependency cycle.
        self.provider_secret = secretsmanager.CfnSecret(
            self,
            "ProviderKeys",
            description="API keys of model services; filled by `noren secrets set`",
            secret_string="{}",  # noqa: S106 - no password: empty until an operator fills it
        )
        self.payment_secret = secretsmanager.CfnSecret(
            self,
            "PaymentKeys",
            description="Stripe's key and webhook secret; filled by `noren secrets set`",
            secret_string="{}",  # noqa: S106 - no password: empty until an operator fills it
        )
        self.signing_secret = secretsmanager.CfnSecret(
            self,
            "SigningKey",
            description="Signs cursors, visitor and invitation tokens",
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                password_length=64, exclude_punctuation=True
            ),
        )
        for secret in (self.provider_secret, self.payment_secret, self.signing_secret):
            secret.apply_removal_policy(self._removal)
            nag.acknowledge(
                secret,
                {"SMG4": "No vendor lets us rotate its key by API, and rotating ours would void open invitations"},
            )
        self._outputs()

    def variables(self, *, tables: tuple[str, ...], queues: tuple[str, ...] = ()) -> dict[str, str]:
        """The variables that name tables and queues to a function."""
        named = {f"{name.upper()}_TABLE": self.tables[name].table_name for name in tables}
        return named | {f"{name.upper()}_QUEUE_URL": self.queues[name].queue_url for name in queues}

    def grant(self, made: PythonFunction, **access: Access) -> None:
        """Let a function use tables (by keyword) as said. `Scan` only with `sweep`, which no request path gets."""
        for name, kind in access.items():
            resources = [self.tables[name].table_arn]
            if name in INDEXED and kind != "w":
                resources.append(f"{self.tables[name].table_arn}/index/gsi1")
            actions = sorted({f"dynamodb:{action}" for action in _ACTIONS[kind]})
            _allow(made, actions, resources)
        self.grant_key(made)

    def grant_send(self, made: PythonFunction, *queues: str) -> None:
        """Let a function put messages on queues."""
        _allow(made, ["sqs:SendMessage"], [self.queues[name].queue_arn for name in queues])
        self.grant_key(made)

    def grant_blobs(self, made: PythonFunction, kinds: str, objects: str = "*") -> None:
        """Let a function read (`r`), write (`w`), delete (`d`) objects of the bucket, and list them (`l`)."""
        bucket = f"arn:aws:s3:::{self.bucket_name}"
        _allow(made, [f"s3:{_OBJECT_ACTIONS[each]}" for each in kinds if each != "l"], [f"{bucket}/{objects}"])
        if "l" in kinds:
            _allow(made, ["s3:ListBucket"], [bucket])
        self.grant_key(made)
        reason = "Objects are named by tenant and site; the functions' code keeps them apart"
        name = self.bucket_name
        if Token.is_unresolved(self.account):
            name = name.replace(self.account, "<AWS::AccountId>")
        nag.acknowledge(made, {f"IAM5[Resource::arn:aws:s3:::{name}/{objects}]": reason})

    def grant_set_aside(self, made: PythonFunction) -> None:
        """Let a function that follows a stream set aside where it gave up."""
        _allow(made, ["sqs:SendMessage"], [self.passed_over.queue_arn])
        self.grant_key(made)

    def grant_secrets(self, made: PythonFunction, *secrets: secretsmanager.CfnSecret) -> None:
        """Let a function read secrets."""
        _allow(made, ["secretsmanager:GetSecretValue"], [secret.attr_id for secret in secrets])

    def grant_key(self, made: PythonFunction) -> None:
        """Let a function's calls to the stores above use the stage's key."""
        _allow(made, list(_KEY_ACTIONS), [self.key.key_arn])

    def _let_alarms_use_key(self) -> None:
        """Alarms are published to an encrypted topic by CloudWatch itself."""
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[cast(iam.IPrincipal, iam.ServicePrincipal("cloudwatch.amazonaws.com"))],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # in a key's own policy: this key
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )

    def _table(self, name: str, stage: Stage) -> dynamodb.TableV2:
        string = dynamodb.AttributeType.STRING
        table = dynamodb.TableV2(
            self,
            name.title(),
            partition_key=dynamodb.Attribute(name="pk", type=string),
            sort_key=dynamodb.Attribute(name="sk", type=string),
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.customer_managed_key(cast(kms.IKey, self.key)),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=name not in REBUILT
            ),
            time_to_live_attribute="expires_at" if name in EXPIRING else None,
            dynamo_stream=STREAMS.get(name),
            deletion_protection=stage.retain,
            removal_policy=self._removal,
        )
        if name in INDEXED:
            table.add_global_secondary_index(
                index_name="gsi1",
                partition_key=dynamodb.Attribute(name="gsi1pk", type=string),
                sort_key=dynamodb.Attribute(name="gsi1sk", type=string),
            )
        if name in REBUILT:
            nag.acknowledge(
                table, {"DDB3": "Idempotency, rate windows and cancel flags: expires by itself within a day"}
            )
        return table

    def _bucket(self, stage: Stage, console_url: str) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Blobs",
            bucket_name=self.bucket_name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=cast(kms.IKey, self.key),
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=has(stage, "tls_only"),
            cors=[  # the console's page posts files here, by forms that we have signed
                s3.CorsRule(
                    allowed_methods=[s3.HttpMethods.POST],
                    allowed_origins=[console_url],
                    allowed_headers=["content-type"],
                    max_age=3600,
                )
            ],
            removal_policy=self._removal,
        )
        nag.acknowledge(bucket, {"S1": "Only our functions read it, and who trains what is in the audit trail"})
        if not has(stage, "tls_only"):
            nag.acknowledge(bucket, {"S10": LEFT_OUT["tls_only"]})
        return bucket

    def _queue(self, name: str, limit: Duration, stage: Stage) -> sqs.Queue:
        dead = self._one_queue(f"{name.title()}DeadLetters", stage)
        return self._one_queue(
            f"{name.title()}Queue",
            stage,
            visibility_timeout=Duration.seconds(6 * int(limit.to_seconds())),
            dead_letter_queue=sqs.DeadLetterQueue(queue=cast(sqs.IQueue, dead), max_receive_count=RECEIVES),
        )

    def _one_queue(self, construct_id: str, stage: Stage, **more: Any) -> sqs.Queue:
        if not has(stage, "tls_only"):
            nag.acknowledge(self, {"SQS4": LEFT_OUT["tls_only"]})
        return sqs.Queue(
            self,
            construct_id,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=cast(kms.IKey, self.key),
            enforce_ssl=has(stage, "tls_only"),
            retention_period=Duration.days(14),
            removal_policy=self._removal,
            **more,
        )

    def _outputs(self) -> None:
        values = {f"Table{name.title()}": table.table_name for name, table in self.tables.items()}
        values |= {f"Queue{name.title()}": queue.queue_url for name, queue in self.queues.items()}
        values |= {"ProviderSecret": self.provider_secret.attr_id, "SigningSecret": self.signing_secret.attr_id}
        values |= {"Bucket": self.bucket.bucket_name}
        values |= {"PaymentSecret": self.payment_secret.attr_id}
        for name, value in values.items():
            CfnOutput(self, name, value=value)


def knowledge_bucket(stage: Stage, account: str) -> str:
    """The name of the bucket of texts, uploads and indexes."""
    return f"noren-{stage.name}-knowledge-{account}-{stage.region}"


def _allow(made: PythonFunction, actions: list[str], resources: list[str]) -> None:
    made.function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))
