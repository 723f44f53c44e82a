"""Format 1 of the stored items: what stands in tests/golden/format_1.json every later version has to read.

Today's writers write the same, to the byte. A test that fails here says that the stored format has changed:
docs/stored-format.md says what may change, and how.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from eventstore import Event, Head, NewEvent, Position
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.schema import events as schema
from eventstore.dynamodb.schema import journal as journal_schema
from eventstore.dynamodb.schema import log as log_schema
from eventstore.dynamodb.schema import replays as replay_schema
from eventstore.dynamodb.schema import subscriptions as subscription_schema
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import StoreFormatUnknown
from eventstore.log.model import BlockPosition
from eventstore.replays.model import Replay, ReplayStatus
from eventstore.subscriptions import ParkedEvent
from eventstore.subscriptions.checkpoints import Lease, Start
from tests.tables import (
    dynamodb_client,
    events_table,
    log_table,
    of_tranches,
    over,
    put_items,
    replays_table,
    subscriptions_table,
)

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final = ROOT / "tests" / "golden" / "format_1.json"
DOCUMENT: Final = (ROOT / "docs" / "stored-format.md").read_text()
T: Final = 1_769_860_800_000_000
UIDS: Final = [f"6f1d5a0e-9d1e-4b7e-8a43-2f1c0a6b7e{number:02x}" for number in range(8)]
PAYLOAD: Final = '{"total": 49.90, "of": [null, "\u00fc"]}'
LONG: Final = json.dumps({"text": "x" * 4_000})
SCHEMAS: Final = (schema, log_schema, subscription_schema, replay_schema, journal_schema)

EVENTS: Final = [
    Event("order-1", 1, "OrderPlaced", PAYLOAD, '{"correlationId":"c"}', UIDS[0], T),
    Event("order-1", 2, "OrderPaid", "null", "{}", UIDS[1], T + 1),
    Event("packed-4", 1, "Packed", LONG, "{}", UIDS[2], T + 2),
    Event("old-1", 1, "Imported", "1", "{}", UIDS[3], T - 9_000_000_000, written_us=T + 3),
    Event("late-5", 1, "Stamped", "2", "{}", UIDS[4], T + 4, epoch_us=T - 5),
]
LEASE: Final = Lease(
    tranche=0,
    place=BlockPosition(3, 2),
    owner="worker-1",
    fence=1,
    counter=2,
    start=Start("order-1", 2, 1),
    horizon_us=T - 7,
    since_us=T - 8,
    log_id="Y2xlYW4gd2F0ZXJz",
)
PARKED: Final = ParkedEvent(1, "order-1", 2, "ValueError: no good", T + 9, "Traceback ...")
REPLAY: Final = Replay(
    replay_id=UIDS[5],
    target="arn:aws:sqs:eu-central-1:123456789012:rebuild",
    from_us=T - 100,
    to_us=T + 100,
    names=("OrderPaid", "OrderPlaced"),
    stream_prefix="order-",
    events_per_second=50,
    requested_us=T + 10,
    request_key="key-1",
    request_digest="d1",
    status=ReplayStatus.QUEUED,
    updated_us=T + 11,
)
UNDER_WAY: Final = replace(
    REPLAY,
    status=ReplayStatus.FAILED,
    reason="the target is away",
    ended_us=T + 20,
    position=Position(T + 1, "order-1", 2),
    sent=2,
    first_us=T,
    active_us=5,
    paced_until_us=T + 6,
    failed_steps=1,
    run=2,
    fence=4,
    lease_until_us=T + 30,
)


class Tables:
    """The tables of a store, by the names that the golden items have them under."""

    def __init__(self, endpoint: str, stack: ExitStack) -> None:
        self.client = dynamodb_client(endpoint)
        self.names = {
            "events": stack.enter_context(events_table(self.client)),
            "log": stack.enter_context(log_table(self.client)),
            "subscriptions": stack.enter_context(subscriptions_table(self.client)),
            "replays": stack.enter_context(replays_table(self.client)),
        }

    def store(self, **options: Any) -> DynamoDBEventStore:
        table = self.names["events"]
        return DynamoDBEventStore(
            client=self.client, table_name=table, clock_tolerance_s=None, settling_s=0, **options
        )

    def log(self) -> DynamoDBEventLog:
        table = self.names["log"]
        return of_tranches(
            DynamoDBEventLog(
                client=self.client, table_name=table, random_bytes=lambda count: bytes(range(count))
            ),
            4,
        )

    def checkpoints(self) -> DynamoDBCheckpoints:
        return DynamoDBCheckpoints(client=self.client, table_name=self.names["subscriptions"])

    def replays(self) -> DynamoDBReplays:
        return DynamoDBReplays(client=self.client, table_name=self.names["replays"])

    def read_model(self) -> DynamoDBReadModel:
        return DynamoDBReadModel(client=self.client, table_name=self.names["subscriptions"])

    def items(self) -> dict[str, list[Any]]:
        """Read all items as JSON has them; this table's own name stands for that of any."""
        found = {}
        for name, table in self.names.items():
            items = [_as_json(item, table=table) for item in self.client.scan(TableName=table)["Items"]]
            found[name] = sorted(items, key=json.dumps)
        return found

    def put_golden(self) -> None:
        for name, items in json.loads(GOLDEN.read_text()).items():
            put_items(
                self.client, self.names[name], [_from_json(item, table=self.names[name]) for item in items]
            )


@pytest.fixture
def tables(dynamodb_endpoint: str) -> Iterator[Tables]:
    with ExitStack() as stack:
        yield Tables(dynamodb_endpoint, stack)


def _as_json(item: Mapping[str, Any], *, table: str) -> dict[str, Any]:
    def value(typed: Mapping[str, Any]) -> dict[str, Any]:
        ((kind, of),) = typed.items()
        if kind == "B":
            return {kind: base64.b64encode(of).decode()}
        return {kind: "TABLE" if of == table else [value(one) for one in of] if kind == "L" else of}

    return {name: value(item[name]) for name in sorted(item)}


def _from_json(item: Mapping[str, Any], *, table: str) -> dict[str, Any]:
    def value(typed: Mapping[str, Any]) -> dict[str, Any]:
        ((kind, of),) = typed.items()
        if kind == "B":
            return {kind: base64.b64decode(of)}
        return {kind: table if of == "TABLE" else of}

    return {name: value(typed) for name, typed in item.items()}


def write_everything(tables: Tables) -> None:
    """Write items of every kind, by the library as it is today; time and chance are fixed."""

    def store(at_us: int, **options: Any) -> DynamoDBEventStore:
        return over(tables.store(clock_us=lambda: at_us, random_shard=lambda count: count - 1, **options), 3)

    store(T).append("order-1", [_new(EVENTS[0])], expected=0)
    store(T + 1).append("order-1", [_new(EVENTS[1])], expected=Head("order-1", 1, T))
    store(T + 2, compression=Compression("zlib")).append("packed-4", [_new(EVENTS[2])], expected=0)
    table = tables.names["events"]
    DynamoDBEventsTable(client=tables.client, table_name=table, clock_us=lambda: T + 3).put(
        EVENTS[3], shard=1
    )
    StoreFacts(client=tables.client, table_name=table).declare_restored(now_us=T - 5, same_name=True)
    store(T + 4).append("late-5", [_new(EVENTS[4])], expected=0)

    log = tables.log()
    for events in (EVENTS[:2], EVENTS[2:3], EVENTS[3:4]):
        log.append_block(3, events)
    tables.client.delete_item(TableName=tables.names["log"], Key={"Tranche": {"N": "3"}, "Block": {"N": "2"}})
    log.close_block(3, 2)

    checkpoints = tables.checkpoints()
    checkpoints.begin("view", [BlockPosition(1, 0)] * 2, since_us=T - 8, log_id="Y2xlYW4gd2F0ZXJz")
    free = checkpoints.read_group("view").leases
    for tranche, start in ((0, LEASE.start), (1, None)):
        lease = checkpoints.take("view", free[tranche], owner="worker-1")
        assert lease
        lease = checkpoints.renew("view", lease, place=BlockPosition(3, 2), start=start, horizon_us=T - 7)
        if tranche:
            assert checkpoints.park("view", lease, PARKED)
    checkpoints.join("view", "worker-1", session="s-1", is_first=True)
    tables.read_model().write([], projection="view", event=EVENTS[0], after=0)

    tables.replays().create(REPLAY)
    tables.replays().create(replace(UNDER_WAY, replay_id=UIDS[6], request_key="", request_digest=""))


def _new(event: Event) -> NewEvent:
    return NewEvent(name=event.name, payload=event.payload, metadata=event.metadata, uid=event.uid)


def comparable(items: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leave out what differs from one library of zlib to another: the bytes that stand for a text."""
    for item in items["events"]:
        if schema.PAYLOAD_Z in item:
            packed = base64.b64decode(item[schema.PAYLOAD_Z]["B"])
            item[schema.PAYLOAD_Z] = {"B": f"zlib of {zlib.decompress(packed).decode()}"}
    return items


def test_todays_writers_write_the_golden_items(tables: Tables) -> None:
    write_everything(tables)
    assert comparable(tables.items()) == comparable(json.loads(GOLDEN.read_text()))


def test_golden_events_are_read_as_they_were_written(tables: Tables) -> None:
    tables.put_golden()
    store = tables.store()
    found = [event for of in ("order-1", "packed-4", "old-1", "late-5") for event in store.read_stream(of)]
    assert found == EVENTS
    assert [(event.written_us, event.epoch_us) for event in found] == [
        *[(None, None)] * 3,
        (T + 3, None),
        (None, T - 5),
    ]
    assert [event.stream_id for event in store.read_all(unsettled=True)] == [
        *("old-1", "order-1", "order-1", "packed-4", "late-5")
    ]
    facts = StoreFacts(client=tables.client, table_name=tables.names["events"])
    assert (facts.read_shards(1), facts.epoch_us, facts.is_declared) == (3, T - 5, True)


def test_golden_blocks_are_read_as_they_were_written(tables: Tables) -> None:
    tables.put_golden()
    log = tables.log()
    one, two, old = EVENTS[0], EVENTS[1], EVENTS[3]
    assert [
        (entry.block, entry.index, entry.stream_id, entry.event_id, entry.name, entry.timestamp_us)
        for entry in log.read_tranche(3)
    ] == [
        (1, 0, one.stream_id, one.event_id, one.name, one.timestamp_us),
        (1, 1, two.stream_id, two.event_id, two.name, two.timestamp_us),
        (3, 0, old.stream_id, old.event_id, old.name, old.timestamp_us),
    ]
    assert [entry.written_us for entry in log.read_tranche(3)] == [T, T + 1, T + 3]
    assert (log.tranches, log.log_id) == (4, "AAECAwQFBgcICQoL")


def test_golden_items_of_a_subscription_are_read_as_they_were_written(tables: Tables) -> None:
    tables.put_golden()
    group = tables.checkpoints().read_group("view")
    assert group.leases[0] == LEASE
    assert group.workers == {"worker-1": 1}
    assert list(tables.checkpoints().read_parked("view")) == [PARKED]
    assert tables.read_model().write([], projection="view", event=EVENTS[0], after=0) == 1


def test_golden_replays_are_read_as_they_were_written(tables: Tables) -> None:
    tables.put_golden()
    replays = tables.replays()
    assert replays.get(UIDS[5]) == REPLAY
    assert replays.get(UIDS[6]) == replace(UNDER_WAY, replay_id=UIDS[6], request_key="", request_digest="")
    assert replays.create(replace(REPLAY, replay_id=UIDS[7])).replay_id == UIDS[5], "its key is known"


def test_store_of_a_later_format_is_refused_before_anything_is_read(tables: Tables) -> None:
    tables.put_golden()
    item = {
        "StreamId": {"S": "$store"},
        "EventId": {"N": "0"},
        "Format": {"N": str(schema.FORMAT_VERSION + 1)},
    }
    put_items(tables.client, tables.names["events"], [item])
    with pytest.raises(StoreFormatUnknown):
        list(tables.store().read_all())


def test_document_has_every_attribute_as_the_code_describes_it() -> None:
    for module in SCHEMAS:
        described = re.findall(r"^=+  [=\s]+\n(?:.*\n)+?=+  =+  =+$", module.__doc__ or "", re.MULTILINE)
        assert described, module.__name__
        for table in described:
            assert table in DOCUMENT, f"docs/stored-format.md lacks:\n{table}"


def test_every_attribute_stands_in_a_golden_item() -> None:
    golden = json.loads(GOLDEN.read_text())
    kinds = {
        "events": schema,
        "log": log_schema,
        "subscriptions": subscription_schema,
        "replays": replay_schema,
    }
    for name, module in kinds.items():
        described = set(re.findall(r"^([A-Z]\w+) +(?:S|N|B|L|BOOL)\b", module.__doc__ or "", re.MULTILINE))
        written = {attribute for item in golden[name] for attribute in item}
        assert described - written <= RARE.get(name, set())
        assert written <= described


RARE: Final = {"log": {"Rebuilt"}}
"""What stands in an item for a while only."""
