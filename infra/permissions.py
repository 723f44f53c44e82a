"""What each function may do, all of it: its role has these statements and no others.

docs/permissions.md tells the same in prose. `PutItem` authorises appends of several events too: DynamoDB has
no action for `TransactWriteItems`, but asks for that of each item's operation.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_iam as iam

from eventstore.dynamodb.schema.events import STORE_STREAM_ID

_READ_ALL: Final = ("dynamodb:Query", "dynamodb:Scan")
"""`Scan` is for a store without an item of its own: whether it is new, or has lost that item."""


def append(*, table_arn: str) -> list[iam.PolicyStatement]:
    """Append, read heads and what is in the way, record the shards. Not the index: no append needs it.

    `Scan` is for the first append of all, which looks whether the table has events already.
    """
    actions = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan")
    return [_allow("Append", table_arn, *actions)]


def read(*, table_arn: str, index_arn: str, log_table_arn: str) -> list[iam.PolicyStatement]:
    """Read streams from the table, all streams from the index by time, and the log; write nothing."""
    return [
        _read_facts(table_arn),
        _allow("ReadStreams", table_arn, "dynamodb:Query"),
        _allow("ReadAll", index_arn, *_READ_ALL),
        _allow("ReadLog", log_table_arn, "dynamodb:Query"),
    ]


def publish(
    *,
    table_arn: str,
    stream_arn: str,
    journal_table_arn: str,
    bus_arn: str,
    failed_events_queue_arn: str,
    dropped_batches_queue_arn: str,
) -> list[iam.PolicyStatement]:
    """Take the records of one stream, read events again, publish them, park what can't be published."""
    return [
        _read_stream_records(stream_arn),
        _read_facts(table_arn),
        _allow("ReadEvents", table_arn, "dynamodb:BatchGetItem", "dynamodb:Query"),
        _allow("Journal", journal_table_arn, "dynamodb:PutItem", "dynamodb:Query"),
        _allow("Publish", bus_arn, "events:PutEvents"),
        _allow("Park", failed_events_queue_arn, "sqs:SendMessage"),
        _allow("NameDroppedBatches", dropped_batches_queue_arn, "sqs:SendMessage"),
    ]


def write_log(
    *,
    table_arn: str,
    stream_arn: str,
    journal_table_arn: str,
    log_table_arn: str,
    dropped_batches_queue_arn: str,
) -> list[iam.PolicyStatement]:
    """Take the records of one stream, read events again, find the log's last blocks, and put blocks."""
    return [
        _read_stream_records(stream_arn),
        _read_facts(table_arn),
        _allow("ReadEvents", table_arn, "dynamodb:BatchGetItem", "dynamodb:Query"),
        _allow("Journal", journal_table_arn, "dynamodb:PutItem", "dynamodb:Query"),
        _allow("WriteBlocks", log_table_arn, "dynamodb:PutItem", "dynamodb:Query"),
        _allow("NameDroppedBatches", dropped_batches_queue_arn, "sqs:SendMessage"),
    ]


def replay(
    *, table_arn: str, index_arn: str, replays_table_arn: str, targets: Sequence[str]
) -> list[iam.PolicyStatement]:
    """Read all streams in time order, store how far replays are, and send to exactly the allowed targets.

    What ended leaves the queue, under the condition that it has ended. The next one is begun by
    `renew_replays`.
    """
    services = (
        ("SendToQueues", "sqs", ("sqs:GetQueueUrl", "sqs:SendMessage")),
        ("InvokeFunctions", "lambda", ("lambda:InvokeFunction",)),
        ("PutOnBuses", "events", ("events:PutEvents",)),
    )
    sending = [
        iam.PolicyStatement(sid=sid, actions=[*actions], resources=arns)
        for sid, service, actions in services
        if (arns := [arn for arn in targets if arn.split(":")[2] == service])
    ]
    return [
        _read_facts(table_arn),
        _allow("ReadAll", index_arn, *_READ_ALL),
        _allow(
            "StoreProgress",
            replays_table_arn,
            *(f"dynamodb:{action}" for action in ("ConditionCheckItem", "GetItem", "UpdateItem")),
        ),
        *sending,
    ]


def steer_replays(*, replays_table_arn: str, machine_arn: str) -> list[iam.PolicyStatement]:
    """Keep, list and change replays, and begin their runs; read and send no event."""
    return [
        _allow(
            "KeepReplays",
            replays_table_arn,
            *(
                f"dynamodb:{action}"
                for action in ("ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem")
            ),
        ),
        _allow("BeginRuns", machine_arn, "states:StartExecution"),
    ]


def run_replays(*, step_arn: str, replays_table_arn: str) -> list[iam.PolicyStatement]:
    """What the state machine may: take steps, and tell that one keeps failing."""
    return [
        _allow("TakeSteps", step_arn, "lambda:InvokeFunction"),
        _allow("TellFailure", replays_table_arn, "dynamodb:UpdateItem"),
    ]


def renew_replays(*, machine_arn: str) -> list[iam.PolicyStatement]:
    """The state machine goes on by a new execution of itself when its history grows long; its step begins the
    next replay's.
    """
    return [_allow("Renew", machine_arn, "states:StartExecution")]


def subscribe(
    *, events_table_arn: str, log_table_arn: str, subscriptions_table_arn: str
) -> list[iam.PolicyStatement]:
    """What a worker of a subscription needs; for roles of your own, no function of this app has it.

    `PutItem`, `UpdateItem` and `ConditionCheckItem` authorise its transactions as well. A projection needs
    the actions of its own writes on its own tables too.
    """
    return [
        _allow("ReadLog", log_table_arn, "dynamodb:Query"),
        _read_facts(events_table_arn),
        _allow("ReadEvents", events_table_arn, "dynamodb:BatchGetItem"),
        _allow(
            "KeepCheckpoints",
            subscriptions_table_arn,
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
    ]


def connect(*, parameter_arn: str) -> list[iam.PolicyStatement]:
    """What `eventstore.connect(name)` needs as well; for roles of your own, no function here has it."""
    return [_allow("FindStore", parameter_arn, "ssm:GetParameter")]


def count_parked(*, index_arn: str) -> list[iam.PolicyStatement]:
    """Count what subscriptions have parked: read the index of that, and nothing else of their table."""
    return [_allow("CountParked", index_arn, "dynamodb:Scan")]


def run(*, log_group_arn: str) -> list[iam.PolicyStatement]:
    """What every function needs: to write its own log, and its traces."""
    return [
        _allow("WriteLog", log_group_arn, "logs:CreateLogStream", "logs:PutLogEvents"),
        _allow("WriteTraces", "*", "xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    ]


def _read_facts(table_arn: str) -> iam.PolicyStatement:
    """Read the store's own item, and no other of its table: how many shards it has, and its format."""
    return iam.PolicyStatement(
        sid="ReadStoreItem",
        actions=["dynamodb:GetItem"],
        resources=[table_arn],
        conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [STORE_STREAM_ID]}},
    )


def _read_stream_records(stream_arn: str) -> iam.PolicyStatement:
    return _allow(
        "ReadStreamRecords",
        stream_arn,
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        # Lambda checks for all four; this one, to take effect, would need "*", and is not called.
        "dynamodb:ListStreams",
    )


def _allow(sid: str, resource: str, *actions: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=[*actions], resources=[resource])
