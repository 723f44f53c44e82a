"""A store that has been used goes on in forked children: no process gets another's answers."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    ContainerProvider,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from botocore.httpsession import URLLib3Session
from botocore.utils import InstanceMetadataFetcher

from eventstore.aws import forks
from eventstore.dynamodb.client import dynamodb_client as stores_client
from tests.tables import (
    boto3s_client,
    dynamodb_client,
    events_table,
    log_table,
    subscriptions_table,
    tables_client,
)

ROOT = Path(__file__).parents[2]

PROGRAM = """
    import gc, os, sys, threading, traceback
    from eventstore import Append, NewEvent
    from eventstore.errors import VersionConflict
    from eventstore.dynamodb.store import DynamoDBEventStore
    from tests import tables

    endpoint, table, kind, made = sys.argv[1:]
    client = getattr(tables, kind)(endpoint)
    # In the child: its parent asks something by the client alone, at its start.
    parents_client = client if made == "before the fork" else getattr(tables, kind)(endpoint)
    store = DynamoDBEventStore(client=parents_client, table_name=table)
    CHILDREN, ROUNDS = 4, 25

    def sockets():
        # The inodes of the sockets that the client has in its pools.
        manager = client._endpoint.http_session._manager
        pools = [manager.pools[key] for key in manager.pools.keys()]
        idle = [one for pool in pools for one in pool.pool.queue if one is not None and one.sock is not None]
        return {os.fstat(one.sock.fileno()).st_ino for one in idle}

    for child in range(CHILDREN + 1):
        store.append(f"own-{child}", [NewEvent.of(f"Of{child}")] * 3, expected=0)
    list(store.read_all(unsettled=True))
    while len(sockets()) < 6:  # more idle ones than the threads below take
        together = [threading.Thread(target=client.list_tables) for _ in range(12)]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
    stop = threading.Event()

    def busy(number):
        while not stop.is_set():
            read(number)

    def read(number):
        events = list(store.read_stream(f"own-{number}"))
        assert [event.name for event in events] == [f"Of{number}"] * 3, events
        assert {event.stream_id for event in events} == {f"own-{number}"}, events

    threads = [threading.Thread(target=busy, args=(CHILDREN,)) for _ in range(3)]
    for thread in threads:
        thread.start()

    def work(number):
        for turn in range(ROUNDS):
            read(number)
            try:
                done = store.append(f"raced-{turn}", [NewEvent.of("E", number)], expected=0)
            except VersionConflict:
                pass
            else:
                os.write(won, f"{turn}/{number}\\n".encode())
                assert done.events == tuple(store.read_stream(f"raced-{turn}"))
            assert gc.isenabled()
        assert len(list(store.read_all(unsettled=True))) >= 15

    wins, won = os.pipe()
    pids = []
    for number in range(CHILDREN):
        parents = sockets()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if made == "in the child":
                    assert sockets()
                    store = DynamoDBEventStore(client=client, table_name=table)
                assert not sockets(), "a child begins without connections"
                work(number)
                assert sockets()
                assert not sockets() & parents, "a connection is shared"
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    stop.set()
    for thread in threads:
        thread.join()
    os.close(won)
    told = os.fdopen(wins).read().split()
    assert codes == [0] * CHILDREN, codes
    assert sorted(int(one.partition("/")[0]) for one in told) == list(range(ROUNDS)), told
    for one in told:
        turn, _, number = one.partition("/")
        assert [event.payload for event in store.read_stream(f"raced-{turn}")] == [number]
    print("whole")
"""


@pytest.mark.parametrize("made", ["before the fork", "in the child"])
@pytest.mark.parametrize("kind", [dynamodb_client, boto3s_client])
def test_children_read_their_own_streams_and_race_appends(
    dynamodb_endpoint: str, kind: Any, made: str
) -> None:
    with events_table(tables_client(dynamodb_endpoint)) as table:
        arguments = [dynamodb_endpoint, table, kind.__name__, made]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM), *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert done.stdout == "whole\n", done.stderr


WORKER = """
    import os, sys, traceback
    from eventstore import NewEvent
    from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
    from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
    from eventstore.dynamodb.log import DynamoDBEventLog
    from eventstore.dynamodb.store import DynamoDBEventStore
    from eventstore.log.model import tranche_of
    from eventstore.subscriptions import Terms, subscribe
    from tests import tables
    from tests.forked import in_child

    endpoint, events, log_name, subscriptions = sys.argv[1:]
    client = tables.dynamodb_client(endpoint)
    store = DynamoDBEventStore(client=client, table_name=events, clock_tolerance_s=None)
    log = DynamoDBEventLog(client=client, table_name=log_name)
    log.begin_with(2)
    checkpoints = DynamoDBCheckpoints(client=client, table_name=subscriptions)
    forks, handled = [], []

    def append(stream, expected):
        done = store.append(stream, [NewEvent.of("E")], expected=expected)
        log.append_block(tranche_of(stream, tranches=2), done.events)

    def handle(event):
        handled.append((event.stream_id, event.event_id))
        if forks:
            pid = os.fork()
            if pid == 0:
                sys.exit()  # as a program of its own would end: through the worker's loop
            os.waitpid(pid, 0)

    worker = subscribe(
        "view", handle, log=log, bodies=DynamoDBEventBodies(client=client, table_name=events),
        checkpoints=checkpoints, terms=Terms(lease_s=600.0), monotonic=lambda: 0.0,
    )
    name = worker.worker

    def leases():
        return checkpoints.read_group("view").leases

    def never_run():
        worker.step()
        assert worker.worker != name, "a child is the same worker"
        assert worker.tranches == {0, 1}
        worker.close()

    def inherits():
        count = len(handled)
        worker.step()
        assert worker.worker != name, "a child is the same worker"
        assert not worker.tranches, "a child has its parent's leases"
        assert len(handled) == count, "a child handles its parent's events"
        worker.close()

    append("a", 0)
    assert in_child(never_run) == 0
    append("b", 0), append("c", 0)
    worker.step()
    held = leases()
    assert {lease.owner for lease in held.values()} == {name} == {worker.worker}
    append("a", 1)
    assert in_child(inherits) == 0
    assert in_child(worker.close) == 0
    assert leases() == held, "a child has touched its parent's leases"
    forks.append(True)
    worker.run(until=lambda: ("a", 2) in handled)
    assert sorted(handled) == [("a", 2), ("b", 1), ("c", 1)], handled
    assert [lease.owner for lease in leases().values()] == [None, None]
    assert not checkpoints.read_group("view").workers
    print("whole")
"""


def test_worker_of_a_subscription_is_another_one_in_a_child(dynamodb_endpoint: str) -> None:
    client = dynamodb_client(dynamodb_endpoint)
    with (
        events_table(client) as events,
        log_table(client) as log,
        subscriptions_table(client) as subscriptions,
    ):
        arguments = [dynamodb_endpoint, events, log, subscriptions]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(WORKER), *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert done.stdout == "whole\n", done.stderr


def test_locks_that_threads_held_at_the_fork_are_free_in_the_child(dynamodb_endpoint: str) -> None:
    """The hook of the child, with each lock of the pools held as by a thread that hasn't come along."""
    client: Any = dynamodb_client(dynamodb_endpoint)
    client.list_tables()
    session = client._endpoint.http_session
    manager = session._manager
    (pool,) = [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118
    inherited = [one.sock for one in pool.pool.queue if one is not None]
    held = [manager.pools.lock, pool.pool.mutex]
    for lock in held:
        lock.acquire()
    known = dict(forks._clients)
    forks._clients.clear()
    try:
        forks.fork_safe(client)
        forks._drop_connections()
        client.list_tables()
    finally:
        forks._clients.clear()
        forks._clients.update(known)
        for lock in held:
            lock.release()

    assert session._manager is not manager
    assert all(sock.fileno() == -1 for sock in inherited)


@pytest.mark.parametrize("is_held", [False, True], ids=["free", "held in another process"])
def test_client_that_was_used_before_it_is_given_drops_its_connections(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    monkeypatch.setattr(forks, "_clients", {})
    monkeypatch.setattr(forks, "_PATIENCE_S", 0.01)
    client: Any = boto3s_client(dynamodb_endpoint)
    client.list_tables()
    manager = client._endpoint.http_session._manager
    (pool,) = manager.pools._container.values()
    inherited = [one.sock for one in pool.pool.queue if one is not None]
    assert inherited
    if is_held:
        pool.pool.mutex.acquire()

    forks.fork_safe(client)

    assert all(sock.fileno() == -1 for sock in inherited)
    client.list_tables()
    own = client._endpoint.http_session._manager
    assert own is not manager
    forks.fork_safe(client)
    assert client._endpoint.http_session._manager is own, "once is enough"


def test_client_that_has_no_connection_costs_nothing_when_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forks, "_clients", {})
    client: Any = boto3s_client("http://127.0.0.1:9")
    manager = client._endpoint.http_session._manager

    forks.fork_safe(client)

    assert client._endpoint.http_session._manager is manager


def test_thread_that_uses_the_client_meanwhile_gets_its_answer(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_clients", {})
    client: Any = boto3s_client(dynamodb_endpoint)
    over = threading.Event()
    answered: list[Any] = []

    def use() -> None:
        while not over.is_set():
            answered.append(client.list_tables())

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        forks._clients.clear()
        forks.fork_safe(client)
        count = len(answered)
        while len(answered) == count and all(thread.is_alive() for thread in threads):
            over.wait(0.001)
    assert all(thread.is_alive() for thread in threads), "one has failed"
    over.set()
    for thread in threads:
        thread.join()


def test_client_that_is_made_for_a_store_is_known_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_clients", {})
    keys: Any = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = stores_client(**keys)

    assert [known() for known in forks._clients.values()] == [client]


class Metadata(BaseHTTPRequestHandler):
    """The metadata service of a container, which keeps connections open."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        self.asked.append(self.client_address[1])
        soon = datetime.now(UTC) + timedelta(hours=6)
        body = json.dumps(
            {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": soon.isoformat()}
        ).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/credentials"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("behind_a_role", [False, True])
def test_credentials_of_a_container_are_refreshed_anew_in_a_child(metadata: str, behind_a_role: bool) -> None:
    provider = ContainerProvider(environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata})
    credentials: Any = provider.load()
    signer: Any = credentials
    if behind_a_role:
        fetcher: Any = AssumeRoleCredentialFetcher(
            client_creator=None, source_credentials=credentials, role_arn="arn:aws:iam::123456789012:role/r"
        )
        signer = DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")
    client: Any = dynamodb_client("http://127.0.0.1:9")
    client._request_signer._credentials = signer
    held = {credentials._refresh_lock, signer._refresh_lock}
    for lock in held:
        lock.acquire()
    credentials._refresh_using()
    assert len(set(Metadata.asked)) == 1
    known = dict(forks._clients)
    forks._clients.clear()
    try:
        forks.fork_safe(client)
        forks._drop_connections()
    finally:
        forks._clients.clear()
        forks._clients.update(known)

    assert not credentials._refresh_lock.locked()
    assert not signer._refresh_lock.locked()
    credentials._refresh_using()
    assert len(set(Metadata.asked)) == 2


def test_instances_metadata_are_asked_by_another_session_in_a_child() -> None:
    """If this fails, botocore keeps its fetchers otherwise: look at `eventstore.aws.forks`."""
    fetcher = InstanceMetadataFetcher()
    before = fetcher._session._manager
    before.connection_from_url("http://127.0.0.1:9")
    credentials = RefreshableCredentials(
        "a", "s", "t", datetime.now(UTC), fetcher.retrieve_iam_role_credentials, "iam-role"
    )
    forks._free_credentials(credentials, is_alone=True)

    assert fetcher._session._manager is not before


def test_botocores_inside_is_as_the_hook_expects_it() -> None:
    """If this fails, children fall back to `client.close()`: look at `eventstore.aws.forks`."""
    session = URLLib3Session()
    before = session._manager
    before.connection_from_url("http://127.0.0.1:9")

    forks._replace_pools(session, is_alone=True)

    assert session._manager is not before
    assert type(session._manager) is type(before)


def test_client_whose_inside_is_another_is_closed_by_its_public_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: Any = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("sqs", **keys)
    closed: list[Any] = []

    def close(self: Any) -> None:
        closed.append(self)

    monkeypatch.setattr(type(client), "close", close)
    del client._endpoint.http_session
    monkeypatch.setattr(forks, "_clients", {})

    forks.fork_safe(client)
    forks._drop_connections()

    assert closed == [client, client], "when it's given, and in the child"


def test_client_that_is_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_clients", {})
    keys: Any = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    forks.fork_safe(boto3.client("sqs", **keys))
    gc.collect()

    assert forks._clients == {}
