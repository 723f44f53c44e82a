"""The subscriptions table: the one place that owns its names. The CDK app imports them from here.

This module imports nothing, so that `infra/` can use it without boto3.

============  =  ====================================================================================
Subscription  S  partition key: the subscription's name; of a projection's last EventId
                 ``<projection>#<StreamId>``, so that they spread over partitions
Item          S  sort key, and with it what the item is:
============  =  ====================================================================================

``group#lease#<tranche>``: who reads a tranche, and how far it's read

============  =  ====================================================================================
Tranche       N  the log's
Tranches      N  how many there are
Checkpoint    S  ``<block>.<entries>``: everything before it is handled, skipped or parked
Owner         S  a worker's id; absent when it's free
Fence         N  rises with each owner; the condition of every write
Counter       N  rises with each write
StartedStream S  with StartedEvent the event that workers have begun to handle and not ended; absent mostly
StartedEvent  N
Starts        N  how many of them
Horizon       N  microseconds since 1970 UTC: no event that stands further before the checkpoint than is read
                 back was written later, so an unknown one that was written later was never read
Since         N  microseconds since 1970 UTC: older events aren't asked for; 0 for all
LogId         S  of which log the checkpoint is
============  =  ====================================================================================

``group#worker#<id>``: a worker of the group

============  =  ====================================================================================
Counter       N  rises with each sign of its life
Session       S  tells apart workers of one id
============  =  ====================================================================================

``parked#<tranche>#<hash of StreamId>#<EventId>``: an event that was put aside

============  =  ====================================================================================
StreamId      S  the event's
EventId       N  the event's
Tranche       N  the log's
Reason        S  what the handler said
Traceback     S  of its error; absent when there was none
ParkedAt      N  microseconds since 1970 UTC; sort key of the index ``Parked``, in which nothing else is
============  =  ====================================================================================

``last``: of a projection and a stream, its last projected EventId
"""

from typing import Final

SUBSCRIPTION: Final = "Subscription"
ITEM: Final = "Item"

TRANCHE: Final = "Tranche"
TRANCHES: Final = "Tranches"
CHECKPOINT: Final = "Checkpoint"
OWNER: Final = "Owner"
FENCE: Final = "Fence"
COUNTER: Final = "Counter"
STARTED_STREAM: Final = "StartedStream"
STARTED_EVENT: Final = "StartedEvent"
STARTS: Final = "Starts"
SESSION: Final = "Session"
HORIZON: Final = "Horizon"
SINCE: Final = "Since"
LOG_ID: Final = "LogId"

STREAM_ID: Final = "StreamId"
EVENT_ID: Final = "EventId"
REASON: Final = "Reason"
TRACEBACK: Final = "Traceback"
PARKED_AT: Final = "ParkedAt"
PARKED: Final = "Parked"
"""The index of what is parked: keys only, by Subscription and ParkedAt."""

GROUP_PREFIX: Final = "group#"
LEASE_PREFIX: Final = "group#lease#"
WORKER_PREFIX: Final = "group#worker#"
PARKED_PREFIX: Final = "parked#"
LAST_ITEM: Final = "last"
