"""A replay of a file's events into one queue, while new streams are being created."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import httpx

from bench.checks import Checked, Message, check_others, check_replay
from bench.readers import receive
from eventstore.errors import BadLine
from eventstore.positions import time_text
from localcloud.api import Api, event_text
from localcloud.cloud import ACCOUNT, REGION, Cloud
from localcloud.deploy import Deployment
from localcloud.events_file import BadFile, read_lines
from localcloud.load import load_file
from localcloud.subscriber import Subscriber

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CREATED_BEFORE: Final = 100
CREATED_SINCE: Final = 100
CREATED_A_SECOND: Final = 20
NAMES: Final = ("Opened", "Changed", "Closed")
WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFigures:
    """What became of a replay."""

    events: int
    """Of the file."""
    streams: int
    created_streams: int
    created_while_running: int
    """Streams whose creation was answered between the replay's request and its end."""
    messages: int
    """Delivered to the replay's queue."""
    sent: int
    """As `GET /replays` has it."""
    duration_s: float
    """From the request's answer until the replay has ended: settling (2 s here) and 1 s are part of it."""
    delivered_s: float
    """From the request's answer until its last message was received."""
    events_a_second: float
    checked: Checked
    others_messages: int
    """Delivered to the other subscriber: publications."""
    others: Checked


def measure_replay(
    cloud: Cloud, app: Deployment, path: Path, *, report: Callable[[str], None]
) -> ReplayFigures:
    """Load a file, replay all of it into one FIFO queue while streams are created, check what everybody got.

    Raises:
        BadFile: it's no file of events; nothing was sent.
        ReplayFailed: it has failed, or didn't end within `WAIT_S`.
    """
    prefix = f"created-{uuid4()}"
    # What was appended before isn't replayed.
    from_ = time_text(time.time_ns() // 1_000)
    sqs = cloud.session().client("sqs", endpoint_url=cloud.endpoint)
    with (
        Subscriber.on_bus(cloud, app.event_bus) as subscriber,
        _Drained.queue(sqs, subscriber.queue_url) as others,
        Api(app.api_url) as api,
        httpx.Client(base_url=app.api_url, trust_env=False, timeout=60) as http,
    ):
        if load_file(path, url=app.api_url).failed:
            raise BadFile(f"{path} couldn't be loaded whole: see above.")
        history = names_of(path)
        published = {(stream, n + 1) for stream, names in history.items() for n in range(len(names))}
        report("waiting until all of it is published")
        others.wait_for(len(published))

        def create(number: int) -> float:
            events = [event_text(name=name, payload=f"{number}") for name in NAMES]
            api.append(f"{prefix}/{number}", expected=0, events=events)
            return time.monotonic()

        with _fifo_queue(sqs) as (arn, queue_url), ThreadPoolExecutor(4) as executor:
            list(executor.map(create, range(CREATED_BEFORE)))
            answer = http.post("/replays", json={"target": arn, "from": from_, "to": "now"})
            if not answer.is_success:
                raise ReplayFailed(f"The replay couldn't be begun: {answer.text}")
            began_s = time.monotonic()
            replay_id = answer.json()["replayId"]
            report(f"replay {replay_id} is running, streams are being created")
            creating = executor.submit(_create_since, create)
            with _Drained.queue(sqs, queue_url) as consumer:
                replay = _ended(http, replay_id)
                ended_s = time.monotonic()
                consumer.wait_for(replay["sent"])
            created_s = creating.result()
        begun = {f"{prefix}/{number}": NAMES for number in range(CREATED_BEFORE + CREATED_SINCE)}
        published |= {(stream, n + 1) for stream, names in begun.items() for n in range(len(names))}
        others.wait_for(len(published))
    created_before = {f"{prefix}/{number}": NAMES for number in range(CREATED_BEFORE)}
    return ReplayFigures(
        events=sum(map(len, history.values())),
        streams=len(history),
        created_streams=len(begun),
        created_while_running=sum(at_s < ended_s for at_s in created_s),
        messages=len(consumer.messages),
        sent=replay["sent"],
        duration_s=round(ended_s - began_s, 2),
        delivered_s=round(consumer.last_s - began_s, 2),
        events_a_second=round(replay["sent"] / (ended_s - began_s), 1),
        checked=check_replay(
            consumer.messages,
            replay_id=replay_id,
            whole={**history, **created_before},
            begun=begun,
        ),
        others_messages=len(others.messages),
        others=check_others(others.messages, published=published),
    )


class ReplayFailed(RuntimeError):
    """A replay has failed, or takes too long."""


def names_of(path: Path) -> dict[str, list[str]]:
    """Read the names of a file's events by stream, each in its order."""
    names: dict[str, list[str]] = {}
    for line in read_lines(path):
        if isinstance(line, BadLine):
            raise BadFile(f"{path}:{line.number}: {line.reason}")
        names.setdefault(line.stream_id, []).append(line.event.name)
    return names


def _create_since(create: Callable[[int], float]) -> list[float]:
    created = []
    for number in range(CREATED_BEFORE, CREATED_BEFORE + CREATED_SINCE):
        created.append(create(number))
        time.sleep(1 / CREATED_A_SECOND)
    return created


def _ended(http: httpx.Client, replay_id: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while True:
        answer = http.get(f"/replays/{replay_id}")
        replay: dict[str, Any] = answer.json()
        if answer.is_success and replay["status"] == "completed":
            return replay
        # A busy machine's 503 is asked again.
        is_going_on = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE or (
            answer.is_success and replay["status"] in {"queued", "running"}
        )
        if not is_going_on or time.monotonic() > deadline:
            raise ReplayFailed(f"The replay hasn't completed within {WAIT_S:g} s, or has failed: {replay}")
        time.sleep(0.2)


@contextmanager
def _fifo_queue(sqs: SQSClient) -> Iterator[tuple[str, str]]:
    """Make a queue, for as long as the block lasts; give its ARN and URL."""
    name = f"bench-{uuid4()}.fifo"
    queue_url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    try:
        yield f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", queue_url
    finally:
        sqs.delete_queue(QueueUrl=queue_url)


@dataclass(slots=True)
class _Drained:
    """A queue that is received from without a pause."""

    messages: list[Message] = field(default_factory=list)
    last_s: float = 0.0
    """When the last message came, monotonic."""
    empty: int = 0
    """Answers in a row without a message; each took a second."""

    @classmethod
    @contextmanager
    def queue(cls, sqs: SQSClient, queue_url: str) -> Iterator[Self]:
        drained, over = cls(), Flag()
        with ThreadPoolExecutor(1) as executor:
            receiving = executor.submit(drained._receive, sqs, queue_url, over)
            try:
                yield drained
            finally:
                over.set()
            receiving.result()

    def wait_for(self, count: int) -> None:
        """Wait until so many different events came, or none for 60 s; then until nothing comes for 2 s."""
        while len({message.address for message in self.messages}) < count and self.empty < 60:
            time.sleep(0.2)
        while self.empty < 2:
            time.sleep(0.2)

    def _receive(self, sqs: SQSClient, queue_url: str, over: Flag) -> None:
        while not over.is_set():
            messages = receive(sqs, queue_url)
            self.messages += messages
            self.empty = 0 if messages else self.empty + 1
            if messages:
                self.last_s = time.monotonic()
