"""An event store on DynamoDB: streams with optimistic locking, publication, and replay of everything.

::

    from eventstore import NewEvent
    from eventstore.adapters.dynamodb.client import dynamodb_client
    from eventstore.adapters.dynamodb.store import DynamoDBEventStore

    store = DynamoDBEventStore(client=dynamodb_client(), table_name="...", write_shards=1)
    store.append("order-1", [NewEvent.of("OrderPlaced", {"total": 12})], expected=0)

Tests of your own code run on `eventstore.adapters.memory.MemoryEventStore`, which keeps the same contract.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import (
    BadCheckpoints,
    BadExport,
    BlockMissing,
    ClockSkewed,
    CompressionUnavailable,
    DuplicateEventUid,
    EmptyAppend,
    EventsMissing,
    EventStoreError,
    EventTooLarge,
    EventUidReused,
    ExpectedVersionAhead,
    FailedEventsUnavailable,
    FileExists,
    HandlerFailed,
    HandlerUnavailable,
    HeadNotInStream,
    IndexingStopped,
    InvalidArgument,
    InvalidCodec,
    InvalidDecision,
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
    LogInUse,
    MalformedBlock,
    MalformedItem,
    MalformedReplay,
    MalformedStoreItem,
    MalformedSubscriptionItem,
    NotPublishable,
    NotSynchronous,
    OtherVerification,
    PartlyAppended,
    PositionNotInLog,
    PositionOfAnotherLog,
    PublicationStopped,
    ReadModelRefused,
    RepeatedStream,
    ReplayKeyReused,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    RestoreNotDeclared,
    StoreFormatUnknown,
    StoreItemMissing,
    StoreNotEmpty,
    StoreUnavailable,
    StreamGap,
    StreamNotFound,
    SubscriptionNotFound,
    TimestampOutOfRange,
    TooManyEvents,
    TranchesChanged,
    TransactionTooLarge,
    TransientError,
    UidNotSearchable,
    UndecodableEvent,
    UnexpectedItem,
    UnknownEventName,
    VersionConflict,
    WorkerIdInUse,
    WorkerRunning,
)
from eventstore.events import Event, Head, NewEvent
from eventstore.execute import Executed, execute
from eventstore.log import BlockPosition, ClosedBlocks, EventLog, LogEntry, LogPage, LogPosition, read_log
from eventstore.positions import Position
from eventstore.store import ANY, EXISTS, AllEvents, Append, Appended, EventStore, Expect, Expected

if TYPE_CHECKING:
    from eventstore.codec import Codec, Renamed
    from eventstore.correlation_ids import correlation
    from eventstore.decider import Decided, Decider, Loaded
    from eventstore.joint_decisions import DecidedOver, DecidedPart, decide_over

__version__ = "0.1.0"

_WHEN_ASKED_FOR: Final = {
    "Codec": "codec",
    "Decided": "decider",
    "DecidedOver": "joint_decisions",
    "DecidedPart": "joint_decisions",
    "Decider": "decider",
    "Loaded": "decider",
    "Renamed": "codec",
    "correlation": "correlation_ids",
    "decide_over": "joint_decisions",
}
"""By name the module that has it: the deployed functions need none of them, and begin sooner without."""

__all__ = [
    "ANY",
    "EXISTS",
    "AllEvents",
    "Append",
    "Appended",
    "BadCheckpoints",
    "BadExport",
    "BlockMissing",
    "BlockPosition",
    "ClockSkewed",
    "ClosedBlocks",
    "Codec",
    "CompressionUnavailable",
    "Decided",
    "DecidedOver",
    "DecidedPart",
    "Decider",
    "DuplicateEventUid",
    "EmptyAppend",
    "Event",
    "EventLog",
    "EventStore",
    "EventStoreError",
    "EventTooLarge",
    "EventUidReused",
    "EventsMissing",
    "Executed",
    "Expect",
    "Expected",
    "ExpectedVersionAhead",
    "FailedEventsUnavailable",
    "FileExists",
    "HandlerFailed",
    "HandlerUnavailable",
    "Head",
    "HeadNotInStream",
    "IndexingStopped",
    "InvalidArgument",
    "InvalidCodec",
    "InvalidDecision",
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
    "Loaded",
    "LogEntry",
    "LogInUse",
    "LogPage",
    "LogPosition",
    "MalformedBlock",
    "MalformedItem",
    "MalformedReplay",
    "MalformedStoreItem",
    "MalformedSubscriptionItem",
    "NewEvent",
    "NotPublishable",
    "NotSynchronous",
    "OtherVerification",
    "PartlyAppended",
    "Position",
    "PositionNotInLog",
    "PositionOfAnotherLog",
    "PublicationStopped",
    "ReadModelRefused",
    "Renamed",
    "RepeatedStream",
    "ReplayKeyReused",
    "ReplayNotFound",
    "ReplayOver",
    "ReplayTargetNotAllowed",
    "RestoreNotDeclared",
    "StoreFormatUnknown",
    "StoreItemMissing",
    "StoreNotEmpty",
    "StoreUnavailable",
    "StreamGap",
    "StreamNotFound",
    "SubscriptionNotFound",
    "TimestampOutOfRange",
    "TooManyEvents",
    "TranchesChanged",
    "TransactionTooLarge",
    "TransientError",
    "UidNotSearchable",
    "UndecodableEvent",
    "UnexpectedItem",
    "UnknownEventName",
    "VersionConflict",
    "WorkerIdInUse",
    "WorkerRunning",
    "correlation",
    "decide_over",
    "execute",
    "read_log",
]


def __getattr__(name: str) -> Any:
    """Import what is only imported when somebody asks for it."""
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_ASKED_FOR[name]}"), name)
