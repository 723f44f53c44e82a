"""The log's table: the one place that owns its names. The CDK app imports them from here.

This module imports nothing, so that `infra/` can use it without boto3.

One item is one block of entries:

========  =  ========================================================================================
Tranche   N  partition key; a stream lives in one tranche: crc32 of its id, modulo the tranches
Block     N  sort key; 1, 2, 3 ... without gaps; its uniqueness decides between two writers
Entries   S  JSON array of [StreamId, EventId, EventName, Timestamp], in order; with WrittenAt behind it for
             an event that has one
BlockUid  S  the writer's own; a put whose answer got lost is known by it
Newest    N  the highest Timestamp of this block and all before it; left out behind a block without one
Closed    BOOL  true where it stands in place of a block that was lost; it has no entries then
========  =  ========================================================================================

And one item, of tranche -1, says which log it is:

========  =  ========================================================================================
Tranche   N  -1
Block     N  0
Tranches  N  the number that the log was begun with; no other is ever written to it
LogId     S  what tells this log from every other one: positions and checkpoints carry it
Rebuilt   N  while it's rebuilt from the table: all events with a lower Timestamp are in it, microseconds
             since 1970 UTC. Nobody else writes blocks meanwhile. Left out of a log that is whole
========  =  ========================================================================================
"""

from typing import Final

TRANCHE: Final = "Tranche"
BLOCK: Final = "Block"
ENTRIES: Final = "Entries"
BLOCK_UID: Final = "BlockUid"
NEWEST: Final = "Newest"
CLOSED: Final = "Closed"
TRANCHES: Final = "Tranches"
LOG_ID: Final = "LogId"
REBUILT: Final = "Rebuilt"

NO_TRANCHE: Final = -1
"""The partition of the item that says which log it is."""
