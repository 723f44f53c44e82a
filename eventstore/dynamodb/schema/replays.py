"""The replays' table: the one place that owns its names. The CDK app imports them from here.

This module imports nothing, so that `infra/` can use it without boto3.

One item is one replay:

===============  =  =================================================================================
Kind             S  partition key, "replay": all of them stand in one list
ReplayId         S  sort key, a UUIDv7: in the order in which they were asked for
Target           S  the consumer's ARN
FromUs           N  the first Timestamp; left out when it's the beginning
ToUs             N  the first Timestamp that isn't sent
EventNames       S  JSON array of event names; empty for all
StreamPrefix     S  how the ids of its streams begin
EventsPerSecond  N  its pace; left out when it has none
RequestedUs      N  when it was asked for
RequestKey       S  the caller's key for its request; empty when there's none
RequestDigest    S  of what was asked for with the key; empty when there's none
ReplayStatus     S  queued, running, paused, failed, completed, cancelled
Reason           S  why it failed
EndedUs          N  when it ended; left out before
Position         S  how far it is; left out before the first event
Sent             N  messages taken by the target
FirstUs          N  the Timestamp of its first event; left out before
ActiveUs         N  for how long it has been running
UpdatedUs        N  when ActiveUs was counted last
PacedUntilUs     N  when its pace allows the next event
FailedSteps      N  steps that have begun since the last one that made progress
Run              N  raised by each resume
Fence            N  raised by each step
LeaseUntilUs     N  until when no other step begins
===============  =  =================================================================================

Times are microseconds since 1970 UTC.

For each key of a caller there's an item more, which is written with the replay and never changes:

===============  =  =================================================================================
Kind             S  "key"
ReplayId         S  the key
KeyOf            S  the id of its replay
===============  =  =================================================================================

One item has the queue:

===============  =  =================================================================================
Kind             S  "Queue"
ReplayId         S  "Queue"
Queue            L  ids of the replays that are queued or running, in the order in which they were queued: the
                    first of them run. One that is neither any more leaves it soon; one may stand there twice
===============  =  =================================================================================
"""

from typing import Final

KIND: Final = "Kind"
REPLAY_ID: Final = "ReplayId"
REPLAY: Final = "replay"
"""The value of `Kind`."""
KEY: Final = "key"
"""The same, of the key of a caller's request."""
KEY_OF: Final = "KeyOf"

QUEUE: Final = "Queue"
"""The value of `Kind` and `ReplayId`, and the name of the list."""

STATUS: Final = "ReplayStatus"
REASON: Final = "Reason"
RUN: Final = "Run"
FAILED_STEPS: Final = "FailedSteps"
FENCE: Final = "Fence"
LEASE_UNTIL_US: Final = "LeaseUntilUs"
QUEUED: Final = "queued"
RUNNING: Final = "running"
FAILED: Final = "failed"
