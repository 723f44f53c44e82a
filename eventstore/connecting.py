"""The front door: one call that makes a store whole, with its log and its subscriptions."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_port, check_text
from eventstore._store_parameter import StoreParameter
from eventstore.errors import InvalidInput
from eventstore.events import Event, Head, NewEvent
from eventstore.limits import SETTLING_S
from eventstore.log.model import LogPage, LogPosition
from eventstore.log.port import EventLog
from eventstore.log.read import read_log
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.positions import Position
from eventstore.store import AllEvents, Append, Appended, EventStore, Expected, ExpectedWord
from eventstore.subscriptions import (
    Checkpoints,
    EventBodies,
    Handler,
    ItemReadModel,
    Projection,
    Subscription,
    Write,
    subscribe,
)

if TYPE_CHECKING:
    import boto3

MEMORY: Final = "memory:"
VARIABLE: Final = "EVENTSTORE"
"""The environment variable with the name of the store that `connect` takes when it's given nothing."""


def connect(
    name: str | None = None,
    *,
    session: boto3.Session | None = None,
    events_table: str | None = None,
    log_table: str | None = None,
    subscriptions_table: str | None = None,
    settling_s: float = SETTLING_S,
    compression: str = "none",
    **client_options: Any,
) -> Store:
    """Connect to a deployed store by its name, to tables, or to a store in memory.

    ::

        store = connect("prod")        # as it's deployed: tables and compression come from there
        store = connect("memory:")     # in tests: the same object, wired whole
        store = connect(events_table="...", log_table="...", subscriptions_table="...")

    Args:
        name: the environment that the store was deployed for (its parameter is ``/eventstore/<name>``), or
            ``memory:``. None for the variable EVENTSTORE, unless tables are given.
        session: whose Region, profile and credentials to use; None for boto3's default session, or one of the
            environment, in which AWS_REGION counts before AWS_DEFAULT_REGION.
        events_table, log_table, subscriptions_table: tables in place of a name. Without a log's table the
            store has no log, without subscriptions' no subscriptions.
        settling_s, compression: of tables; a deployed store has its own.
        client_options: more arguments of `boto3.client`, such as ``region_name`` or ``endpoint_url``.

    No number has to be given: how many shards are written and read, and how many tranches the log has, the
    store itself says.

    Raises:
        InvalidInput: neither a name nor tables, or both.
        UnknownStore: there's no such parameter in this account and Region.
        InvalidStoreParameter: it's of a newer version, or somebody has changed it.
        StoreMisconfigured: RegionMissing, CredentialsMissing, CredentialsRefused, AccessDenied. What tables
            lack shows at the first request.
        StoreUnavailable: AWS can't be reached, or is throttled.

    Cost: 1 request to SSM for a name, none for tables and in memory.
    """
    tables = {
        "events_table": events_table,
        "log_table": log_table,
        "subscriptions_table": subscriptions_table,
    }
    given = {field: table for field, table in tables.items() if table is not None}
    name = _name(name, given)
    if name == MEMORY:
        return _in_memory()
    # boto3 is for who has a store on AWS.
    from eventstore.dynamodb import connecting as dynamodb  # noqa: PLC0415

    if name is not None:
        deployment, parts = dynamodb.from_name(name, session, client_options)
        return Store(**parts._asdict(), deployment=deployment)
    for field, table in given.items():
        check_text(table, field)
    parts = dynamodb.from_tables(
        tables, session, client_options, settling_s=settling_s, compression=compression
    )
    return Store(**parts._asdict())


def _name(name: str | None, tables: Mapping[str, str]) -> str | None:
    """Return the name that was given, or the environment's; None where tables are given."""
    first = next(iter(tables), None)
    if name is not None and tables:
        raise InvalidInput("name", f"and {first} are both given; give the name of a store, or its tables")
    if tables and "events_table" not in tables:
        raise InvalidInput("events_table", f"is missing beside {first}; a store has one at least")
    if name is not None or tables:
        return name
    name = os.environ.get(VARIABLE)
    if not name:
        what = f"is missing: give the name of a store, {MEMORY!r}, or its tables; or set {VARIABLE}"
        raise InvalidInput("name", what)
    return name


class Store:
    """A store with its log and its subscriptions: what `connect` returns. It is an `EventStore`, too.

    Args:
        events: appends, and reads of streams and of all events.
        log: None for a store without one.
        bodies: the events by their addresses, for subscriptions.
        checkpoints: None for a store without subscriptions.
        read_model: where its projections write; None for a store without subscriptions.
        deployment: of a store that was connected by its name, what was deployed.

    Raises:
        InvalidArgument: an argument without the methods that are called.
    """

    def __init__(
        self,
        *,
        events: EventStore,
        bodies: EventBodies,
        log: EventLog | None = None,
        checkpoints: Checkpoints | None = None,
        read_model: ItemReadModel | None = None,
        deployment: StoreParameter | None = None,
    ) -> None:
        check_port(events, EventStore, "events")
        check_port(bodies, EventBodies, "bodies")
        if log is not None:
            check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
        if checkpoints is not None:
            check_port(checkpoints, Checkpoints, "checkpoints")
        if read_model is not None:
            check_port(read_model, ItemReadModel, "read_model")
        self.events: Final = events
        self.bodies: Final = bodies
        self.deployment: Final = deployment
        self._log = log
        self._checkpoints = checkpoints
        self._read_model = read_model

    @property
    def log(self) -> EventLog:
        """Its log.

        Raises:
            InvalidInput: the store was connected without one.
        """
        if self._log is None:
            raise InvalidInput("log_table", "isn't known: give it to connect, or connect by the store's name")
        return self._log

    @property
    def checkpoints(self) -> Checkpoints:
        """Where its subscriptions keep how far they are.

        Raises:
            InvalidInput: the store was connected without.
        """
        if self._checkpoints is None:
            raise _no_subscriptions()
        return self._checkpoints

    @property
    def read_model(self) -> ItemReadModel:
        """Where its projections write, and read back: tables on DynamoDB, or items in memory.

        On DynamoDB the tables are yours, in the store's account and Region; in memory any table is there.

        Raises:
            InvalidInput: the store was connected without subscriptions.
        """
        if self._read_model is None:
            raise _no_subscriptions()
        return self._read_model

    def append(
        self, stream_id: str, events: Sequence[NewEvent], *, expected: Expected | ExpectedWord
    ) -> Appended:
        """Append 1-100 events to one stream; see `EventStore.append`."""
        return self.events.append(stream_id, events, expected=expected)

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Append to several streams, all or nothing; see `EventStore.transact`."""
        return self.events.transact(appends)

    def head(self, stream_id: str) -> Head:
        """Return a stream's last version; see `EventStore.head`."""
        return self.events.head(stream_id)

    def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backward: bool = False,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[Event]:
        """Read the events of one stream; see `EventStore.read_stream`."""
        return self.events.read_stream(
            stream_id,
            from_version=from_version,
            to_version=to_version,
            backward=backward,
            limit=limit,
            consistent=consistent,
        )

    def read_all(
        self,
        *,
        from_: datetime | None = None,
        to: datetime | None = None,
        after: Position | None = None,
        limit: int | None = None,
        unsettled: bool = False,
    ) -> AllEvents:
        """Read the events of all streams in time order; see `EventStore.read_all`."""
        return self.events.read_all(from_=from_, to=to, after=after, limit=limit, unsettled=unsettled)

    def read_log(
        self, *, after: LogPosition | None = None, limit: int = 1_000, tranches: Collection[int] | None = None
    ) -> LogPage:
        """Read what comes next in the log; see `eventstore.read_log`."""
        return read_log(self.log, after=after, limit=limit, tranches=tranches)

    def projection(self, name: str, project: Callable[[Event], Sequence[Write]]) -> Projection[Write]:
        """Make a handler that projects each event into `read_model`, effectively once; see `Projection`.

        ::

            worker = store.subscribe("lent", store.projection("lent", project))
            worker.run_forever()
            store.read_model.get("lent", {"Copy": "copy-1"})

        Args:
            name: the projection's. A new name starts anew.
            project: what an event writes: `Put`, `Update` and `Delete`, at most 99; none for nothing.

        Raises:
            InvalidInput: the store was connected without subscriptions, or an argument is invalid.

        Cost (DynamoDB): for each event 1 transaction, 2 WCU and 2 a KB of each write.
        """
        return Projection(name=name, project=project, read_model=self.read_model)

    def subscribe(self, name: str, handler: Handler, **options: Any) -> Subscription:
        """Make a worker of a subscription; see `eventstore.subscriptions.subscribe` for the options."""
        return subscribe(
            name, handler, log=self.log, bodies=self.bodies, checkpoints=self.checkpoints, **options
        )


def _in_memory() -> Store:
    log = MemoryEventLog()
    # Nothing is late in one process.
    events = MemoryEventStore(log=log, settling_s=0)
    return Store(
        events=events,
        log=log,
        bodies=MemoryEventBodies(events),
        checkpoints=MemoryCheckpoints(),
        read_model=MemoryReadModel(),
    )


def _no_subscriptions() -> InvalidInput:
    what = "isn't known: give it to connect, or connect by the store's name"
    return InvalidInput("subscriptions_table", what)
