"""Readers of what is appended, each in a process of its own, which note when they saw what."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

import boto3
import httpx

from bench.checks import Address, Message
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.client import CLIENT_CONFIG
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.events import Event
from eventstore.subscriptions import Terms, subscribe
from localcloud.deploy import Deployment

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Event as Flag

    from mypy_boto3_sqs import SQSClient

_PROCESSES: Final = multiprocessing.get_context("spawn")

Note = Callable[[str, int], None]
"""Takes the stream and EventId of an event that is seen just now."""
Over = Callable[[], bool]


class Reading(Protocol):
    """A way to read what is appended."""

    in_order: ClassVar[bool]
    """Each stream in order is promised."""

    def __call__(self, app: Deployment, note: Note, over: Over) -> None:
        """Read from the beginning until it's over."""
        ...


@dataclass(frozen=True, slots=True)
class Following:
    """A subscription of the library, which follows the log."""

    in_order: ClassVar[bool] = True
    poll_s: float

    def __call__(self, app: Deployment, note: Note, over: Over) -> None:
        client = boto3.client("dynamodb", config=CLIENT_CONFIG)

        def handle(event: Event) -> None:
            note(event.stream_id, event.event_id)

        worker = subscribe(
            f"bench-{self.poll_s:g}",
            handle,
            log=DynamoDBEventLog(client=client, table_name=app.log_table),
            bodies=DynamoDBEventBodies(client=client, table_name=app.events_table),
            checkpoints=DynamoDBCheckpoints(client=client, table_name=app.subscriptions_table),
            terms=Terms(poll_s=self.poll_s),
        )
        worker.run(until=over)


@dataclass(frozen=True, slots=True)
class PollingTheLog:
    """A client that asks `GET /log` for what is new."""

    in_order: ClassVar[bool] = True
    poll_s: float

    def __call__(self, app: Deployment, note: Note, over: Over) -> None:
        query: dict[str, str] = {}
        with httpx.Client(base_url=app.api_url, trust_env=False, timeout=60) as http:
            while not over():
                page = http.get("/log", params=query).raise_for_status().json()
                for entry in page["entries"]:
                    note(entry["streamId"], entry["eventId"])
                query["after"] = page["checkpoint"]
                if page["next"] is None:
                    time.sleep(self.poll_s)


@dataclass(frozen=True, slots=True)
class Receiving:
    """The queue of a rule on the bus, with long polling."""

    in_order: ClassVar[bool] = False
    queue_url: str

    def __call__(self, app: Deployment, note: Note, over: Over) -> None:  # noqa: ARG002 - needs the queue only
        sqs = boto3.client("sqs")
        while not over():
            for message in receive(sqs, self.queue_url):
                note(*message.address)


def receive(sqs: SQSClient, queue_url: str) -> list[Message]:
    """Wait a second at most; return up to ten messages, which are then deleted."""
    answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
    messages = answer.get("Messages", [])
    if messages:
        sqs.delete_message_batch(
            QueueUrl=queue_url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ],
        )
    return [message_of(json.loads(message["Body"])) for message in messages]


def message_of(body: Mapping[str, Any]) -> Message:
    """Read a message as EventBridge and replays shape it."""
    detail = body["detail"]
    return Message(
        stream_id=detail["streamid"],
        event_id=detail["eventid"],
        name=body["detail-type"],
        replay_id=detail.get("replayid"),
    )


class ReaderDied(RuntimeError):
    """A reader's process ended by an error, which stands in the terminal."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The reader '{name}' has died; its error stands above.")


@dataclass(slots=True)
class Reader:
    """A reader's process, seen from here."""

    name: str
    _process: BaseProcess
    _count: Any
    _stop: Flag
    _pipe: Connection

    @classmethod
    @contextmanager
    def started(
        cls, name: str, reading: Reading, *, app: Deployment, environment: Mapping[str, str]
    ) -> Iterator[Self]:
        """Start a reader; it ends when the block is left.

        Args:
            environment: all of its process's, in which boto3 reaches the cloud.
        """
        here, there = _PROCESSES.Pipe()
        count, stop = _PROCESSES.Value("l", 0), _PROCESSES.Event()
        process = _PROCESSES.Process(
            target=_read,
            args=(reading, app),
            kwargs={"environment": dict(environment), "count": count, "stop": stop, "pipe": there},
            daemon=True,
        )
        process.start()
        there.close()
        try:
            yield cls(name, process, count, stop, here)
        finally:
            stop.set()
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()

    def count(self) -> int:
        """Return how many different ones it has seen so far.

        Raises:
            ReaderDied: it can see no more.
        """
        if not self._process.is_alive():
            raise ReaderDied(self.name)
        return int(self._count.value)

    def end(self) -> list[tuple[Address, int]]:
        """End it; return what it saw and when (microseconds since 1970), in its order.

        Raises:
            ReaderDied: before it could tell.
        """
        self._stop.set()
        try:
            seen: list[tuple[Address, int]] = self._pipe.recv()
        except EOFError as error:
            raise ReaderDied(self.name) from error
        return seen


def _read(
    reading: Reading,
    app: Deployment,
    *,
    environment: Mapping[str, str],
    count: Any,
    stop: Flag,
    pipe: Connection,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    os.environ.clear()
    os.environ.update(environment)
    parent = os.getppid()
    seen: list[tuple[Address, int]] = []
    different: set[Address] = set()

    def note(stream_id: str, event_id: int) -> None:
        seen.append(((stream_id, event_id), time.time_ns() // 1_000))
        different.add((stream_id, event_id))
        count.value = len(different)

    reading(app, note, lambda: stop.is_set() or os.getppid() != parent)
    pipe.send(seen)
