"""What a workload asks of DynamoDB, Lambda and the bus at its peak: one figure after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import ceil, expm1, floor, sqrt
from typing import Final

from eventstore.limits import PUT_EVENTS_MAX_ENTRIES, READ_MAX_ADDRESSES, WRITES_PER_SHARD_PER_SECOND
from eventstore.plan.figures import Figure, n
from eventstore.plan.quotas import Quotas
from eventstore.plan.shards import write_shards_for, write_units
from eventstore.plan.workload import Assumptions, Workload

SECONDS_PER_MONTH: Final = 730 * 3_600
"""A month of AWS's price lists: 730 hours."""

ITEM_OVERHEAD_BYTES: Final = 100
"""Bytes that DynamoDB adds to each item when it bills storage (pricing page), table and index alike."""

READ_UNIT_KB: Final = 4
"""KB that a read unit covers, strongly consistent; twice as many eventually consistent."""

EVENTUAL_SHARE: Final = 0.5
"""Read units that a read takes in place of 1 when it may lag."""

_GB: Final = 1_024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The figures of a workload at its peak. Partitions, and so stream shards, are AWS's: estimates."""

    least_shards: Figure
    write_shards: Figure
    table_write_units: Figure
    index_write_units: Figure
    log_refused: Figure
    log_write_units: Figure
    table_read_units: Figure
    index_read_units: Figure
    log_read_units: Figure
    readers_max: Figure
    replay_events_per_second: Figure
    stored_events: Figure
    stored_gb: Figure
    stream_shards: Figure
    stream_shards_grown: Figure
    publisher_batch_ms: Figure
    publisher_concurrency: Figure
    publisher_concurrency_max: Figure
    log_writer_batch_ms: Figure
    log_writer_concurrency: Figure
    log_writer_concurrency_max: Figure
    api_concurrency: Figure
    put_events_calls: Figure
    api_requests: Figure

    def figures(self) -> Iterator[Figure]:
        """All of them, in order."""
        for one in fields(self):
            yield getattr(self, one.name)


def capacity_of(workload: Workload, *, assumed: Assumptions, quotas: Quotas) -> Capacity:
    """Work out the figures of a workload at its peak."""
    shards = _write_shards(workload)
    stored_events, stored_gb = _stored(workload)
    table = _table_write_units(workload)
    young = _stream_shards(workload, quotas, table.value)
    grown = _stream_shards_grown(workload, quotas, young.value, stored_gb.value)
    batch_ms = publisher_batch_ms(workload, assumed, records=workload.batch_size)
    log_ms = log_writer_batch_ms(workload, assumed, records=workload.log_batch_size)
    log_records = records_per_batch(workload, assumed, stream_shards=young.value, log=True)
    lanes = young.value * workload.parallelization_factor
    rate = workload.events_per_second
    refused = log_refused(workload, assumed, events_per_second=rate, records=log_records, lanes=lanes)
    return Capacity(
        least_shards=_least_shards(workload),
        write_shards=shards,
        table_write_units=table,
        index_write_units=_index_write_units(workload),
        log_refused=refused,
        log_write_units=_log_write_units(workload, assumed, records=log_records, refused=refused.value),
        table_read_units=_table_read_units(workload),
        index_read_units=_index_read_units(workload, shards=shards.value),
        log_read_units=_log_read_units(workload, assumed, records=log_records, refused=refused.value),
        readers_max=_readers_max(workload, assumed, quotas, records=log_records, refused=refused.value),
        replay_events_per_second=_replay(workload, quotas, shards=shards.value),
        stored_events=stored_events,
        stored_gb=stored_gb,
        stream_shards=young,
        stream_shards_grown=grown,
        publisher_batch_ms=batch_ms,
        publisher_concurrency=_concurrency(
            "publisher", workload, records=workload.batch_size, batch_ms=batch_ms
        ),
        publisher_concurrency_max=_concurrency_max("publisher", workload, young.value),
        log_writer_batch_ms=log_ms,
        log_writer_concurrency=_concurrency(
            "log_writer", workload, records=workload.log_batch_size, batch_ms=log_ms
        ),
        log_writer_concurrency_max=_concurrency_max("log_writer", workload, young.value),
        api_concurrency=_api_concurrency(workload, assumed),
        put_events_calls=_put_events_calls(workload, assumed, stream_shards=young.value),
        api_requests=_api_requests(workload),
    )


# --- DynamoDB ----------------------------------------------------------------------------------------


def _least_shards(w: Workload) -> Figure:
    least = write_shards_for(events_per_second=w.events_per_second, average_item_kb=w.item_kb)
    formula = f"ceil({n(w.events_per_second)} x ceil({n(w.item_kb)}) / {n(WRITES_PER_SHARD_PER_SECOND)})"
    return Figure("least_shards", "Write shards, at least", least, "shards", formula)


def _write_shards(w: Workload) -> Figure:
    name, label = "write_shards", "Write shards"
    if w.write_shards is not None:
        return Figure(name, label, w.write_shards, "shards", "as given")
    shards = write_shards_for(
        events_per_second=w.events_per_second,
        average_item_kb=w.item_kb,
        utilisation_percent=w.utilisation_percent,
    )
    formula = (
        f"ceil({n(w.events_per_second)} x ceil({n(w.item_kb)}) / ({n(WRITES_PER_SHARD_PER_SECOND)} x "
        f"{n(w.utilisation_percent)} %))"
    )
    return Figure(name, label, shards, "shards", formula)


def transaction_factor(w: Workload) -> int:
    """Return by how much an append's table writes are dearer: 2 in a transaction."""
    return 2 if w.events_per_append > 1 else 1


def _table_write_units(w: Workload) -> Figure:
    units, factor = write_units(item_kb=w.item_kb), transaction_factor(w)
    formula = f"{n(w.events_per_second)} x ceil({n(w.item_kb)})" + (
        " x 2 (transaction)" if factor > 1 else ""
    )
    value = w.events_per_second * units * factor
    return Figure("table_write_units", "Writes, table", value, "WCU/s", formula)


def _index_write_units(w: Workload) -> Figure:
    value = w.events_per_second * write_units(item_kb=w.item_kb)
    formula = f"{n(w.events_per_second)} x ceil({n(w.item_kb)})"
    return Figure("index_write_units", "Writes, index by time", value, "WCU/s", formula)


def records_per_batch(w: Workload, assumed: Assumptions, *, stream_shards: float, log: bool = False) -> float:
    """Return how many records one call of publisher or log writer gets, as long as it keeps up."""
    size, window_s = (w.log_batch_size, w.log_window_s) if log else (w.batch_size, w.window_s)
    arriving = w.events_per_second / (stream_shards * w.parallelization_factor)
    return min(size, max(1.0, arriving * max(window_s, assumed.poll_s)))


def log_units_per_event(w: Workload, assumed: Assumptions, *, records: float) -> float:
    """Return the write units of the log for an event, of batches of so many records.

    A batch makes a block for each tranche it has events of; each block's last KB is half full on average.
    """
    blocks = min(w.log_tranches, records)
    block_units = max(1.0, records / blocks * assumed.log_entry_bytes / 1_024 + 0.5)
    return blocks * block_units / records


def log_refused(
    w: Workload, assumed: Assumptions, *, events_per_second: float, records: float, lanes: float
) -> Figure:
    """Return how many puts are refused a block, since several writers' blocks meet in one tranche.

    A put is refused when another writer's comes between it and the look before it. `bench/log_writers.py`
    simulates that.
    """
    name, label = "log_refused", "Log: refused puts a block"
    if lanes <= 1:
        return Figure(name, label, 0, "", "one writer")
    blocks = events_per_second / records * min(w.log_tranches, records) / w.log_tranches
    meeting = min(1.0, blocks * assumed.log_put_ms / 1_000)
    formula = f"e^(min(1, {n(blocks)} blocks/s a tranche x {n(assumed.log_put_ms)} ms / 1,000)) - 1"
    return Figure(name, label, expm1(meeting), "", formula)


def _log_write_units(w: Workload, assumed: Assumptions, *, records: float, refused: float) -> Figure:
    per_event = log_units_per_event(w, assumed, records=records)
    blocks = min(w.log_tranches, records)
    checkpoints = w.subscriptions * w.events_per_second / 100
    value = w.events_per_second * per_event * (1 + refused) + checkpoints
    formula = (
        f"{n(w.events_per_second)} x {n(per_event)} x {n(1 + refused)}, of batches of {n(records)}: "
        f"{n(blocks)} blocks x max(1, {n(records / blocks)} x {n(assumed.log_entry_bytes)} / 1,024 + 0.5); "
        f"checkpoints {n(w.subscriptions)} x {n(w.events_per_second)} / 100"
    )
    return Figure("log_write_units", "Writes, log and checkpoints", value, "WCU/s", formula)


def _followed(w: Workload) -> float:
    """Return how many read units of the table one reader takes that follows every event."""
    return w.events_per_second * ceil(w.item_kb / READ_UNIT_KB)


def _table_read_units(w: Workload) -> Figure:
    load = ceil(w.events_per_read * w.item_kb / READ_UNIT_KB)
    one = ceil(w.item_kb / READ_UNIT_KB)
    read_back = 2 * w.events_per_second * w.read_back_share * one
    formula = (
        f"loads {n(w.loads_per_second)} x ceil({n(w.events_per_read)} x {n(w.item_kb)} / 4) + read back "
        f"2 x {n(w.events_per_second)} x {n(w.read_back_percent)} % x {one} + "
        f"readers {n(w.readers)} x {n(w.events_per_second)} x {one}"
    )
    value = w.loads_per_second * load + read_back + w.readers * _followed(w)
    return Figure("table_read_units", "Reads, table", value, "RCU/s", formula)


def events_read_for_a_page(*, shards: float, page_events: float) -> float:
    """Return how many events a page of all streams reads at most: each shard's share and some."""
    share = ceil(page_events / shards)
    return shards * (share + max(1, ceil(2 * sqrt(share)) - 1))


def _index_read_units(w: Workload, *, shards: float) -> Figure:
    of_shard = events_read_for_a_page(shards=shards, page_events=w.page_events) / shards
    page = shards * EVENTUAL_SHARE * ceil(of_shard * w.item_kb / READ_UNIT_KB)
    formula = (
        f"pages {n(w.pages)} x {n(shards)} queries x 0.5 x ceil({n(of_shard)} events x {n(w.item_kb)} / 4)"
    )
    return Figure("index_read_units", "Reads, index by time", w.pages * page, "RCU/s", formula)


def _log_followed(w: Workload, assumed: Assumptions) -> float:
    """Return how many read units of the log one reader takes, which asks each tranche for news."""
    polls = w.log_tranches / assumed.subscription_poll_s
    entries = w.events_per_second * assumed.log_entry_bytes / (READ_UNIT_KB * 1_024)
    return EVENTUAL_SHARE * (polls + entries)


def _log_looks(w: Workload, *, records: float, refused: float) -> float:
    return w.events_per_second / records * min(w.log_tranches, records) * (1 + refused)


def _log_read_units(w: Workload, assumed: Assumptions, *, records: float, refused: float) -> Figure:
    formula = (
        f"{n(w.readers)} x {EVENTUAL_SHARE} x ({n(w.log_tranches)} tranches / "
        f"{n(assumed.subscription_poll_s)} s + "
        f"{n(w.events_per_second)} x {n(assumed.log_entry_bytes)} / 4,096) + looks of the log writer "
        f"{n(w.events_per_second)} / {n(records)} x {n(min(w.log_tranches, records))} x {n(1 + refused)}"
    )
    value = w.readers * _log_followed(w, assumed) + _log_looks(w, records=records, refused=refused)
    return Figure("log_read_units", "Reads, log", value, "RCU/s", formula)


def _readers_max(
    w: Workload, assumed: Assumptions, quotas: Quotas, *, records: float, refused: float
) -> Figure:
    others = _table_read_units(w).value - w.readers * _followed(w)
    of_table = (quotas.table_read_units - others) / _followed(w)
    of_log = w.log_tranches * quotas.partition_read_units - _log_looks(w, records=records, refused=refused)
    value = max(0, floor(min(of_table, of_log / _log_followed(w, assumed))))
    formula = (
        f"min(({n(quotas.table_read_units)} - {n(others)}) / {n(_followed(w))} of the table, "
        f"{n(of_log)} / {n(_log_followed(w, assumed))} of the log's partitions)"
    )
    label = "Readers of all events, at most"
    return Figure("readers_max", label, value, "readers", formula)


def _replay(w: Workload, quotas: Quotas, *, shards: float) -> Figure:
    units = min(shards * quotas.partition_read_units, quotas.table_read_units)
    value = units * 2 * READ_UNIT_KB / w.item_kb
    formula = (
        f"min({n(shards)} x {n(quotas.partition_read_units)}, {n(quotas.table_read_units)}) RCU x 2 x 4 KB / "
        f"{n(w.item_kb)}; one reader's CPU ends before that"
    )
    return Figure("replay_events_per_second", "Replay, at most", value, "events/s", formula)


def _stored(w: Workload) -> tuple[Figure, Figure]:
    events = w.events_per_second / w.peak_factor * SECONDS_PER_MONTH * w.retention_months
    formula = (
        f"{n(w.events_per_second)} / {n(w.peak_factor)} x {n(SECONDS_PER_MONTH)} s x "
        f"{n(w.retention_months)} months"
    )
    item_bytes = w.item_kb * 1_024 + ITEM_OVERHEAD_BYTES
    gb = events * item_bytes / _GB
    in_gb = (
        f"{n(events)} x ({n(w.item_kb)} x 1,024 + {ITEM_OVERHEAD_BYTES}) / 1,024^3; the index as much again"
    )
    return (
        Figure("stored_events", "Events stored", events, "events", formula),
        Figure("stored_gb", "Table's size", gb, "GB", in_gb),
    )


# --- the table's stream and the functions behind it --------------------------------------------------


def _stream_shards(w: Workload, quotas: Quotas, table_write_units: float) -> Figure:
    warm = ceil(w.warm_write_units / quotas.partition_write_units)
    busy = ceil(table_write_units / quotas.partition_write_units)
    formula = (
        f"max({n(w.warm_write_units)}, {n(table_write_units)}) / {n(quotas.partition_write_units)}: "
        "one for each partition; AWS tells no number"
    )
    return Figure("stream_shards", "Stream shards, new table", max(warm, busy), "shards", formula)


def _stream_shards_grown(w: Workload, quotas: Quotas, young: float, stored_gb: float) -> Figure:
    value = max(young, ceil(stored_gb / quotas.partition_gb))
    formula = f"max({n(young)}, {n(stored_gb)} GB / {n(quotas.partition_gb)})"
    label = f"Stream shards, after {n(w.retention_months)} months"
    return Figure("stream_shards_grown", label, value, "shards", formula)


def publisher_batch_ms(w: Workload, assumed: Assumptions, *, records: float) -> Figure:
    """Return how long the publisher takes for a batch of so many records of different streams."""
    calls = ceil(records / PUT_EVENTS_MAX_ENTRIES)
    known_ms, known = _known_ms(w, assumed, records=records)
    value = assumed.invoke_ms + known_ms + calls * assumed.put_events_ms
    formula = (
        f"{n(assumed.invoke_ms)} + {known} + "
        f"ceil({n(records)} / {PUT_EVENTS_MAX_ENTRIES}) x {n(assumed.put_events_ms)}"
    )
    return Figure("publisher_batch_ms", "Publisher, a full batch", value, "ms", formula)


def log_writer_batch_ms(w: Workload, assumed: Assumptions, *, records: float) -> Figure:
    """Return how long the log writer takes for a batch of so many records of different streams."""
    blocks = min(w.log_tranches, records)
    known_ms, known = _known_ms(w, assumed, records=records)
    value = assumed.invoke_ms + known_ms + blocks * assumed.log_put_ms
    formula = f"{n(assumed.invoke_ms)} + {known} + {n(blocks)} x {n(assumed.log_put_ms)}"
    return Figure("log_writer_batch_ms", "Log writer, a full batch", value, "ms", formula)


def _known_ms(w: Workload, assumed: Assumptions, *, records: float) -> tuple[float, str]:
    """Return how long it takes to know what precedes the events of a batch, and its formula."""
    read_back_ms = ceil(records * w.read_back_share / READ_MAX_ADDRESSES) * assumed.read_back_ms
    formula = n(assumed.journal_ms)
    if read_back_ms:
        share = f"{n(records)} x {n(w.read_back_percent)} % / {READ_MAX_ADDRESSES}"
        formula += f" + ceil({share}) x {n(assumed.read_back_ms)}"
    return assumed.journal_ms + read_back_ms, formula


def _concurrency(who: str, w: Workload, *, records: float, batch_ms: Figure) -> Figure:
    value = ceil(w.events_per_second / records * batch_ms.value / 1_000)
    formula = f"ceil({n(w.events_per_second)} / {n(records)} x {n(batch_ms.value)} ms / 1,000)"
    return Figure(f"{who}_concurrency", f"{_label(who)}, needed at a time", value, "calls", formula)


def _concurrency_max(who: str, w: Workload, stream_shards: float) -> Figure:
    value = stream_shards * w.parallelization_factor
    formula = f"{n(stream_shards)} stream shards x parallelization factor {n(w.parallelization_factor)}"
    return Figure(f"{who}_concurrency_max", f"{_label(who)}, at most at a time", value, "calls", formula)


def _label(who: str) -> str:
    return who.replace("_", " ").capitalize()


def _api_concurrency(w: Workload, assumed: Assumptions) -> Figure:
    appends, loads = w.appends_per_second * w.http_share, w.loads_per_second * w.http_share
    value = ceil((appends * assumed.append_ms + (loads + w.pages) * assumed.load_ms) / 1_000)
    formula = (
        f"ceil(({n(appends)} appends x {n(assumed.append_ms)} ms + ({n(loads)} loads + {n(w.pages)} pages) x "
        f"{n(assumed.load_ms)} ms) / 1,000)"
    )
    return Figure("api_concurrency", "Append and read, at a time", value, "calls", formula)


def _put_events_calls(w: Workload, assumed: Assumptions, *, stream_shards: float) -> Figure:
    records = records_per_batch(w, assumed, stream_shards=stream_shards)
    entries = entries_per_call(records)
    formula = f"{n(w.events_per_second)} / {n(entries)} entries a call, of batches of {n(records)}"
    return Figure("put_events_calls", "PutEvents", w.events_per_second / entries, "calls/s", formula)


def entries_per_call(records: float) -> float:
    """Return how many entries a PutEvents call has on average, of batches of so many records."""
    return records / ceil(records / PUT_EVENTS_MAX_ENTRIES)


def _api_requests(w: Workload) -> Figure:
    value = (w.appends_per_second + w.loads_per_second) * w.http_share + w.pages
    formula = (
        f"({n(w.appends_per_second)} appends + {n(w.loads_per_second)} loads) x {n(w.http_percent)} % + "
        f"{n(w.pages)} pages"
    )
    return Figure("api_requests", "API requests", value, "requests/s", formula)
