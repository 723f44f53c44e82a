"""What a month costs, item by item, each with its formula."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from eventstore.limits import JOURNAL_STREAMS_PER_UNIT
from eventstore.plan.capacity import (
    EVENTUAL_SHARE,
    READ_UNIT_KB,
    SECONDS_PER_MONTH,
    Capacity,
    log_refused,
    log_units_per_event,
    log_writer_batch_ms,
    publisher_batch_ms,
    records_per_batch,
)
from eventstore.plan.figures import Figure, n
from eventstore.plan.prices import Prices
from eventstore.plan.workload import Assumptions, Workload

LEFT_OUT: Final = (
    "free tiers, discounts for volume, data transfer, what subscribers and replays' targets cost themselves, "
    "alarms and the dashboard (a few dollars)"
)

_MILLION: Final = 1_000_000
_GB: Final = 1_024**3
_BUS_EVENT_KB: Final = 64


def monthly_cost(
    workload: Workload, capacity: Capacity, *, assumed: Assumptions, prices: Prices
) -> list[Figure]:
    """Return what a month costs in US dollars, item by item; the last one is their sum.

    Units are those of the month's average: the peak's divided by `peak_factor`. The table is as large as
    after `retention_months`, and its stream has as many shards as that gives it.
    """
    month = _Month(workload, capacity, assumed)
    items = [
        *_writes(month, prices),
        *_reads(month, prices),
        *_storage(month, prices),
        *_functions(month, prices),
        *_api_and_bus(month, prices),
    ]
    total = sum(item.value for item in items)
    return [*items, Figure("total", "Together", total, "USD", f"sum of the {len(items)} items above")]


class _Month:
    """What happens in a month: a number of events, and of calls of each function."""

    def __init__(self, workload: Workload, capacity: Capacity, assumed: Assumptions) -> None:
        w = workload
        self.workload, self.capacity, self.assumed = w, capacity, assumed
        self.seconds = SECONDS_PER_MONTH / w.peak_factor
        """Seconds of the peak that a month's load amounts to."""
        self.events = w.events_per_second * self.seconds
        grown = capacity.stream_shards_grown.value * w.peak_factor  # as many shards for the average's load
        self.publish_records = records_per_batch(w, assumed, stream_shards=grown)
        self.log_records = records_per_batch(w, assumed, stream_shards=grown, log=True)
        self.publishes = self.events / self.publish_records
        self.log_batches = self.events / self.log_records
        self.appends = w.appends_per_second * w.http_share * self.seconds
        self.loads = (w.loads_per_second * w.http_share + w.pages) * self.seconds

    @property
    def calls(self) -> float:
        return self.publishes + self.log_batches + self.appends + self.loads


def _of_units(month: _Month, units: Figure, name: str, label: str, price: float) -> Figure:
    value = units.value * month.seconds / _MILLION * price
    peak = month.workload.peak_factor
    formula = f"{n(units.value)} {units.unit} x {n(SECONDS_PER_MONTH)} s / {n(peak)} x ${price:g} / 1,000,000"
    return Figure(name, label, value, "USD", formula)


def _writes(month: _Month, prices: Prices) -> Iterator[Figure]:
    capacity = month.capacity
    yield _of_units(month, capacity.table_write_units, "table_writes", "Writes, table", prices.write_units)
    yield _of_units(
        month, capacity.index_write_units, "index_writes", "Writes, index by time", prices.write_units
    )
    w, records = month.workload, month.log_records
    refused = log_refused(
        w,
        month.assumed,
        events_per_second=w.events_per_second / w.peak_factor,
        records=records,
        lanes=capacity.stream_shards_grown.value * w.parallelization_factor,
    ).value
    per_event = log_units_per_event(w, month.assumed, records=records) * (1 + refused) + w.subscriptions / 100
    value = month.events * per_event / _MILLION * prices.write_units
    formula = (
        f"{n(month.events)} events x {n(per_event)} WCU, of batches of {n(records)} x "
        f"${prices.write_units:g} / 1,000,000"
    )
    yield Figure("log_writes", "Writes, log and checkpoints", value, "USD", formula)
    batches = month.publishes + month.log_batches
    units = ceil(max(month.publish_records, month.log_records) / JOURNAL_STREAMS_PER_UNIT)
    formula = f"{n(batches)} batches x {units} WCU x ${prices.write_units:g} / 1,000,000"
    value = batches * units / _MILLION * prices.write_units
    yield Figure("journal_writes", "Writes, journal", value, "USD", formula)


def _reads(month: _Month, prices: Prices) -> Iterator[Figure]:
    capacity, w = month.capacity, month.workload
    yield _of_units(month, capacity.table_read_units, "table_reads", "Reads, table", prices.read_units)
    yield _of_units(
        month, capacity.index_read_units, "index_reads", "Reads, index by time", prices.read_units
    )
    polls = EVENTUAL_SHARE * w.readers * w.log_tranches / month.assumed.subscription_poll_s
    idle = polls * (SECONDS_PER_MONTH - month.seconds)  # they look for news at any load
    value = (capacity.log_read_units.value * month.seconds + idle) / _MILLION * prices.read_units
    formula = (
        f"({n(capacity.log_read_units.value)} RCU/s / {n(w.peak_factor)} + polls {n(polls)} RCU/s x "
        f"(1 - 1 / {n(w.peak_factor)})) x {n(SECONDS_PER_MONTH)} s x ${prices.read_units:g} / 1,000,000"
    )
    yield Figure("log_reads", "Reads, log", value, "USD", formula)
    stored = capacity.stored_events.value
    units = stored * w.item_kb / READ_UNIT_KB * EVENTUAL_SHARE
    formula = (
        f"{n(w.replays_per_month)} x {n(stored)} events x {n(w.item_kb)} / 4 x 0.5 x "
        f"${prices.read_units:g} / 1,000,000"
    )
    value = w.replays_per_month * units / _MILLION * prices.read_units
    yield Figure("replays", "Replays of everything", value, "USD", formula)
    yield Figure("stream_reads", "Reads of the table's stream", 0, "USD", "free: Lambda's own GetRecords")


def _storage(month: _Month, prices: Prices) -> Iterator[Figure]:
    table_gb = month.capacity.stored_gb.value
    log_gb = month.capacity.stored_events.value * month.assumed.log_entry_bytes / _GB
    yield Figure(
        "storage",
        "Storage: table, index, log",
        (2 * table_gb + log_gb) * prices.storage,
        "USD",
        f"(2 x {n(table_gb)} + {n(log_gb)}) GB x ${prices.storage:g}",
    )
    yield Figure(
        "point_in_time_recovery",
        "Point-in-time recovery",
        (table_gb + log_gb) * prices.point_in_time_recovery,
        "USD",
        f"({n(table_gb)} + {n(log_gb)}) GB x ${prices.point_in_time_recovery:g}",
    )


def _functions(month: _Month, prices: Prices) -> Iterator[Figure]:
    w, assumed = month.workload, month.assumed
    publish_ms = publisher_batch_ms(w, assumed, records=month.publish_records).value
    log_ms = log_writer_batch_ms(w, assumed, records=month.log_records).value
    for name, label, calls, duration_ms, memory_gb in (
        ("publisher", "Publisher", month.publishes, publish_ms, assumed.stream_function_gb),
        ("log_writer", "Log writer", month.log_batches, log_ms, assumed.stream_function_gb),
        ("append_function", "Append function", month.appends, assumed.append_ms, assumed.api_function_gb),
        ("read_function", "Read function", month.loads, assumed.load_ms, assumed.api_function_gb),
    ):
        gb_seconds = calls * duration_ms / 1_000 * memory_gb
        value = (calls * prices.lambda_requests + gb_seconds * prices.lambda_gb_seconds) / _MILLION
        formula = (
            f"{n(calls)} calls x (${prices.lambda_requests:g} + {n(duration_ms)} ms x {n(memory_gb)} GB "
            f"/ 1,000 x ${prices.lambda_gb_seconds:g}) / 1,000,000"
        )
        yield Figure(name, label, value, "USD", formula)


def _api_and_bus(month: _Month, prices: Prices) -> Iterator[Figure]:
    w, assumed = month.workload, month.assumed
    requests = month.appends + month.loads
    yield Figure(
        "api",
        "API Gateway",
        requests / _MILLION * prices.api_requests,
        "USD",
        f"{n(requests)} requests x ${prices.api_requests:g} / 1,000,000",
    )
    chunks = ceil((w.item_kb + assumed.envelope_kb) / _BUS_EVENT_KB)
    yield Figure(
        "bus",
        "EventBridge",
        month.events * chunks / _MILLION * prices.bus_events,
        "USD",
        f"{n(month.events)} events x ceil({n(w.item_kb + assumed.envelope_kb)} KB / 64) x "
        f"${prices.bus_events:g} / 1,000,000",
    )
    logged = month.calls + requests  # the API writes a line of its own
    yield Figure(
        "logs",
        "CloudWatch logs",
        logged * assumed.log_bytes_per_call / _GB * prices.log_ingestion,
        "USD",
        f"{n(logged)} calls and requests x {n(assumed.log_bytes_per_call)} bytes / 1,024^3 x "
        f"${prices.log_ingestion:g}",
    )
    yield Figure(
        "traces",
        "X-Ray",
        month.calls * assumed.traced_percent / 100 / _MILLION * prices.traces,
        "USD",
        f"{n(month.calls)} calls x {n(assumed.traced_percent)} % x ${prices.traces:g} / 1,000,000",
    )
