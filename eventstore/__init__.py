"""An event store on DynamoDB: streams with optimistic locking, publication, and replay of everything.

::

    from eventstore import NewEvent
    from eventstore.adapters.dynamodb.client import dynamodb_client
    from eventstore.adapters.dynamodb.store import DynamoDBEventStore

    store = DynamoDBEventStore(client=dynamodb_client(), table_name="...", write_shards=1)
    store.append("order-1", [NewEvent.of("OrderPlaced", {"total": 12})], expected=0)

Tests of your own code run on `eventstore.adapters.memory.MemoryEventStore`, which keeps the same contract.
"""

from eventstore.errors import (
    CompressionUnavailable,
    DuplicateEventUid,
    EmptyAppend,
    EventStoreError,
    EventTooLarge,
    ExpectedVersionAhead,
    FailedEventsUnavailable,
    HandlerFailed,
    IndexingStopped,
    InvalidEventName,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidJson,
    InvalidLimit,
    InvalidPosition,
    InvalidRange,
    InvalidReplay,
    InvalidStreamId,
    InvalidSubscription,
    InvalidSubscriptionName,
    LeaseLost,
    MalformedBlock,
    MalformedItem,
    NotPublishable,
    PublicationStopped,
    ReadModelRefused,
    RepeatedStream,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreUnavailable,
    StreamNotFound,
    SubscriptionNotFound,
    TooManyEvents,
    TranchesChanged,
    TransactionTooLarge,
    VersionConflict,
)
from eventstore.events import Event, Head, NewEvent
from eventstore.execute import Executed, execute
from eventstore.log import BlockPosition, EventLog, LogEntry, LogPage, LogPosition, read_log
from eventstore.positions import Position
from eventstore.store import ANY, EXISTS, AllEvents, Append, Appended, EventStore, Expect, Expected

__all__ = [
    "ANY",
    "EXISTS",
    "AllEvents",
    "Append",
    "Appended",
    "BlockPosition",
    "CompressionUnavailable",
    "DuplicateEventUid",
    "EmptyAppend",
    "Event",
    "EventLog",
    "EventStore",
    "EventStoreError",
    "EventTooLarge",
    "Executed",
    "Expect",
    "Expected",
    "ExpectedVersionAhead",
    "FailedEventsUnavailable",
    "HandlerFailed",
    "Head",
    "IndexingStopped",
    "InvalidEventName",
    "InvalidEventUid",
    "InvalidExpectedVersion",
    "InvalidInput",
    "InvalidJson",
    "InvalidLimit",
    "InvalidPosition",
    "InvalidRange",
    "InvalidReplay",
    "InvalidStreamId",
    "InvalidSubscription",
    "InvalidSubscriptionName",
    "LeaseLost",
    "LogEntry",
    "LogPage",
    "LogPosition",
    "MalformedBlock",
    "MalformedItem",
    "NewEvent",
    "NotPublishable",
    "Position",
    "PublicationStopped",
    "ReadModelRefused",
    "RepeatedStream",
    "ReplayNotFound",
    "ReplayOver",
    "ReplayTargetNotAllowed",
    "StoreUnavailable",
    "StreamNotFound",
    "SubscriptionNotFound",
    "TooManyEvents",
    "TranchesChanged",
    "TransactionTooLarge",
    "VersionConflict",
    "execute",
    "read_log",
]
