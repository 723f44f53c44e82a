"""The errors of the event store: one tree, and every leaf carries its data.

Each can be pickled and copied, with its text and its data.

::

    EventStoreError
    ├── InvalidInput (ValueError)          what was given can't be taken; nothing was written
    │   ├── InvalidArgument                one of another type than it has to have
    │   ├── InvalidStreamId
    │   ├── InvalidEventName
    │   ├── InvalidJson                    a payload or metadata
    │   ├── InvalidEventUid
    │   ├── DuplicateEventUid
    │   ├── InvalidExpectedVersion
    │   ├── InvalidPosition
    │   ├── InvalidRange
    │   ├── InvalidLimit
    │   ├── InvalidReplay                  what a replay is asked for
    │   ├── InvalidDecision                what `execute` was told to append
    │   ├── InvalidPublishedEvent          what a consumer was given
    │   ├── InvalidCodec                   classes or upcasters of which no codec can be made
    │   ├── NotSynchronous                 a function that returns before its work is done
    │   ├── InvalidSubscription
    │   │   └── InvalidSubscriptionName
    │   ├── EmptyAppend
    │   ├── RepeatedStream                 one stream twice in one transaction
    │   ├── TooManyEvents
    │   ├── EventTooLarge
    │   └── TransactionTooLarge
    ├── VersionConflict                    another writer was first; nothing was written
    │   └── ExpectedVersionAhead           the expected version does not exist (yet)
    ├── PartlyAppended                     some events of the append are stored already; nothing was written
    ├── EventUidReused                     a stored event has the uid and other content; nothing was written
    ├── UidNotSearchable                   a uid that can't be ruled out at bounded cost; nothing was written
    ├── HeadNotInStream                    a Head from before a restore; nothing was written
    ├── TimestampOutOfRange                behind the year 9999; nothing was written
    ├── UnknownStore                       no deployed store has this name
    ├── InvalidStoreParameter              what a deployed store says about itself can't be used
    ├── StreamNotFound
    ├── ReplayTargetNotAllowed             a target that the deployment doesn't name
    ├── ReplayKeyReused                    another replay was asked for with the same idempotency key
    ├── ReplayNotFound
    ├── ReplayOver                         a replay that is not in a state to be steered so
    ├── SubscriptionNotFound               it has no checkpoint to begin at
    ├── HandlerFailed                      a subscription stopped at an event that its handler can't handle
    ├── LeaseLost                          a worker no longer holds a tranche's lease; nothing was stored
    ├── WorkerIdInUse                      two workers of a subscription have one id
    ├── WorkerRunning                      a worker called from two threads, or by its own handler
    ├── MalformedSubscriptionItem          an item of the subscriptions table that can't be used
    ├── TransientError                     it passes by itself; the same again is safe
    │   ├── StoreUnavailable               throttled or unreachable after all tries
    │   ├── ClockSkewed                    this computer's clock is too far from DynamoDB's
    │   ├── FailedEventsUnavailable        the queue of failed events could not be reached
    │   └── HandlerUnavailable             what a subscription's handler needs is away; the event comes again
    ├── StoreMisconfigured                 it can't succeed as it's set up; the request changed nothing
    │   ├── TableNotFound                  no such table in this account and Region
    │   ├── WrongTable                     a table with other keys, or without an index
    │   ├── QueueNotFound
    │   ├── AccessDenied                   the credentials don't permit the action
    │   ├── CredentialsMissing             none that can be used
    │   ├── CredentialsExpired             or this computer's clock is wrong
    │   ├── CredentialsRefused             AWS doesn't know them
    │   └── RegionMissing
    ├── ReadModelRefused                   a projection's writes can't be done; nothing was written
    ├── EventsMissing                      a projection was given an event before earlier ones of its stream
    ├── UnknownEventName                   an event that a codec has no class for
    ├── UndecodableEvent                   an event of which a codec can't make its class
    ├── StreamGap                          EventIds of a stream are missing
    ├── UnexpectedItem                     DynamoDB answered with an item that was not asked for
    ├── MalformedItem                      an item of the table that is not an event
    ├── MalformedReplay                    a replay's item that can't be read
    ├── MalformedStoreItem                 the store's own item, which says how many shards are read
    ├── RestoreNotDeclared                 a table that was restored, before that is declared
    ├── StoreItemMissing                   that item is gone, though there are events
    ├── StoreFormatUnknown                 the store was written by a newer version of this library
    ├── CompressionUnavailable             a payload's codec isn't installed here
    ├── BlockMissing                       a block of the log that is gone, though later ones are there
    ├── MalformedBlock                     a block of the log that can't be read
    ├── PositionNotInLog                   a position from before a restore of the log; nothing was read
    ├── PositionOfAnotherLog               a position from before the log was rebuilt; nothing was read
    ├── NotPublishable                     an event that can't be put on a bus, not even by reference
    ├── LogInUse                           somebody else writes to a log that is being rebuilt
    ├── TranchesChanged                    the log was begun with another number of tranches
    ├── PublicationStopped                 a batch was published only in part; the rest has to be tried again
    ├── LogWritingStopped                    a batch was logged only in part; the rest has to be tried again
    ├── FileExists                         an export would replace a file
    ├── BadExport                          a file that can't be imported; nothing was written
    ├── StoreNotEmpty                      an import into a store with events, not asked for as such
    ├── OtherVerification                  a folder with the checkpoints of another verification
    └── BadCheckpoints                     a folder whose checkpoints can't be read, or are in use
"""

from eventstore.errors.base import EventStoreError, TransientError
from eventstore.errors.inputs import (
    DuplicateEventUid,
    EmptyAppend,
    EventTooLarge,
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
    InvalidPublishedEvent,
    InvalidRange,
    InvalidReplay,
    InvalidStreamId,
    InvalidSubscription,
    InvalidSubscriptionName,
    NotSynchronous,
    RepeatedStream,
    TooManyEvents,
    TransactionTooLarge,
)
from eventstore.errors.misconfigured import (
    AccessDenied,
    CredentialsExpired,
    CredentialsMissing,
    CredentialsRefused,
    QueueNotFound,
    RegionMissing,
    StoreMisconfigured,
    TableNotFound,
    WrongTable,
)
from eventstore.errors.operations import (
    BadCheckpoints,
    BadExport,
    BadLine,
    FailedEventsUnavailable,
    FileExists,
    InvalidStoreParameter,
    MalformedReplay,
    OtherVerification,
    ReplayKeyReused,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreNotEmpty,
    UnknownStore,
)
from eventstore.errors.readers import (
    BlockMissing,
    EventsMissing,
    HandlerFailed,
    HandlerUnavailable,
    LeaseLost,
    LogInUse,
    LogWritingStopped,
    MalformedBlock,
    MalformedSubscriptionItem,
    NotPublishable,
    PositionNotInLog,
    PositionOfAnotherLog,
    PublicationStopped,
    ReadModelRefused,
    SubscriptionNotFound,
    TranchesChanged,
    UndecodableEvent,
    UnknownEventName,
    WorkerIdInUse,
    WorkerRunning,
)
from eventstore.errors.store import (
    ClockSkewed,
    CompressionUnavailable,
    EventUidReused,
    ExpectedVersionAhead,
    HeadNotInStream,
    MalformedItem,
    MalformedStoreItem,
    PartlyAppended,
    RestoreNotDeclared,
    StoreFormatUnknown,
    StoreItemMissing,
    StoreUnavailable,
    StreamGap,
    StreamNotFound,
    TimestampOutOfRange,
    UidNotSearchable,
    UnexpectedItem,
    VersionConflict,
)

__all__ = [
    "AccessDenied",
    "BadCheckpoints",
    "BadExport",
    "BadLine",
    "BlockMissing",
    "ClockSkewed",
    "CompressionUnavailable",
    "CredentialsExpired",
    "CredentialsMissing",
    "CredentialsRefused",
    "DuplicateEventUid",
    "EmptyAppend",
    "EventStoreError",
    "EventTooLarge",
    "EventUidReused",
    "EventsMissing",
    "ExpectedVersionAhead",
    "FailedEventsUnavailable",
    "FileExists",
    "HandlerFailed",
    "HandlerUnavailable",
    "HeadNotInStream",
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
    "InvalidPublishedEvent",
    "InvalidRange",
    "InvalidReplay",
    "InvalidStoreParameter",
    "InvalidStreamId",
    "InvalidSubscription",
    "InvalidSubscriptionName",
    "LeaseLost",
    "LogInUse",
    "LogWritingStopped",
    "MalformedBlock",
    "MalformedItem",
    "MalformedReplay",
    "MalformedStoreItem",
    "MalformedSubscriptionItem",
    "NotPublishable",
    "NotSynchronous",
    "OtherVerification",
    "PartlyAppended",
    "PositionNotInLog",
    "PositionOfAnotherLog",
    "PublicationStopped",
    "QueueNotFound",
    "ReadModelRefused",
    "RegionMissing",
    "RepeatedStream",
    "ReplayKeyReused",
    "ReplayNotFound",
    "ReplayOver",
    "ReplayTargetNotAllowed",
    "RestoreNotDeclared",
    "StoreFormatUnknown",
    "StoreItemMissing",
    "StoreMisconfigured",
    "StoreNotEmpty",
    "StoreUnavailable",
    "StreamGap",
    "StreamNotFound",
    "SubscriptionNotFound",
    "TableNotFound",
    "TimestampOutOfRange",
    "TooManyEvents",
    "TranchesChanged",
    "TransactionTooLarge",
    "TransientError",
    "UidNotSearchable",
    "UndecodableEvent",
    "UnexpectedItem",
    "UnknownEventName",
    "UnknownStore",
    "VersionConflict",
    "WorkerIdInUse",
    "WorkerRunning",
    "WrongTable",
]
