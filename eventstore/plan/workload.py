"""What a store is planned for: events, reads, readers, and how it's set."""

from __future__ import annotations

from dataclasses import dataclass

from eventstore import limits
from eventstore.plan.parameters import check, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The load of a store at its peak, and the settings that meet it.

    Capacity and bottlenecks are planned for the peak, cost for the month's average.

    Raises:
        InvalidLimit: a number is out of its bounds.
    """

    events_per_second: float = parameter(
        None, "events appended a second at the peak", unit="events/s", low=0.001, high=1_000_000
    )
    item_kb: float = parameter(
        1.0,
        "average size of an event's item, attribute names included",
        unit="KB of 1,024 bytes",
        low=0.001,
        high=limits.ITEM_MAX_BYTES / 1_024,
    )
    events_per_append: float = parameter(
        1,
        "events of one append; more than one go as a transaction, which costs twice as much",
        unit="events",
        low=1,
        high=limits.TRANSACTION_MAX_EVENTS,
    )
    peak_factor: float = parameter(
        1, "the peak divided by the month's average; 1: the peak lasts all month", unit="x", low=1
    )
    reads: float | None = parameter(
        None, "streams loaded a second at the peak; left out: one before each append", unit="loads/s"
    )
    events_per_read: float = parameter(10, "events of a stream when it's loaded", unit="events", low=0)
    pages: float = parameter(0, "pages of all streams (GET /events) read a second", unit="pages/s")
    page_events: float = parameter(
        limits.PAGE_DEFAULT_EVENTS,
        "events of such a page",
        unit="events",
        low=1,
        high=limits.PAGE_MAX_EVENTS,
    )
    subscriptions: float = parameter(
        1, "subscriptions that follow the log and read every event", unit="subscriptions"
    )
    log_readers: float | None = parameter(
        None,
        "readers of the log and its events: subscriptions that share one (SharedReader) count as one; left "
        "out: each subscription reads for itself",
        unit="readers",
    )
    handler_concurrency: float = parameter(
        1,
        "events at work at a time in a subscription's worker (Terms.concurrency)",
        unit="events",
        low=1,
        high=limits.SUBSCRIPTION_CONCURRENCY_MAX,
    )
    replays_per_month: float = parameter(0, "replays a month of everything that is stored", unit="replays")
    retention_months: float = parameter(
        12, "months of events that are stored when the cost is taken", unit="months", low=0, high=1_200
    )
    http_percent: float = parameter(
        100, "share of appends and loads that comes over the HTTP API, not the library", unit="%", high=100
    )
    rules_per_event: float = parameter(1, "rules of the bus that an event matches", unit="rules")
    hottest_stream_percent: float = parameter(
        0.1, "share of the events that the busiest stream gets", unit="%", low=0, high=100
    )
    read_back_percent: float = parameter(
        0,
        "share of events whose predecessor publisher and log writer read back each: those of writers that "
        "don't say when it was written (ADR 4)",
        unit="%",
        high=100,
    )
    write_shards: float | None = parameter(
        None,
        "write shards of the store; left out: what the events need",
        unit="shards",
        low=1,
        high=limits.SHARDS_MAX,
        whole=True,
    )
    utilisation_percent: float = parameter(
        limits.SHARD_UTILISATION_PERCENT,
        "how full a shard may be at the peak, on average; 100 is the least number of shards",
        unit="%",
        low=1,
        high=100,
    )
    warm_write_units: float = parameter(
        4_000,
        "write units a second that table and index are warmed for; 4,000 is a new table",
        unit="WCU/s",
        low=4_000,
    )
    warm_read_units: float = parameter(
        12_000,
        "read units a second that table and index are warmed for; 12,000 is a new table",
        unit="RCU/s",
        low=12_000,
    )
    batch_size: float = parameter(
        100, "records of one call of the publisher (publishBatchSize)", unit="records", low=1, high=10_000
    )
    window_s: float = parameter(
        0, "seconds to gather such a batch (publishWindowS)", unit="s", low=0, high=300
    )
    log_batch_size: float = parameter(
        100, "records of one call of the log writer (logBatchSize)", unit="records", low=1, high=10_000
    )
    log_window_s: float = parameter(0, "seconds to gather such a batch (logWindowS)", unit="s", high=300)
    log_tranches: float = parameter(
        limits.LOG_TRANCHES, "tranches of the log", unit="tranches", low=1, high=limits.LOG_TRANCHES_MAX
    )
    parallelization_factor: float = parameter(
        1, "batches of one stream shard at a time; the stack sets 1", unit="x", low=1, high=10
    )
    api_requests_per_second: float | None = parameter(
        None, "requests a second that the API's stage lets in (apiRequestsPerSecond)", unit="requests/s"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def appends_per_second(self) -> float:
        return self.events_per_second / self.events_per_append

    @property
    def loads_per_second(self) -> float:
        return self.appends_per_second if self.reads is None else self.reads

    @property
    def readers(self) -> float:
        """Subscriptions, but those that share a reader as one."""
        return self.subscriptions if self.log_readers is None else min(self.log_readers, self.subscriptions)

    @property
    def http_share(self) -> float:
        return self.http_percent / 100

    @property
    def read_back_share(self) -> float:
        return self.read_back_percent / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """How long calls take and how large small things are: assumed, not measured on AWS. Put in your own.

    Raises:
        InvalidLimit: a number is out of its bounds.
    """

    read_back_ms: float = parameter(10, "a BatchGetItem of up to 100 events, from a function", unit="ms")
    journal_ms: float = parameter(10, "a query and a put of the journal, each batch", unit="ms")
    put_events_ms: float = parameter(20, "a call of PutEvents", unit="ms", low=0.1)
    log_put_ms: float = parameter(5, "a put of a block of the log", unit="ms", low=0.1)
    invoke_ms: float = parameter(
        5, "what a call of publisher or log writer takes beyond that", unit="ms", low=0.1
    )
    append_ms: float = parameter(20, "a call of the append function", unit="ms", low=0.1)
    load_ms: float = parameter(20, "a call of the read function", unit="ms", low=0.1)
    poll_s: float = parameter(
        0.25,
        "how often Lambda looks for records in a stream shard",
        unit="s",
        low=0.001,
        source="Lambda Developer Guide, 'Using AWS Lambda with Amazon DynamoDB': 4 times a second",
    )
    subscription_poll_s: float = parameter(
        0.5, "how often a subscription looks for news", unit="s", low=0.001, source="subscriptions.Terms"
    )
    handler_ms: float = parameter(10, "a subscription's handler, one event", unit="ms", low=0.01)
    log_entry_bytes: float = parameter(
        82, "an event's entry in the log (stream id of 42 characters)", unit="bytes", low=1
    )
    envelope_kb: float = parameter(0.5, "what an event on the bus has beyond its item", unit="KB")
    log_bytes_per_call: float = parameter(
        800, "what a call leaves in CloudWatch's logs: Lambda's three lines, metrics", unit="bytes"
    )
    traced_percent: float = parameter(5, "share of calls that X-Ray records", unit="%", high=100)
    stream_function_gb: float = parameter(0.5, "memory of publisher and log writer", unit="GB", low=0.128)
    api_function_gb: float = parameter(1, "memory of the functions behind the API", unit="GB", low=0.128)

    def __post_init__(self) -> None:
        check(self)
