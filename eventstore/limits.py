"""Every limit of the event store: its value, its unit and where it comes from.

The values are checked before anything is sent, so that what is refused is refused whole.
"""

from math import ceil
from typing import Final

# --- streams and events (ours unless a service is named) ------------------------------------------

STREAM_ID_MAX_BYTES: Final = 1_024
"""UTF-8 bytes of a stream id. DynamoDB takes 2,048 for a partition key but 1,024 for a sort key;
the lower one leaves room to use stream ids as sort keys of read models."""

RESERVED_STREAM_ID_PREFIX: Final = "$"
"""Stream ids that begin so are kept for the store's own items."""

EVENT_NAME_MAX_CHARS: Final = 256
"""Characters of an event's name (ours). EventBridge's detail-type holds 128 of them: see
`DETAIL_TYPE_MAX_CHARS`."""

JSON_MAX_DEPTH: Final = 100
"""Levels of nesting of a payload or its metadata (ours: common parsers of consumers stop between
a hundred and a thousand levels)."""

JSON_NUMBER_MAX_CHARS: Final = 1_000
"""Characters of one number in a payload or its metadata (ours: Jackson stops there, and Python makes no
integer of more than 4,300 digits). No number may be beyond a double's range either (RFC 8259, 6): JavaScript
reads 1e400 as infinite, and Go, msgspec and orjson refuse it."""

VERSION_MAX: Final = 10**15
"""The highest EventId (ours: keeps version numbers exact in every JSON reader, i.e. below 2^53)."""

# --- DynamoDB (Developer Guide, "Quotas") ---------------------------------------------------------

ITEM_MAX_BYTES: Final = 400 * 1_024
"""Bytes of one item, attribute names included (DynamoDB: 400 KB)."""

EVENT_OVERHEAD_BYTES: Final = 183
"""Bytes of an event's item beyond the stream id, name, payload and metadata: attribute names, uid
and numbers (ours, rounded up; a test holds it against DynamoDB's own count)."""

COMPRESSION_MIN_BYTES: Final = 512
"""Bytes from which on a payload is compressed, where a store compresses (ours): with less, an event rarely
takes a capacity unit less."""

TRANSACTION_MAX_EVENTS: Final = 100
"""Events in one append or one transaction (DynamoDB TransactWriteItems: 100 items)."""

READ_MAX_ADDRESSES: Final = 100
"""Events that one request reads by their addresses (DynamoDB BatchGetItem: 100 keys)."""

TRANSACTION_MAX_BYTES: Final = 4 * 1_024 * 1_024
"""Bytes of all items of one transaction (DynamoDB TransactWriteItems: 4 MB)."""

PROJECTION_MAX_WRITES: Final = 99
"""Writes of a projection for one event (DynamoDB TransactWriteItems: 100 items; one is the stream's last
EventId)."""

KEY_MAX_BYTES: Final = 1_024
"""Bytes of a text or bytes in the key of a read model's item (DynamoDB: 2,048 in a partition key and 1,024 in
a sort key; the lower one, so that which is which needn't be known)."""

ITEM_MAX_LEVELS: Final = 32
"""Levels of nesting of an attribute (DynamoDB: 32)."""

NUMBER_MAX_DIGITS: Final = 38
"""Significant digits of a number (DynamoDB: 38)."""

NUMBER_MIN_EXPONENT: Final = -130
"""The smallest number above 0 is 10 to the power of it (DynamoDB: 1E-130)."""

NUMBER_MAX_EXPONENT: Final = 125
"""Numbers are below 10 to the power of one more (DynamoDB: 9.99...E+125)."""

WRITES_PER_SHARD_PER_SECOND: Final = 1_000
"""Write units a second that one partition of the index takes (DynamoDB: 1,000 WCU a partition)."""

WRITE_UNIT_BYTES: Final = 1_024
"""Bytes that one write capacity unit covers (DynamoDB: 1 KB)."""

SHARDS_MAX: Final = 1_000
"""Shards of the time index (ours: every read of all streams queries each of them)."""

SHARD_UTILISATION_PERCENT: Final = 80
"""How full a shard of the time index may be on average at the peak (ours, ADR 13): chance needs 14 % of room
for events of 1 KB, and a partition that is over its 1,000 units a second throttles appends."""

TRANSACTION_EVENT_OVERHEAD_BYTES: Final = 32
"""Bytes that DynamoDB counts for each event of a transaction beyond its item: the text of its condition
(30), rounded up. A test finds the edge on DynamoDB Local."""

FACTS_REFRESH_S: Final = 30.0
"""Seconds for which a reader of all streams trusts what it knows about the shards (ours): 0.5 RCU each."""

FACTS_WRITER_REFRESH_S: Final = 600.0
"""Seconds after which a writer that is given no number of shards asks the store again (ours): 0.5 RCU each.
It may learn of more shards late: they only spread the events wider, and hide none."""

FACTS_SPREAD_S: Final = 60.0
"""Seconds from when a writer sees a higher number of shards until it writes to the new ones (ours): every
reader's copy is `FACTS_REFRESH_S` old at most, and the rest is room for a read that was on its way, the lag
of a replica and a clock that is set."""

FACTS_CLOCKS_S: Final = 300.0
"""Seconds by which the clocks of two writers may differ (ours) when one of them, just begun, believes the
other's time of raising the number of shards; so old it has to be beyond `FACTS_SPREAD_S`."""

UID_SKEW_S: Final = 10.0
"""Seconds by which the clock that made a UUIDv7 may be ahead of the writer's (ours): one further ahead is
refused, whatever is expected. So no event that was appended is older than its uid less this, and so far back,
and no further, an append with ANY or EXISTS searches the stream for it. Each second more costs each of those
the events of that second; clocks kept by NTP differ by some milliseconds."""

UID_SEARCH_MAX_EVENTS: Final = 1_000
"""Events that an append with ANY or EXISTS and uids of its own looks at, at most, to know whether it was made
before (ours: 250 RCU at up to 1 KB an event, 100 events a second of one stream). At 100 a second the searches
would read eight times what a partition gives (3,000 RCU a second), so more would serve nobody."""

UID_SEARCH_MAX_BYTES: Final = 4 * 1_024 * 1_024
"""Bytes of events, uncompressed, after which that search ends, too (ours: 1,024 RCU, and up to 256 for the
rest of the last query's 1 MB)."""

APPEND_MAX_TRIES: Final = 100
"""Tries of one append that expects no version, or is in the way of other transactions, with pauses of up to
0.2 s between them: some 10 s in all."""

TIMESTAMP_MAX_US: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, in microseconds since 1970 (RFC 3339, Python's datetime)."""

# --- requests to DynamoDB (ours) -------------------------------------------------------------------

CONNECT_TIMEOUT_S: Final = 0.5
"""Seconds that a connection to DynamoDB may take."""

READ_TIMEOUT_S: Final = 5.0
"""Seconds that DynamoDB may take for an answer."""

REQUEST_MAX_TRIES: Final = 3
"""Tries of one request for as long as DynamoDB is throttled, fails or isn't reached."""

REQUEST_PAUSE_S: Final = 0.5
"""Seconds at most before the second try of a request; each further pause may be twice as long."""

REQUEST_MAX_S: Final = (
    REQUEST_MAX_TRIES * (CONNECT_TIMEOUT_S + READ_TIMEOUT_S)
    + (2 ** (REQUEST_MAX_TRIES - 1) - 1) * REQUEST_PAUSE_S
)
"""Seconds that one request takes at most, with all of its tries and pauses (18)."""

# --- clocks (ours) ---------------------------------------------------------------------------------

CLOCK_TOLERANCE_S: Final = 1.5
"""Seconds by which the clock of a writer or reader may differ from DynamoDB's. Clocks that are kept by NTP
differ by some milliseconds."""

INDEX_LAG_S: Final = 1.5
"""Seconds after which the index by time has what the table has: mostly far below one (DynamoDB promises
none)."""


def settling_min_s(clock_tolerance_s: float) -> float:
    """Return the seconds that the settling time has to have where clocks may differ so far from DynamoDB's.

    An event is stamped, its one request may take until its time-outs, the writer's clock may be behind and
    the reader's ahead, and the index may lag. A tolerance below `CLOCK_TOLERANCE_S` lowers nothing: other
    processes may have that one.
    """
    tolerance_s = max(clock_tolerance_s, CLOCK_TOLERANCE_S)
    return CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 2 * tolerance_s + INDEX_LAG_S


SETTLING_MIN_S: Final = settling_min_s(CLOCK_TOLERANCE_S)
"""Seconds that the settling time has to have (10) with that tolerance."""

# --- reading --------------------------------------------------------------------------------------

SETTLING_S: Final = SETTLING_MIN_S
"""Seconds until an event counts as settled (ours): see `SETTLING_MIN_S`."""

SETTLING_MAX_S: Final = 3_600
"""The longest settling time that can be set, in seconds (ours)."""

CLOCK_TOLERANCE_MAX_S: Final = CLOCK_TOLERANCE_S + (SETTLING_MAX_S - SETTLING_MIN_S) / 2
"""The highest tolerance that can be set, in seconds: what the longest settling time covers (1,796.5)."""

FUTURE_S: Final = CLOCK_TOLERANCE_S + 3.5
"""Seconds by which a Timestamp has to be ahead of DynamoDB's clock to count as one from the future (ours):
verify finds it, import refuses it. DynamoDB's answers have whole seconds, and a moment has passed since."""

TIME_PAGE_MAX_CHARS: Final = 1_024 * 1_024
"""Characters of payloads, unpacked, after which a page of one shard of the time index ends (ours: DynamoDB
ends it after 1 MB of what is stored, and that may unpack to many times as much)."""

# --- EventBridge (User Guide, "Quotas" and "PutEvents") -------------------------------------------

PUT_EVENTS_MAX_ENTRIES: Final = 10
"""Entries of one PutEvents call (EventBridge: 10)."""

PUT_EVENTS_MAX_BYTES: Final = 256 * 1_024
"""Bytes of one PutEvents call and so of one entry, as EventBridge counts them. The service takes
1 MB since January 2026; 256 KB is the default here since many rule targets still stop there."""

DETAIL_TYPE_MAX_CHARS: Final = 128
"""Characters of an entry's detail-type (EventBridge: 128). A longer event name is cut in the
detail-type and stands whole in the detail's `type`."""

PUT_EVENTS_INTEGER_MAX: Final = 2**63 - 1
"""The highest integer in an entry's detail, the lowest being one below its negative (EventBridge: 64
bit). An event with a larger one goes out by reference."""

# --- publication (ours) ---------------------------------------------------------------------------

REORDER_WINDOW_S: Final = 30.0
"""Seconds between the making of two records of one stream within which the table's stream may still deliver
the later one first (ours): they part company inside DynamoDB's replication to the stream, mostly below a
second, or where a partition has just been split. DynamoDB's own times of the records are compared, never the
clock, so a backlog of hours changes nothing."""

WRITTEN_LATE_S: Final = 2 * CLOCK_TOLERANCE_S + CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 1.0
"""Seconds by which a record can be made after its event was written as the event says (9.5): the writer's
clock may be behind, a Timestamp says the time to within the same tolerance, the request may take until its
time-outs, and DynamoDB tells the time of a record in whole seconds."""

READ_BACK_MAX_EVENTS: Final = 1_000
"""Events that are read back before one. A wider hole inside a batch comes from a record that was repeated
long after its time; of it, only what lies within the reorder window is published again."""

NOT_YET_VISIBLE_S: Final = 60.0
"""Seconds after the making of a record for which an earlier event that isn't there counts as not yet visible
(ours): a transaction is complete when its writer is answered, within `REQUEST_MAX_S`. Later it counts as
deleted."""

STREAMS_REMEMBERED: Final = 10_000
"""Streams whose published events a publisher remembers, about 2 MB of memory."""

JOURNAL_S: Final = 120.0
"""Seconds back to which a publisher or log writer looks into the journal (ours): three reorder windows. What
others did before counts as unknown, which costs a read and a repeat."""

JOURNAL_OVERLAP_S: Final = 1.0
"""Seconds of the journal that are read again each time (ours): the clocks of two functions, and the time that
a write takes, may differ by so much. What is missed for it costs a read and a repeat."""

JOURNAL_STREAMS_PER_UNIT: Final = 100
"""Streams that one write unit tells the journal of (ours: 9 bytes each, and the rest of an item)."""

JOURNAL_MAX_PAGES: Final = 8
"""Pages of 1 MB of the journal that are read at once, at most (ours): of more, the rest counts as unknown."""

JOURNAL_KEPT_S: Final = 3_600
"""Seconds after which DynamoDB may delete what stands in the journal (ours)."""

PUBLISH_MAX_TRIES: Final = 5
"""Tries of one event before its batch stops and is left to the stream's own retry; with pauses of up
to 0.1, 0.2, 0.4 and 0.8 s between them."""

PUBLISH_RESERVE_S: Final = REQUEST_MAX_S + CONNECT_TIMEOUT_S + READ_TIMEOUT_S
"""Seconds before the function's deadline at which a batch stops: what one read takes at most (one call to
EventBridge or SQS takes less), and a write to the journal. Give the function several times as much."""

# --- the log (ours) -------------------------------------------------------------------------------

LOG_TRANCHES: Final = 4
"""Tranches of the log: so many workers can read it side by side. Each takes one block after the other, some
200 a second at 5 ms a put (1,000 of 1 KB is DynamoDB's own limit for a partition). More tranches make smaller
blocks, which cost more. Fixed once a log has been begun."""

LOG_TRANCHES_MAX: Final = 256
"""The most tranches that a log can have: a position names a place in each of them."""

LOG_LOOK_S: Final = 30.0
"""Seconds after which a process looks again which log it reads or writes (ours): it may have been rebuilt."""

LOG_BLOCK_MAX_BYTES: Final = 64 * 1_024
"""Bytes of the entries of one block, far below an item's 400 KB: a reader who goes on inside of a block
reads all of it again."""

INDEX_RESERVE_S: Final = 2 * REQUEST_MAX_S + CONNECT_TIMEOUT_S + READ_TIMEOUT_S
"""Seconds before the function's deadline at which a batch stops being logged: what a read and a write take
at most, and a write to the journal."""

# --- subscriptions (ours) --------------------------------------------------------------------------

SUBSCRIPTION_PAGE_MAX_ENTRIES: Final = 10_000
"""Entries of the log that a worker reads at a time. It holds them all, about 3 MB, and while it reads them it
handles nothing, keeps no lease and sees no `stop`. So many mostly fill one query (DynamoDB: 1 MB); more would
save nothing."""

SUBSCRIPTION_CONCURRENCY_MAX: Final = 256
"""Calls of its handler that a worker has at work at a time, each in a thread of its own. More would wait for
one interpreter; take more workers in processes of their own."""

SUBSCRIPTION_LOOK_AHEAD: Final = 8
"""Events for each such call that a worker looks at, to find so many streams: what may be handled again beside
`checkpoint_events` when it dies."""

SHARED_READER_BYTES: Final = 64 * 1_024 * 1_024
"""Bytes of entries and events that a reader keeps which several subscriptions share (ours): at 4,000 events
of 1 KB a second some 5 s, which the slowest of them may be behind and still find what it needs."""

WARM_UP_MAX_BLOCKS: Final = 1_000
"""Blocks before the checkpoint that a worker reads again when it takes a tranche: up to 64 MB, which is 64
queries (DynamoDB: 1 MB each), while it keeps no lease either."""

# --- replay jobs (ours unless a service is named) --------------------------------------------------

REPLAY_PAGE_EVENTS: Final = 500
"""Events that are read and sent before a replay's position is stored: as many may be sent again."""

REPLAY_PAGE_BYTES: Final = 32 * 1_024 * 1_024
"""Memory of the entries of one such page: a page of large events ends there, and an event of 400 KB may take
1.6 MB, since Python gives each character of a text four bytes where one of them needs so many."""

REPLAY_STEP_S: Final = 60.0
"""Seconds for which one step of a replay sends before it ends and the next begins."""

REPLAY_SHARD_MB: Final = 8
"""MB of memory that a step needs at most for each shard of the time index: a page of 1 MB as it comes, and
its events with up to four bytes a character."""


def replay_memory_mb(shards: int) -> int:
    """Return the MB of memory of the step's function: 512 for Python, a page of entries and the calls made of
    it, and `REPLAY_SHARD_MB` for each shard; never below 1,024, which is more CPU, too.
    """
    return max(1_024, 512 + REPLAY_SHARD_MB * shards)


REPLAY_CALL_S: Final = 65.0
"""Seconds that one call to a replay's target takes at most: a function may work for 60."""

REPLAY_TIMEOUT_S: Final = ceil(REPLAY_STEP_S + REPLAY_CALL_S + 2 * REQUEST_MAX_S)
"""Seconds that a step may take: its first read, `REPLAY_STEP_S`, a last call, and its last write."""

REPLAY_LEASE_S: Final = REPLAY_TIMEOUT_S + 15.0
"""Seconds for which a step keeps others out, unless it ends before: longer than it can last."""

REPLAY_BURST_S: Final = 5.0
"""Seconds' worth of events that a step of a replay with a pace sends at once, before it waits."""

REPLAY_MAX_FAILED_STEPS: Final = 8
"""Steps without progress until a replay counts as failed, with waits of 2, 4, 8 ... 128 s between them. One
that has died counts as well; the next waits for its lease."""

REPLAY_REASON_MAX_CHARS: Final = 1_000
"""Characters that are kept of why a replay couldn't go on (ours)."""

REPLAY_MAX_PAUSE_S: Final = 300
"""Seconds that a replay waits at most for its target, or for events to settle, before it looks again."""

REPLAY_RUN_MAX_STEPS: Final = 500
"""Steps of one execution of the state machine. Its history takes 25,000 events; a step makes 9, and 24 more
if it's retried as often as it may be."""

REPLAYS_AT_ONCE: Final = 10
"""Replays that run at once unless it's set otherwise: each takes one of the account's concurrent executions
of functions (Lambda: 1,000 by default), and one more where its target is a function."""

REPLAYS_AT_ONCE_MAX: Final = 100
"""The most that can be set: so many items are read whenever a replay begins or ends."""

REPLAYS_QUEUE_MAX: Final = 1_000
"""Replays that run and wait together: their ids are one item, of 39 KB then (DynamoDB: 400 KB)."""

REPLAY_SILENT_S: Final = 1_800
"""Seconds after which a replay whose turn it is, and of which nothing was stored, gets a new run. A pause
takes 300 at most, and the retries of a step that fails without a word some 400."""

REPLAY_NOW_MARGIN_S: Final = 1.0
"""Seconds beyond the request up to which "now" reaches, for writers whose clocks are ahead by less."""

REPLAY_EVENTS_PER_SECOND_MAX: Final = 100_000
"""The highest pace that can be asked for."""

REPLAY_NAMES_MAX: Final = 100
"""Event names of one replay."""

IDEMPOTENCY_KEY_MAX_CHARS: Final = 255
"""Characters of the key by which a repeated request is known (ours)."""

REPLAYS_PAGE_MAX: Final = 100
"""Replays of one list."""

REPLAY_TARGETS_MAX_BYTES: Final = 3 * 1_024
"""Bytes of all ARNs that may be a target (Lambda: 4 KB of environment, which holds other variables too)."""

SQS_BATCH_MAX_ENTRIES: Final = 10
"""Messages of one SendMessageBatch (SQS: 10)."""

SQS_BATCH_MAX_BYTES: Final = 256 * 1_024
"""Bytes of all messages of one SendMessageBatch. SQS takes 1 MB since August 2025; queues that were made
before, and their consumers, stop at 256 KB."""

INVOKE_MAX_EVENTS: Final = 100
"""Events of one invocation of a function that is a replay's target."""

INVOKE_MAX_BYTES: Final = 1_024 * 1_024
"""Bytes of one such invocation (Lambda: 6 MB, synchronous)."""

# --- files of events (ours) ------------------------------------------------------------------------

LINE_MAX_BYTES: Final = 4 * 1_024 * 1_024
"""Bytes of one line: an event has at most 400 KB, whatever the escapes and spaces around it."""

LINE_SKIPPED_MAX_BYTES: Final = 64 * 1_024 * 1_024
"""Bytes that are read of a longer line to find the next one: what goes on beyond that, such as a device or a
compressed bomb, is no file of events."""

BAD_LINES_TOLD: Final = 20
"""Bad lines that are told one by one; the others are counted."""

EQUAL_TIMESTAMPS_MAX_KB: Final = 10_000
"""KB of events of one Timestamp that an import takes from a file without being asked to, each event's line
rounded up: a page of all streams that meets them reads and holds them all, which is 1,250 RCU each time."""

# --- HTTP (API Gateway and Lambda quotas) ---------------------------------------------------------

PAGE_MAX_EVENTS: Final = 1_000
"""Events of one page of the HTTP API (ours)."""

PAGE_DEFAULT_EVENTS: Final = 100
"""Events of one page when no limit is given (ours)."""

RESPONSE_MAX_BYTES: Final = 5 * 1_024 * 1_024
"""Bytes of events in one HTTP answer (ours; a Lambda's answer may have 6 MB). A page ends early
rather than pass it; its `next` goes on from there."""

REQUEST_MAX_BYTES: Final = 6 * 1_024 * 1_024
"""Bytes of one HTTP request as Lambda takes it (Lambda: 6 MB a synchronous invocation)."""
