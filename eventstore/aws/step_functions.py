"""The engine of the replays on Step Functions: one execution a run."""

from __future__ import annotations

import json
from typing import Any, Final

from botocore.config import Config

from eventstore._arguments import check_text
from eventstore.aws.answers import FAILED, ask
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import misconfigured
from eventstore.errors import StoreUnavailable
from eventstore.replays.model import Replay

CLIENT_CONFIG: Final = Config(
    connect_timeout=1.0,
    read_timeout=3.0,
    retries={"mode": "standard", "total_max_attempts": 3},
)
"""Give it to boto3: ``boto3.client("stepfunctions", config=CLIENT_CONFIG)``."""


class StepFunctionsReplays:
    """A `ReplayEngine` on a state machine.

    Args:
        client: boto3's Step Functions client, best made with `CLIENT_CONFIG`.
        machine_arn: the state machine of the deployed stack.
    """

    def __init__(self, *, client: Any, machine_arn: str) -> None:
        check_text(machine_arn, "machine_arn")
        self._client = take_client(client, "stepfunctions", "start_execution")
        self._machine_arn = machine_arn

    def start(self, replay: Replay) -> bool:
        """Begin a run of a replay, once: the execution's name is that of the run. False when it was there.

        Raises:
            StoreMisconfigured: it may not be begun with these credentials, or there are none.
            StoreUnavailable: it isn't known to have begun.

        Cost: 1 request.
        """
        beginning = {"replayId": replay.replay_id, "run": replay.run, "steps": 0}
        request = {
            "stateMachineArn": self._machine_arn,
            "name": f"{replay.replay_id}-{replay.run}",
            "input": json.dumps(beginning),
        }
        try:
            answer = ask(self._client.start_execution, **request)
        except self._client.exceptions.ExecutionAlreadyExists:
            return False
        except FAILED as error:
            told = misconfigured(error, self._client.start_execution, request)
            raise told or StoreUnavailable(operation="StartExecution", reason=str(error)) from error
        if "executionArn" not in answer:
            reason = "the answer is not that of Step Functions: it names no execution"
            raise StoreUnavailable(operation="StartExecution", reason=reason)
        return True
