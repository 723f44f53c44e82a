"""The app as `cdk deploy` deploys it, on a local cloud of this session's own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from localcloud.api import Api
from localcloud.cloud import Cloud, local_cloud
from localcloud.deploy import Deployment, deploy
from localcloud.processes import FOLDER
from localcloud.state import only_one
from localcloud.subscriber import Subscriber

WAIT_S = 300.0
"""Patience, not a measure: what waits goes on at once when it has what it waits for."""


@dataclass(frozen=True)
class Deployed:
    """The cloud and what is deployed on it."""

    cloud: Cloud
    app: Deployment

    def client(self, service: str) -> Any:
        """Make a client of a service of the cloud."""
        return self.cloud.session().client(service, endpoint_url=self.cloud.endpoint)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Inbox:
    """What a rule of a test's own delivers."""

    subscriber: Subscriber

    def bodies_until(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """Receive until the messages' bodies are all that is wanted."""
        bodies: list[str] = []
        deadline = time.monotonic() + WAIT_S
        while not wanted(bodies):
            assert time.monotonic() < deadline, f"within {WAIT_S:g} s only these were delivered: {bodies}"
            bodies += self.subscriber.receive()
        return bodies

    def events_of(self, stream_id: str, *, count: int) -> list[dict[str, Any]]:
        """Receive until so many different events of a stream were delivered; give them in their order."""

        def found(bodies: list[str]) -> dict[int, dict[str, Any]]:
            events = [json.loads(body) for body in bodies]
            return {
                event["detail"]["eventid"]: event
                for event in events
                if event["detail"]["streamid"] == stream_id
            }

        delivered = found(self.bodies_until(lambda bodies: len(found(bodies)) >= count))
        return [event for _, event in sorted(delivered.items())]


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    folder = FOLDER / "e2e"
    with only_one(folder), local_cloud(folder=folder) as cloud:
        yield Deployed(cloud, deploy(cloud, report=lambda _line: None))


@pytest.fixture
def api(deployed: Deployed) -> Iterator[Api]:
    with Api(deployed.app.api_url, connections=32) as api:
        yield api


@pytest.fixture
def http(deployed: Deployed) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=deployed.app.api_url, trust_env=False, timeout=60) as http:
        yield http


@pytest.fixture
def inbox(deployed: Deployed) -> Iterator[Inbox]:
    with Subscriber.on_bus(deployed.cloud, deployed.app.event_bus) as subscriber:
        yield Inbox(subscriber)


@pytest.fixture
def stream_id() -> str:
    """A stream that no other test has."""
    return f"stream-{uuid4()}"
