"""The events table: the one place that owns its names. The CDK app imports them from here.

This module imports nothing, so that `infra/` can use it without boto3.

==========  =  ======================================================================================
StreamId    S  partition key; one stream is one aggregate, loading it is one Query
EventId     N  sort key; 1, 2, 3 ... without gaps; its uniqueness is the optimistic lock
EventName   S  what happened, past tense; EventBridge's detail-type
Payload     S  JSON text, kept exactly as sent
PayloadZ    B  in place of Payload where the store compresses: a zlib stream or a zstd frame of it
Metadata    S  JSON object; left out when empty
EventUid    S  the writer's UUID or ours; a retried append is known by it
Timestamp   N  microseconds since 1970 UTC; strictly increasing inside a stream
GSIKey      N  random 0..N-1; spreads the time index over N partitions
WrittenAt   N  when it was written, where its Timestamp doesn't say so: it was imported, or stands behind a
               Timestamp that was ahead; microseconds since 1970 UTC
PreviousAt  N  when the event before it was written, so that publication needn't read that; left out of a
               stream's first event and of imported ones
Epoch       N  the store's epoch when it was written, as the item below had it; left out before a first
               restore. Its CloudEvents id has it, since lost events had the same EventIds
==========  =  ======================================================================================

And one item of the store's own, `$store` / 0, from which readers and writers take what they must agree about.
It has neither Timestamp nor GSIKey, so it isn't in the index; whoever reads events passes over it. It's there
before the first event: where events are without it, it was deleted, and who needs it refuses.

================  =  ================================================================================
Format            N  version of the stored items: 1. Who knows only lower ones reads and writes nothing
ReadShards        N  the most shards that were ever written, so that have to be read; it never falls. The
                     one place of it: no setting, no parameter and no reader has a number of its own
Since             N  microseconds since 1970 UTC, when ReadShards was set
ReadShardsBefore  N  how many of them every reader knew of then: no others are written until all know
Table             S  the name of this table: a restored one has another, and is written when that is declared
Epoch             N  microseconds since 1970 UTC, when its last restore was declared; left out before a first
================  =  ================================================================================

How many tranches the log has stands in the log's own table (`log_schema`).
"""

from typing import Final

STREAM_ID: Final = "StreamId"
EVENT_ID: Final = "EventId"
EVENT_NAME: Final = "EventName"
PAYLOAD: Final = "Payload"
PAYLOAD_Z: Final = "PayloadZ"
METADATA: Final = "Metadata"
EVENT_UID: Final = "EventUid"
TIMESTAMP: Final = "Timestamp"
WRITTEN_AT: Final = "WrittenAt"
PREVIOUS_AT: Final = "PreviousAt"
EPOCH: Final = "Epoch"
"""Of an event, and of the store's own item."""
GSI_KEY: Final = "GSIKey"

STORE_STREAM_ID: Final = "$store"
STORE_EVENT_ID: Final = 0
FORMAT: Final = "Format"
FORMAT_VERSION: Final = 1
"""The version of the stored items that this library reads and writes."""
READ_SHARDS: Final = "ReadShards"
READ_SHARDS_BEFORE: Final = "ReadShardsBefore"
SINCE: Final = "Since"
TABLE: Final = "Table"

BY_TIME: Final = "ByTime"
"""The time index: partition key GSIKey, sort key Timestamp, projection ALL."""
