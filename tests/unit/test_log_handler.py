"""The log function's handler: what it counts of a batch is what the dead man's switch waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics

from eventstore.functions.changes import log_handler
from eventstore.log.writer import LogWriter
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from tests.fake_aws import LambdaContext

INSERTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "events" / "dynamodb_stream_inserts.json").read_text()
)


def test_every_record_of_a_batch_is_counted_as_logged_or_as_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = {"StreamId": {"S": "odd"}, "EventId": {"N": "1"}}
    item = {"NewImage": {**keys, "Colour": {"S": "blue"}}, "Keys": keys, "SequenceNumber": "9" * 21}
    trigger = {"Records": [*INSERTS["Records"], {"eventName": "INSERT", "dynamodb": item}]}
    handler = log_handler(
        LogWriter(reader=MemoryEventStore(), log=MemoryEventLog(tranches=1)),
        logger=Logger(service="log"),
        metrics=Metrics(namespace="EventStore", service="log"),
    )

    assert handler(trigger, LambdaContext()) == {"batchItemFailures": []}

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if "_aws" in line]
    counts = {name: line[name] for name in ("Logged", "PassedOver", "Blocks")}
    assert counts == {"Logged": [len(INSERTS["Records"])], "PassedOver": [1], "Blocks": [1]}
