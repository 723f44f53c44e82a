"""Which limit is met first, at what rate, and what to do: the ladder of a workload.

Each limit is taken as the rate of events at which the workload meets it, everything else (loads, readers, the
share of the busiest stream) growing along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isfinite, log1p
from typing import Final

from eventstore import limits
from eventstore.plan.capacity import (
    Capacity,
    entries_per_call,
    log_units_per_event,
    log_writer_batch_ms,
    publisher_batch_ms,
    transaction_factor,
)
from eventstore.plan.figures import n
from eventstore.plan.parameters import parameters_of
from eventstore.plan.quotas import Quotas
from eventstore.plan.shards import write_units
from eventstore.plan.workload import Assumptions, Workload

_STREAMS: Final = "DynamoDB Developer Guide, 'Change data capture for DynamoDB Streams'; our durations"
_WARM: Final = "DynamoDB Developer Guide, 'Understanding DynamoDB warm throughput'"
_WARMING: Final = (
    "warm it (UpdateTable, WarmThroughput), or rise to at most twice the last peak in 30 minutes"
)
_SHARE: Final = (
    "let subscriptions of a process share a reader (SharedReader), which reads each event once; then "
)
_OURS: Final = "ours: eventstore/limits.py"
_SHARED_TRANCHE: Final = 0.7
"""What several writers reach of the blocks that one alone could put: 64 to 86 %, 20 to 200 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit, as the rate of events at which it's met."""

    name: str
    label: str
    events_per_second: float
    value: float
    unit: str
    formula: str
    source: str
    remedy: str

    def used_percent(self, events_per_second: float) -> float:
        """Return how much of it a rate of events takes."""
        return 100 * events_per_second / self.events_per_second


def ladder(workload: Workload, capacity: Capacity, *, assumed: Assumptions, quotas: Quotas) -> list[Limit]:
    """Return all limits that the workload can meet, the first one first."""
    found = [
        *_of_dynamodb(workload, capacity, quotas),
        *_of_the_stream(workload, capacity, assumed, quotas),
        *_of_the_logs_readers(workload, capacity, quotas),
        *_of_the_bus(workload, quotas),
        *_of_lambda_and_api(workload, capacity, quotas),
        *_of_subscriptions(workload, assumed),
        *_of_one_stream(workload, assumed, quotas),
    ]
    reachable = (limit for limit in found if isfinite(limit.events_per_second))
    return sorted(reachable, key=lambda limit: limit.events_per_second)


def _of_dynamodb(w: Workload, capacity: Capacity, quotas: Quotas) -> Iterator[Limit]:
    units, factor = write_units(item_kb=w.item_kb), transaction_factor(w)
    shards, of_partition = capacity.write_shards.value, quotas.partition_write_units
    yield Limit(
        name="index_partitions",
        label="Index by time: write shards",
        events_per_second=shards * of_partition / units,
        value=shards * of_partition,
        unit="WCU/s",
        formula=f"{n(shards)} x {n(of_partition)} / {units}",
        source=_source("partition_write_units"),
        remedy="raise eventsPerSecond: more shards, at any time",
    )
    at_most = limits.SHARDS_MAX * of_partition
    yield Limit(
        name="shards_max",
        label="Index by time: the most shards of a store",
        events_per_second=at_most / units,
        value=limits.SHARDS_MAX,
        unit="shards",
        formula=f"{n(limits.SHARDS_MAX)} x {n(of_partition)} / {units}",
        source=_OURS,
        remedy="smaller events, or two stores",
    )
    for name, label, per_event in (("table", "Table", units * factor), ("index", "Index by time", units)):
        yield Limit(
            name=f"{name}_warm_throughput",
            label=f"{label}: warm throughput",
            events_per_second=w.warm_write_units / per_event,
            value=w.warm_write_units,
            unit="WCU/s",
            formula=f"{n(w.warm_write_units)} / {per_event}",
            source=_WARM,
            remedy=_WARMING,
        )
        yield Limit(
            name=f"{name}_write_quota",
            label=f"{label}: quota of writes",
            events_per_second=quotas.table_write_units / per_event,
            value=quotas.table_write_units,
            unit="WCU/s",
            formula=f"{n(quotas.table_write_units)} / {per_event}",
            source=_source("table_write_units"),
            remedy="have the quota raised (Service Quotas: table-level write throughput)",
        )
    for name, label, reads in (
        ("table", "Table", capacity.table_read_units.value),
        ("index", "Index by time", capacity.index_read_units.value),
    ):
        if reads:
            share = _SHARE if name == "table" and w.readers > 1 else ""
            yield _proportional(
                w,
                name=f"{name}_warm_reads",
                label=f"{label}: warm throughput, reads",
                value=w.warm_read_units,
                used=reads,
                unit="RCU/s",
                source=_WARM,
                remedy=share + _WARMING,
            )
            yield _proportional(
                w,
                name=f"{name}_read_quota",
                label=f"{label}: quota of reads",
                value=quotas.table_read_units,
                used=reads,
                unit="RCU/s",
                source=_source("table_read_units"),
                remedy=share + "have the quota raised (Service Quotas: table-level read throughput)",
            )


def _of_the_stream(w: Workload, capacity: Capacity, assumed: Assumptions, quotas: Quotas) -> Iterator[Limit]:
    shards = capacity.stream_shards.value
    lanes = shards * w.parallelization_factor
    for name, label, records, batch_ms in (
        ("publisher", "Publisher: one batch a stream shard at a time", w.batch_size, publisher_batch_ms),
        (
            "log_writer",
            "Log writer: one batch a stream shard at a time",
            w.log_batch_size,
            log_writer_batch_ms,
        ),
    ):
        duration_ms = batch_ms(w, assumed, records=records).value
        rate = lanes * records / duration_ms * 1_000
        needed = ceil(w.events_per_second / records * duration_ms / 1_000)
        warm = (
            f"warm the table for {n(needed * quotas.partition_write_units)} WCU/s"
            if needed > lanes
            else f"each {n(quotas.partition_write_units)} WCU/s it's warmed for take {n(rate / lanes)}"
        )
        yield Limit(
            name=name,
            label=label,
            events_per_second=rate,
            value=lanes,
            unit="batches at a time",
            formula=f"{n(lanes)} x {n(records)} records / {n(duration_ms)} ms",
            source=_STREAMS,
            remedy=f"more partitions, so more stream shards: {warm}; events are late, not lost, for 23 h",
        )
    records = w.log_batch_size
    blocks = min(w.log_tranches, records)
    shared = _SHARED_TRANCHE if lanes > 1 else 1.0
    per_tranche = 1_000 / assumed.log_put_ms * shared
    yield Limit(
        name="log_order",
        label="Log: one block after the other in a tranche",
        events_per_second=w.log_tranches * per_tranche * records / blocks,
        value=w.log_tranches * per_tranche,
        unit="blocks/s",
        formula=(
            f"{n(w.log_tranches)} x 1,000 / {n(assumed.log_put_ms)} ms x {n(100 * shared)} % x "
            f"{n(records)} / {n(blocks)}"
        ),
        source="ours (ADR 7); our duration, and bench/log_writers.py",
        remedy=(
            "larger batches: logBatchSize, logWindowS; at most 10 % of the puts are refused with a window of "
            f"{n(ceil(lanes * assumed.log_put_ms / 1_000 / log1p(0.1)))} s"
        ),
    )
    per_event = log_units_per_event(w, assumed, records=records)
    units = w.log_tranches * quotas.partition_write_units
    yield Limit(
        name="log_partitions",
        label="Log: a partition a tranche",
        events_per_second=units / per_event,
        value=units,
        unit="WCU/s",
        formula=f"{n(w.log_tranches)} x {n(quotas.partition_write_units)} / {n(per_event)}",
        source=_source("partition_write_units"),
        remedy="more tranches, before the log is begun; larger batches",
    )


def _of_the_logs_readers(w: Workload, capacity: Capacity, quotas: Quotas) -> Iterator[Limit]:
    """A tranche is one partition, and its end the part that all read: no quota lifts that, and no warming."""
    units = w.log_tranches * quotas.partition_read_units
    used = capacity.log_read_units.value
    yield _proportional(
        w,
        name="log_partition_reads",
        label="Log: a partition a tranche, reads",
        value=units,
        used=used,
        unit="RCU/s",
        source=_source("partition_read_units"),
        remedy=(
            "let subscriptions of a process share a reader (SharedReader); more tranches, before the log is "
            "begun. No quota and no warming lifts it"
        ),
    )
    if quotas.table_read_units < units:
        yield _proportional(
            w,
            name="log_read_quota",
            label="Log: quota of reads",
            value=quotas.table_read_units,
            used=used,
            unit="RCU/s",
            source=_source("table_read_units"),
            remedy=f"{_SHARE}have the quota raised (Service Quotas: table-level read throughput)",
        )


def _of_the_bus(w: Workload, quotas: Quotas) -> Iterator[Limit]:
    entries = entries_per_call(w.batch_size)
    yield Limit(
        name="put_events_quota",
        label="EventBridge: PutEvents",
        events_per_second=quotas.put_events_per_second * entries,
        value=quotas.put_events_per_second,
        unit="calls/s",
        formula=f"{n(quotas.put_events_per_second)} x {n(entries)} entries a call",
        source=_source("put_events_per_second"),
        remedy="have the quota raised; until then events are late, not lost",
    )
    if w.rules_per_event:
        yield Limit(
            name="invocations_quota",
            label="EventBridge: events sent to targets",
            events_per_second=quotas.invocations_per_second / w.rules_per_event,
            value=quotas.invocations_per_second,
            unit="events/s",
            formula=f"{n(quotas.invocations_per_second)} / {n(w.rules_per_event)} rules an event",
            source=_source("invocations_per_second"),
            remedy="have the quota raised, or subscribe to the log; until then targets get events late",
        )


def _of_lambda_and_api(w: Workload, capacity: Capacity, quotas: Quotas) -> Iterator[Limit]:
    calls = sum(
        figure.value
        for figure in (
            capacity.publisher_concurrency,
            capacity.log_writer_concurrency,
            capacity.api_concurrency,
        )
    )
    yield _proportional(
        w,
        name="lambda_concurrency",
        label="Lambda: calls at a time, all functions",
        value=quotas.lambda_concurrency,
        used=calls,
        unit="calls",
        source=_source("lambda_concurrency"),
        remedy="have the quota raised; append and load with the library, not over HTTP",
    )
    requests = capacity.api_requests.value
    if requests:
        yield _proportional(
            w,
            name="api_quota",
            label="API Gateway: requests",
            value=quotas.api_requests_per_second,
            used=requests,
            unit="requests/s",
            source=_source("api_requests_per_second"),
            remedy="have the quota raised; append and load with the library, not over HTTP",
        )
    if requests and w.api_requests_per_second is not None:
        yield _proportional(
            w,
            name="api_stage",
            label="API Gateway: the stage's own throttle",
            value=w.api_requests_per_second,
            used=requests,
            unit="requests/s",
            source="cdk.json",
            remedy="raise apiRequestsPerSecond; what the library does goes past it",
        )


def _of_subscriptions(w: Workload, assumed: Assumptions) -> Iterator[Limit]:
    if not w.subscriptions:
        return
    at_work = w.log_tranches * w.handler_concurrency
    per_tranche = w.events_per_second * assumed.handler_ms / 1_000 / w.log_tranches
    yield Limit(
        name="subscription_handlers",
        label="Subscription: its handlers",
        events_per_second=at_work * 1_000 / assumed.handler_ms,
        value=at_work,
        unit="events at a time",
        formula=(
            f"{n(w.log_tranches)} tranches x {n(w.handler_concurrency)} x 1,000 / {n(assumed.handler_ms)} ms"
        ),
        source="ours (ADR 8); our duration",
        remedy=f"Terms(concurrency={n(ceil(per_tranche))}), or faster handlers; until then they are behind",
    )


def _of_one_stream(w: Workload, assumed: Assumptions, quotas: Quotas) -> Iterator[Limit]:
    if not w.hottest_stream_percent:
        return
    share = w.hottest_stream_percent / 100
    per_event = write_units(item_kb=w.item_kb) * transaction_factor(w)
    yield Limit(
        name="hottest_stream_writes",
        label="Busiest stream: its partition",
        events_per_second=quotas.partition_write_units / per_event / share,
        value=quotas.partition_write_units,
        unit="WCU/s",
        formula=f"{n(quotas.partition_write_units)} / {per_event} / {n(w.hottest_stream_percent)} %",
        source=_source("partition_write_units"),
        remedy="cut the aggregate into several streams: no split helps rising keys",
    )
    per_second = 1_000 / assumed.put_events_ms
    yield Limit(
        name="hottest_stream_publication",
        label="Busiest stream: one event a PutEvents call",
        events_per_second=per_second / share,
        value=per_second,
        unit="events/s of the stream",
        formula=f"1,000 / {n(assumed.put_events_ms)} ms / {n(w.hottest_stream_percent)} %",
        source="ours (ADR 4); our duration",
        remedy="cut the aggregate into several streams, or follow the log, which takes whole batches",
    )


def _proportional(
    w: Workload, *, name: str, label: str, value: float, used: float, unit: str, source: str, remedy: str
) -> Limit:
    """A limit of which the workload uses so much at its peak, and more in proportion."""
    return Limit(
        name=name,
        label=label,
        events_per_second=w.events_per_second * value / used,
        value=value,
        unit=unit,
        formula=f"{n(w.events_per_second)} x {n(value)} / {n(used)} {unit}",
        source=source,
        remedy=remedy,
    )


def _source(quota: str) -> str:
    return dict(parameters_of(Quotas))[quota].source
