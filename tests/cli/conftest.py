"""The command line as it's called, on DynamoDB Local."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from eventstore.cli.main import main
from tests.tables import dynamodb_client, events_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Run = Callable[..., tuple[int, str, str]]

VARIABLES = (
    "API_URL", "EVENTS_TABLE", "EVENT_BUS", "EVENT_SOURCE", "FAILED_EVENTS_QUEUE_URL", "LOG_TABLE",
    "LOG_TRANCHES", "PUT_EVENTS_MAX_BYTES", "READ_SHARDS", "SUBSCRIPTIONS_TABLE", "WRITE_SHARDS",
)  # fmt: skip


@pytest.fixture
def client(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> DynamoDBClient:
    """A client of the engine, which the commands find by the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "eventstore.cli.transfer.sleep", lambda pause_s: None
    )  # in the engine all has settled
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_endpoint)
    for name in ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    return dynamodb_client(dynamodb_endpoint)


@pytest.fixture
def table(client: DynamoDBClient) -> Iterator[str]:
    with events_table(client) as name:
        yield name


@pytest.fixture
def default_signals() -> Iterator[None]:
    """No signal is ignored, here and in processes that are started, though by nohup it may have been."""
    ending = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    kept = {number: signal.getsignal(number) for number in ending}
    try:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; give its exit code, standard output and standard error."""

    def run_(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run_
