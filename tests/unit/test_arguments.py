"""Arguments of public functions and constructors: a wrong one is refused by name, at once."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import boto3
import pytest

import eventstore
from eventstore import (
    Codec,
    Decider,
    Event,
    EventStore,
    Head,
    LogPosition,
    NewEvent,
    Position,
    Store,
    execute,
)
from eventstore._arguments import check_port
from eventstore.aws.eventbridge import EventBridgeBus
from eventstore.aws.sqs import SqsFailedEvents
from eventstore.aws.sqs_dropped import SqsDroppedMessages
from eventstore.aws.sqs_messages import SqsMessages
from eventstore.aws.sqs_redrive import SqsParkedEvents
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.dropped import DroppedRecords, EventsByTime, Recovery
from eventstore.delivery.publisher import EventBus, FailedEvents, Publisher
from eventstore.delivery.redrive import Filter, ParkedEvents, Progress, Redrive
from eventstore.delivery.republish import Republish
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.dropped_records import DynamoDBDroppedRecords
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import InvalidArgument, InvalidInput, InvalidLimit, InvalidRange, NotSynchronous
from eventstore.limits import SETTLING_MAX_S
from eventstore.log.checks import check_block
from eventstore.log.port import EventLog
from eventstore.log.read import read_log
from eventstore.log.writer import LogWriter
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import ImportTarget, check_export, import_events
from eventstore.maintenance.transfer.selection import Selection
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.checkpoints import Checkpoints
from eventstore.maintenance.verify.rebuild import rebuild
from eventstore.maintenance.verify.repair import IndexRepairer
from eventstore.maintenance.verify.segments import Repairer, StoredEvents
from eventstore.maintenance.verify.verify import Verification
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.replays import MemoryReplays
from eventstore.memory.store import MemoryEventStore
from eventstore.ordering.stream_order import StreamReader
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.service import ReplayEngine, Replays
from eventstore.replays.step import ReplayStep
from eventstore.store import AllEvents
from eventstore.subscriptions import OnFailure, Projection, SharedReader, Subscription, Terms, subscribe
from eventstore.subscriptions.projection import ReadModel
from eventstore.subscriptions.start import From, places_at
from eventstore.subscriptions.tranche_reader import EventBodies


@dataclass
class Happened:
    """An event."""


KEYS: Final[dict[str, Any]] = {
    "region_name": "eu-central-1", "aws_access_key_id": "k", "aws_secret_access_key": "s",
}  # fmt: skip
CLIENT: Final[Any] = dynamodb_client(endpoint_url="http://127.0.0.1:1", **KEYS)
STORE: Final = MemoryEventStore()
LOG: Final = MemoryEventLog()
TABLE: Final = {"client": CLIENT, "table_name": "t"}
NOWHERE: Final = Path("nowhere/export.gz")


def fake(port: Any) -> Any:
    """What a test of a user's own code may well give."""
    made = create_autospec(port, instance=True)
    if port is ParkedEvents:
        made.receive.return_value = []
    if port is Checkpoints:
        made.settled_until_us = 1
    return made


FORMAT: Final = EntryFormat(source="eventstore", api_url="https://api.example")
REDRIVE: Final[dict[str, Any]] = {
    "parked": fake(ParkedEvents), "reader": STORE, "bus": fake(EventBus), "entry_format": FORMAT,
}  # fmt: skip
VERIFICATION: Final[dict[str, Any]] = {
    "table": fake(StoredEvents), "log": None, "checkpoints": fake(Checkpoints), "repairer": fake(Repairer),
    "read_shards": 1, "segments": 1,
}  # fmt: skip
PUBLISHER: Final[dict[str, Any]] = {
    "reader": STORE, "bus": fake(EventBus), "failed_events": fake(FailedEvents), "entry_format": FORMAT,
}  # fmt: skip
STEP: Final[dict[str, Any]] = {
    "store": MemoryReplays(), "events": STORE, "target": lambda _: fake(EventBus), "entry_format": FORMAT,
}  # fmt: skip
SUBSCRIPTION: Final[dict[str, Any]] = {
    "name": "view", "handler": print, "log": LOG, "bodies": MemoryEventBodies(STORE),
    "checkpoints": MemoryCheckpoints(),
}  # fmt: skip
MADE: Final[dict[str, tuple[Callable[..., Any], dict[str, Any]]]] = {
    "Decider": (Decider, {"initial": dict, "evolve": max, "codec": Codec(Happened)}),
    "Store": (
        Store,
        {"events": STORE, "log": LOG, "bodies": MemoryEventBodies(STORE), "checkpoints": MemoryCheckpoints(),
         "read_model": MemoryReadModel()},
    ),
    "DynamoDBCheckpoints": (DynamoDBCheckpoints, TABLE),
    "DynamoDBEventBodies": (DynamoDBEventBodies, TABLE),
    "DynamoDBEventLog": (DynamoDBEventLog, TABLE),
    "DynamoDBLogRebuild": (DynamoDBLogRebuild, TABLE),
    "DynamoDBEventStore": (DynamoDBEventStore, TABLE),
    "DynamoDBEventsTable": (DynamoDBEventsTable, TABLE),
    "DynamoDBJournal": (DynamoDBJournal, {**TABLE, "consumer": "publish"}),
    "DynamoDBReadModel": (DynamoDBReadModel, TABLE),
    "DynamoDBReplays": (DynamoDBReplays, TABLE),
    "EventBridgeBus": (EventBridgeBus, {"client": boto3.client("events", **KEYS), "bus_name": "b"}),
    "SqsFailedEvents": (SqsFailedEvents, {"client": boto3.client("sqs", **KEYS), "queue_url": "q"}),
    "DynamoDBDroppedRecords": (
        DynamoDBDroppedRecords, {"client": boto3.client("dynamodbstreams", **KEYS)}
    ),
    "SqsDroppedMessages": (
        SqsDroppedMessages, {"client": boto3.client("sqs", **KEYS), "queue_url": "q"}
    ),
    "SqsMessages": (
        SqsMessages,
        {"client": boto3.client("sqs", **KEYS), "queue_url": "q", "holds": "q", "read": lambda _: None},
    ),
    "SqsParkedEvents": (SqsParkedEvents, {"client": boto3.client("sqs", **KEYS), "queue_url": "q"}),
    "StepFunctionsReplays": (
        StepFunctionsReplays, {"client": boto3.client("stepfunctions", **KEYS), "machine_arn": "m"}
    ),
    "MemoryEventStore": (MemoryEventStore, {"log": LOG}),
    "MemoryEventBodies": (MemoryEventBodies, {"store": STORE}),
    "LogWriter": (LogWriter, {"reader": STORE, "log": LOG}),
    "LogWriter.write": (
        lambda **given: LogWriter(reader=STORE, log=LOG).write([], **given),
        {"remaining_time_s": lambda: 60.0},
    ),
    "Publisher": (Publisher, PUBLISHER),
    "Publisher.publish": (
        lambda **given: Publisher(**PUBLISHER).publish([], **given), {"remaining_time_s": lambda: 60.0}
    ),
    "Redrive": (Redrive, REDRIVE),
    "Redrive.run": (
        lambda **given: Redrive(**REDRIVE).run(**given),
        {"wanted": Filter(), "dry_run": True, "progress": fake(Progress), "ends": lambda: True},
    ),
    "Republish": (
        Republish,
        {
            "bus": fake(EventBus), "entry_format": FORMAT, "progress": lambda _: None, "ends": lambda: True,
            "jitter": lambda: 1.0, "sleep": lambda _: None,
        },
    ),
    "Recovery": (
        Recovery,
        {
            "republish": Republish(bus=fake(EventBus), entry_format=FORMAT),
            "records": fake(DroppedRecords), "events": fake(EventsByTime), "margin_s": 0,
        },
    ),
    "Replays": (Replays, {"store": MemoryReplays(), "engine": fake(ReplayEngine), "allowed_targets": []}),
    "ReplayQueue": (ReplayQueue, {"store": MemoryReplays(), "engine": fake(ReplayEngine)}),
    "ReplayStep": (ReplayStep, STEP),
    "ReplayStep.take": (
        lambda **given: ReplayStep(**STEP).take("id", run=1, steps=0, **given),
        {"remaining_time_s": lambda: 60.0},
    ),
    "Verification": (Verification, VERIFICATION),
    "LogComparison": (LogComparison, {"log": LOG}),
    "rebuild": (
        lambda **given: rebuild([], **given),
        {"log": LogComparison(LOG), "goes_on": False, "note": lambda _: None, "logged": lambda _: None},
    ),
    "IndexRepairer": (IndexRepairer, {"table": fake(StoredEvents), "read_shards": 1, "settled_until_us": 1}),
    "Selection": (Selection, {"end_us": 1, "now_us": lambda: 1, "whole_streams": True}),
    "Projection": (Projection, {"name": "p", "project": lambda _: [], "read_model": MemoryReadModel()}),
    "Terms": (Terms, {}),
    "SharedReader": (SharedReader, {name: SUBSCRIPTION[name] for name in ("log", "bodies")}),
    "subscribe": (subscribe, SUBSCRIPTION),
    "Subscription": (
        Subscription,
        SUBSCRIPTION | {
            "from_": From.BEGINNING, "names": None, "streams": "", "on_failure": OnFailure.STOP,
            "terms": Terms(), "worker": None, "monotonic": lambda: 1.0, "now_us": lambda: 1,
            "sleep": None, "jitter": lambda: 1.0,
        },
    ),
    "execute": (
        execute,
        {
            "store": STORE, "stream_id": "s", "initial": 0, "fold": lambda state, _: state,
            "decide": lambda _: [],
        },
    ),
    "read_log": (read_log, {"log": LOG}),
    "MemoryEventLog": (MemoryEventLog, {}),
    "places_at": (places_at, {"log": LOG, "from_": From.BEGINNING}),
    "export": (export, {"events": [], "path": NOWHERE, "settled_until": ""}),
    "check_export": (check_export, {"path": NOWHERE, "whole_streams": True}),
    "import_events": (
        import_events,
        {"path": NOWHERE, "target": Mock(spec=ImportTarget, is_empty=lambda: True), "write_shards": 1},
    ),
}  # fmt: skip
"""What users make or call, with arguments that are good (of export and import, but for the file)."""


class Empty:
    """Has nothing that a port has."""


async def later(*_: object) -> None: ...


def protocols() -> set[str]:
    return {
        name
        for module in modules()
        for name, kind in vars(module).items()
        if isinstance(kind, type) and Protocol in kind.__bases__ and kind.__module__.startswith("eventstore")
    }


def modules() -> Iterator[Any]:
    for module in pkgutil.walk_packages(eventstore.__path__, "eventstore."):
        if not re.search(r"__main__|\.testing|\.local|\.cli|\.http|\.plan", module.name):
            yield importlib.import_module(module.name)


PORTS: Final = protocols()


def arguments_of(kind: str) -> list[Any]:
    """Each argument that is a port (or a client), or a function, of what users make or call."""
    found = []
    for name, (made, good) in MADE.items():
        for field, parameter in inspect.signature(made).parameters.items():
            annotation = str(parameter.annotation)
            is_function = "Callable" in annotation or annotation == "Handler"
            is_port = (
                not is_function and bool(PORTS & set(re.findall(r"\w+", annotation)))
            ) or field == "client"
            if field != "given" and kind == ("port" if is_port else "function" if is_function else ""):
                found.append(pytest.param(made, good, field, id=f"{name}({field})"))
        if "given" in inspect.signature(made).parameters:
            found += [
                pytest.param(made, good, field, id=f"{name}({field})")
                for field, value in good.items()
                if kind
                == ("function" if inspect.isfunction(value) else "port" if field == "progress" else "")
            ]
    return found


@pytest.mark.parametrize(("made", "good"), [pytest.param(*of, id=name) for name, of in MADE.items()])
def test_good_arguments_and_autospecced_fakes_are_taken(made: Any, good: Any) -> None:
    try:
        made(**good)
    except OSError:  # of the file that isn't there
        assert "path" in good


@pytest.mark.parametrize("given", [Empty(), "text", Empty, None], ids=["object", "text", "class", "none"])
@pytest.mark.parametrize(("made", "good", "field"), arguments_of("port"))
def test_object_without_the_methods_of_its_port_is_refused_at_once(
    made: Any, good: Any, field: str, given: Any
) -> None:
    signature = inspect.signature(made).parameters
    if given is None and (field == "progress" or (field in signature and signature[field].default is None)):
        pytest.skip("None is a value of its own here")
    if given is None and made is Verification and field == "log":
        pytest.skip("None leaves the log out")
    with pytest.raises(InvalidArgument) as caught:
        made(**(good | {field: given}))
    assert caught.value.field == field
    assert "give a" in caught.value.reason


@pytest.mark.parametrize("given", [later, 1, AsyncMock()], ids=["async function", "number", "async mock"])
@pytest.mark.parametrize(("made", "good", "field"), arguments_of("function"))
def test_function_that_is_later_or_none_is_refused_at_once(
    made: Any, good: Any, field: str, given: Any
) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(**(good | {field: given}))
    assert caught.value.field == field
    assert isinstance(caught.value, NotSynchronous) == (given != 1)


def test_all_that_takes_a_port_or_a_function_stands_in_the_table() -> None:
    # What only this library makes, of arguments that it has checked.
    inside = {
        "Ahead", "Attempts", "EventAppends", "EventReads", "Handling", "Holding", "Membership", "Naming",
        "StreamOrder", "SegmentCheck", "Sending", "ServerClock", "StoreFacts", "TimeShard",
        "Keeper", "KnownStreams", "MissingEvents", "TrancheReader", "DeliveredStreams", "BusTarget",
        "Folded", "FunctionTarget", "OneAtATime", "QueueTarget", "Recent", "ItemParser",
        "ItemParserFactory", "UnreadAnswer",
    }  # fmt: skip
    takes = {
        name
        for module in modules()
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and kind.__module__ == module.__name__
        and not name.startswith("_")
        and name not in PORTS
        and not issubclass(kind, Exception)
        and any(
            "Callable" in str(of.annotation) or PORTS & set(re.findall(r"\w+", str(of.annotation)))
            for of in inspect.signature(kind).parameters.values()
        )
    }
    assert takes - inside <= set(MADE)


# --- ports -----------------------------------------------------------------------------------------------


def test_error_names_the_argument_what_was_given_and_what_it_lacks() -> None:
    with pytest.raises(InvalidArgument) as caught:
        subscribe("v", print, log=LOG, bodies=STORE, checkpoints=MemoryCheckpoints())  # type: ignore[arg-type]
    assert str(caught.value) == (
        "bodies: is a eventstore.memory.store.MemoryEventStore, which lacks read_events; give an object "
        "that has what eventstore.subscriptions.tranche_reader.EventBodies has: read_events"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_port_is_anything_that_has_its_methods() -> None:
    class Own:
        def __init__(self) -> None:
            self.read_tranche = lambda *_, **__: iter(())

        @property
        def tranches(self) -> int:
            raise AssertionError("a property may ask a table")

        log_id = tranches

        def first_since(self, *_: object) -> object:
            return None

        def close_block(self, *_: object) -> object:
            return None

        def append_block(self, *_: object) -> int:
            return 1

    class Delegates:
        def __getattr__(self, name: str) -> Any:
            return getattr(Own(), name)

    class Generates(Own):
        def __init__(self) -> None: ...

        def read_tranche(self, *_: object, **__: object) -> Iterator[Any]:
            yield from ()

    for given in (Own(), Delegates(), Generates(), Mock(), MagicMock(spec=EventLog), LOG):
        check_port(given, EventLog, "log")


def test_port_with_an_async_method_is_refused_by_the_name_of_the_method() -> None:
    class Later(MemoryEventLog):
        async def append_block(self, *_: Any) -> int:  # type: ignore[override]
            return 1

    class Yields(MemoryEventBodies):
        def read_events(self, addresses: Any) -> Any:
            yield addresses

    with pytest.raises(NotSynchronous, match=r"log\.append_block: is .*an async function"):
        MemoryEventStore(log=Later())  # type: ignore[arg-type]
    with pytest.raises(NotSynchronous, match=r"bodies\.read_events: is .*a generator function"):
        check_port(Yields(STORE), EventBodies, "bodies")
    with pytest.raises(NotSynchronous, match=r"read_model\.write"):
        check_port(AsyncMock(), ReadModel, "read_model")


def test_port_that_lacks_a_property_is_refused() -> None:
    class Untold:
        append_block = read_tranche = first_since = close_block = lambda *_, **__: None

    with pytest.raises(InvalidArgument, match="which lacks tranches"):
        check_port(Untold(), EventLog, "log")


def test_only_what_is_called_has_to_be_there() -> None:
    class Reads:
        def read_stream(self, *_: object, **__: object) -> Iterator[Event]:
            return iter(())

    class ReadsAll:
        def read_all(self, **_: object) -> AllEvents:
            return AllEvents(iter(()), 1)

    class Writes:
        def entry(self, event: Event) -> NoReturn:
            raise AssertionError(event)

    MemoryEventBodies(Reads())  # type: ignore[arg-type]
    made_with("ReplayStep", events=ReadsAll(), entry_format=Writes())()
    made_with("Publisher", entry_format=Writes())()
    with pytest.raises(InvalidArgument, match="which lacks read_times"):
        check_port(Reads(), StreamReader, "reader")
    with pytest.raises(InvalidArgument, match="which lacks append, transact, head, read_all"):
        check_port(Reads(), EventStore, "store")


@pytest.mark.parametrize("name", [name for name, (_, good) in MADE.items() if "entry_format" in good])
def test_what_is_no_entry_format_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        made_with(name, entry_format="json")()
    assert caught.value.field == "entry_format"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (boto3.client("sqs", **KEYS), "is a client of sqs"),
        (boto3.resource("dynamodb", **KEYS).Table("t"), "is a resource of boto3"),
        (boto3.resource("dynamodb", **KEYS), "is a resource of boto3"),
        (boto3.Session(region_name="eu-central-1"), "lacks put_item, query"),
        (boto3, "lacks put_item, query"),
    ],
)
def test_client_of_something_else_is_refused(given: Any, why: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"client: .*{why}.*boto3\.client\('dynamodb'\)"):
        DynamoDBEventLog(client=given, table_name="t")


# --- numbers, texts and times ----------------------------------------------------------------------------


def made_with(name: str, /, **bad: Any) -> Callable[[], object]:
    made, good = MADE[name]
    return lambda: made(**(good | bad))


def on_dynamodb(**bad: Any) -> Callable[[], object]:
    return made_with("DynamoDBEventStore", **bad)


def log_with(**bad: Any) -> Callable[[], object]:
    return made_with("DynamoDBEventLog", **bad)


NAN: Final = float("nan")
WRONG_SUBSCRIPTIONS: Final[list[tuple[dict[str, Any], type[InvalidInput], str]]] = [
    ({"from_": datetime(2026, 1, 1)}, InvalidRange, "from_: has no time zone"),  # noqa: DTZ001
    ({"on_failure": "park"}, InvalidArgument, "on_failure: .*OnFailure"),
    ({"terms": {"lease_s": 5}}, InvalidArgument, "terms: .*Terms"),
    ({"worker": 7}, InvalidArgument, "worker: "),
    ({"worker": ""}, InvalidArgument, "worker: "),
    ({"names": 7}, InvalidInput, "names: "),
    ({"names": "OrderPlaced"}, InvalidInput, "names: is one text"),
    ({"streams": None}, InvalidInput, "streams: "),
    ({"names": ["A\x07"]}, InvalidInput, "names: has .*no event's name.* control character"),
    ({"names": [""]}, InvalidInput, "names: has ''.* 1 to 256 characters"),
    ({"streams": "$store"}, InvalidInput, "streams: is '\\$store'; no stream's id begins so.* reserved"),
    ({"handler": 7}, InvalidInput, "handler: "),
]  # fmt: skip
REFUSED: Final[list[tuple[Callable[[], object], type[InvalidInput], str]]] = [
    *(
        (made_with("execute", max_tries=bad), InvalidLimit, "max_tries: ")
        for bad in (0, -1, "3", 2.0, True, None)
    ),
    *((made_with("execute", backoff_s=bad), InvalidLimit, "backoff_s: ") for bad in (-1, NAN, "1", None)),
    *(
        (lambda bad=bad: DynamoDBEventStore(**TABLE).spread_over(bad), InvalidLimit, "shards: ")
        for bad in (0, "1", 1_001, 2.5, 3.0, True, None, NAN, 10**5_000)
    ),
    *(
        (made_with(store, settling_s=bad), InvalidLimit, "settling_s: ")
        for bad in (-1, NAN, "10", None, True, float("inf"), SETTLING_MAX_S + 1, 10**400, 10**5_000)
        for store in ("DynamoDBEventStore", "MemoryEventStore")
    ),
    *(
        (on_dynamodb(clock_tolerance_s=bad), InvalidLimit, "clock_tolerance_s: ")
        for bad in ("1", -1, NAN, float("inf"), True, 3_600, 10**400)
    ),
    (on_dynamodb(compression="zlib"), InvalidArgument, "compression: .*Compression"),
    (made_with("DynamoDBEventsTable", compression="zlib"), InvalidArgument, "compression: .*Compression"),
    *((on_dynamodb(table_name=bad), InvalidArgument, "table_name: ") for bad in (None, "", 1)),
    *(
        (lambda bad=bad: DynamoDBEventLog(**TABLE).begin_with(bad), InvalidLimit, "tranches: ")
        for bad in (0, 257, "4", 2.5, 4.0, True, None)
    ),
    *((lambda bad=bad: MemoryEventLog(tranches=bad), InvalidLimit, "tranches: ") for bad in (0, 257, "4")),
    (lambda: MemoryEventStore().read_log(), InvalidArgument, "log: .*MemoryEventLog"),
    (lambda: DynamoDBEventStore(**TABLE).read_log(), InvalidArgument, "log: .*DynamoDBEventLog"),
    (lambda: dynamodb_client("http://127.0.0.1"), InvalidArgument, "session: .*lacks client"),  # type: ignore[arg-type]
    (lambda: dynamodb_client(CLIENT), InvalidArgument, "session: .*boto3.Session"),
    (lambda: dynamodb_client(config={"retries": 1}), InvalidArgument, "config: "),  # type: ignore[arg-type]
    (lambda: Compression("gzip"), InvalidArgument, "codec: is 'gzip'"),  # type: ignore[arg-type]
    (lambda: Compression(["zlib"]), InvalidArgument, "codec: "),  # type: ignore[arg-type]
    (lambda: Compression("zlib", min_bytes=-1), InvalidLimit, "min_bytes: "),
    (lambda: check_block(4, [], tranches=4), InvalidRange, "tranche: "),
    (lambda: check_block(0, [], tranches=4), InvalidArgument, "events: is empty"),
    *((made_with("read_log", limit=bad), InvalidLimit, "limit: ") for bad in (0, "1", None)),
    (made_with("read_log", after=str(LogPosition.beginning(4))), InvalidInput, "after: .*LogPosition.parse"),
    (made_with("read_log", tranches=0), InvalidArgument, "tranches: "),
    (made_with("read_log", tranches=[4]), InvalidRange, "tranche: is 4; this log has 0 to 3"),
    (made_with("read_log", tranches=["0"]), InvalidRange, "tranche: "),
    (lambda: list(LOG.read_tranche("0")), InvalidRange, "tranche: "),  # type: ignore[arg-type]
    (lambda: list(LOG.read_tranche(0, after=(1, 0))), InvalidInput, "after: "),  # type: ignore[arg-type]
    (made_with("places_at", from_="beginning"), InvalidRange, "from_: "),
    (made_with("places_at", from_=datetime(2026, 1, 1)), InvalidRange, "from_: has no time zone"),  # noqa: DTZ001
    *(
        (made_with(made, **bad), error, words)
        for made in ("subscribe", "Subscription")
        for bad, error, words in WRONG_SUBSCRIPTIONS
    ),
    *((made_with("Terms", lease_s=bad), InvalidLimit, "lease_s: ") for bad in ("30", None, NAN, -1)),
    *((made_with("Terms", max_tries=bad), InvalidLimit, "max_tries: ") for bad in ("5", 1.5, True, 0)),
    (made_with("Terms", page_entries=10_001), InvalidLimit, "page_entries: is 10001; .* from 1 to 10000"),
    (made_with("Terms", warm_up_blocks=1_001), InvalidLimit, "warm_up_blocks: is 1001; .* from 1 to 1000"),
    (made_with("Publisher", reorder_window_s=-1), InvalidLimit, "reorder_window_s: "),
    (made_with("LogWriter", reorder_window_s="5"), InvalidLimit, "reorder_window_s: "),
    # One text would be a list of letters, and a '*' among them a target of any name.
    (made_with("Replays", allowed_targets="arn:aws:sqs:*"), InvalidArgument, "allowed_targets: "),
    (made_with("Replays", allowed_targets=[None]), InvalidArgument, "allowed_targets: "),
    (made_with("Redrive.run", wanted=None), InvalidArgument, "wanted: .*Filter"),
    (lambda: Filter(event_name=""), InvalidInput, "event_name: has to have 1 to 256 characters"),
    (lambda: Filter(stream_prefix="$s"), InvalidInput, "stream_prefix: begins with .*reserved"),
    (made_with("Verification", segments=0), InvalidLimit, "segments: "),
    (made_with("Verification", read_shards="1"), InvalidLimit, "read_shards: "),
    (made_with("import_events", parallel=0), InvalidLimit, "parallel: "),
    (made_with("import_events", write_shards=0), InvalidLimit, "write_shards: "),
    (made_with("import_events", excepted="order-1"), InvalidArgument, "excepted: "),
    (made_with("check_export", excepted="order-1"), InvalidArgument, "excepted: "),
    (made_with("export", events=5), InvalidArgument, "events: "),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_bad_value_is_an_error_of_the_tree_that_names_its_argument(
    call: Callable[[], object], error: type[InvalidInput], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


FLAGS: Final = [
    pytest.param(made, good, field, id=f"{name}({field})")
    for name, (made, good) in MADE.items()
    for field, annotation in (
        {of: parameter.annotation for of, parameter in inspect.signature(made).parameters.items()} | good
    ).items()
    if annotation == "bool" or isinstance(annotation, bool)
]


@pytest.mark.parametrize("given", ["false", 0, None])
@pytest.mark.parametrize(("made", "good", "field"), FLAGS)
def test_what_is_neither_true_nor_false_is_refused_by_name(
    made: Any, good: Any, field: str, given: Any
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: is .*; give True or False"):
        made(**(good | {field: given}))


TOO_LONG_TO_WRITE: Final = 10**5_000
"""Python raises a ValueError of its own where such a number is written."""


@pytest.mark.parametrize(
    "call",
    [
        lambda: STORE.read_stream("s", from_version=TOO_LONG_TO_WRITE),
        lambda: STORE.read_stream("s", limit=TOO_LONG_TO_WRITE),
        lambda: STORE.append("s", [NewEvent(name="A")], expected=TOO_LONG_TO_WRITE),
        lambda: STORE.append("s", [NewEvent(name="A")], expected=Head("s", TOO_LONG_TO_WRITE, 1)),
        lambda: STORE.read_all(after=Position(TOO_LONG_TO_WRITE, "s", "x")),  # type: ignore[arg-type]
        lambda: LOG.read_tranche(TOO_LONG_TO_WRITE),
        lambda: read_log(LOG, limit=TOO_LONG_TO_WRITE),
        made_with("read_log", tranches=TOO_LONG_TO_WRITE),
        made_with("Verification", read_shards=TOO_LONG_TO_WRITE),
        made_with("execute", backoff_s=TOO_LONG_TO_WRITE),
        made_with("Terms", lease_s=TOO_LONG_TO_WRITE),
        made_with("Terms", max_starts=-TOO_LONG_TO_WRITE),
        made_with("subscribe", name=TOO_LONG_TO_WRITE),
        made_with("check_export", excepted=[TOO_LONG_TO_WRITE]),
    ],
)
def test_number_that_is_too_long_to_write_is_refused_all_the_same(call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert len(caught.value.reason) < 300


def test_start_at_the_earliest_time_there_is_begins_with_the_first_block() -> None:
    assert places_at(LOG, datetime.min.replace(tzinfo=UTC)) == places_at(LOG, From.BEGINNING)


# --- callbacks -------------------------------------------------------------------------------------------


def test_redrive_that_asks_a_function_that_is_never_done_publishes_nothing() -> None:
    parked = fake(ParkedEvents)
    parked.receive.side_effect = [[Mock()]]
    redrive = Redrive(**(REDRIVE | {"parked": parked}))
    with pytest.raises(NotSynchronous, match="ends: "):
        redrive.run(wanted=Filter(), dry_run=False, ends=lambda: [later()])  # type: ignore[arg-type,return-value]
    REDRIVE["bus"].put.assert_not_called()
    parked.release.assert_called_once()


def test_progress_that_is_async_is_refused_before_anything_is_received() -> None:
    parked = fake(ParkedEvents)
    with pytest.raises(NotSynchronous, match=r"progress\.received"):
        Redrive(**(REDRIVE | {"parked": parked})).run(wanted=Filter(), dry_run=True, progress=AsyncMock())
    parked.receive.assert_not_called()


def test_verification_refuses_a_progress_or_output_before_it_reads() -> None:
    table = fake(StoredEvents)
    verification = Verification(**(VERIFICATION | {"table": table}))
    with pytest.raises(InvalidArgument, match="progress: .*lacks phase, seen"):
        verification.run(StringIO(), progress=print)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="output: .*lacks write, flush"):
        verification.run("findings", progress=Mock())  # type: ignore[arg-type]
    table.scan.assert_not_called()


def test_export_of_an_async_generator_leaves_no_file(tmp_path: Path) -> None:
    async def events() -> Any:
        yield 1

    with pytest.raises(InvalidArgument, match="events: is of type async_generator"):
        export(events(), tmp_path / "events.gz", settled_until="")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_on_failure_is_taken_as_it_is() -> None:
    for on_failure in OnFailure:
        made_with("subscribe", on_failure=on_failure)()
