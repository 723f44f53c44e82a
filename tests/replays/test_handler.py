"""The step of a replay as a function: what it answers the state machine, and when it looks at the queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import pytest

from eventstore.errors import StoreUnavailable
from eventstore.functions.replay import replay_handler
from eventstore.replays.step import NextStep

ASKED = {"replayId": "r", "run": 2, "steps": 6, "machine": "m"}
ANSWERED = {"replayId": "r", "run": 2, "steps": 7, "waitS": 3, "renewedName": "r-2-01890a5d"}


class Context:
    aws_request_id = "01890a5d-ac96"
    function_name, memory_limit_in_mb, invoked_function_arn = "replay", 1_024, "arn"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 150_000


@dataclass
class Function:
    """The handler on a step that answers so, and a queue in which so many wait."""

    step: NextStep = field(default_factory=lambda: NextStep(action="step"))
    waiting: int = 0
    looked_on: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    logged: list[str] = field(default_factory=list)
    fails: bool = False

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        logger, metrics, step = Mock(), Mock(), Mock()
        logger.inject_lambda_context = _as_it_is
        logger.error = lambda message, **_: self.logged.append(message)
        metrics.add_metric = lambda *, name, unit, value: self.metrics.update({name: value})
        step.take.return_value = self.step
        handler = replay_handler(step, start_next=self.start_next, logger=logger, metrics=metrics)
        answer = handler(asked, Context())
        if "replayId" in asked:
            [call] = step.take.call_args_list
            assert (call.args, call.kwargs["run"], call.kwargs["steps"]) == (("r",), 2, 7)
            assert call.kwargs["remaining_time_s"]() == 150.0
        return answer

    def start_next(self, machine: str) -> int:
        if self.fails:
            raise StoreUnavailable(operation="GetItem", reason="not reached")
        self.looked_on.append(machine)
        return self.waiting


def _as_it_is(handler: Callable[..., Any]) -> Callable[..., Any]:
    return handler


@pytest.mark.parametrize("action", ["step", "wait", "renew", "end", "fail"])
def test_last_step_of_a_run_looks_at_the_queue_and_no_other(action: Any) -> None:
    function = Function(NextStep(action=action, wait_s=3, sent=5), waiting=4)
    answer = function(ASKED)
    assert answer == {**ANSWERED, "action": action}
    ends = action in {"end", "fail"}
    assert function.looked_on == (["m"] if ends else [])
    assert function.metrics == {"Replayed": 5, **({"ReplaysWaiting": 4} if ends else {})}
    assert function.logged == (["replay failed"] if action == "fail" else [])


def test_call_without_a_replay_only_looks_at_the_queue() -> None:
    function = Function()
    assert function({"machine": "m"}) == {}
    assert (function.looked_on, function.metrics) == (["m"], {})


def test_step_that_can_not_look_at_the_queue_fails_and_is_repeated() -> None:
    with pytest.raises(StoreUnavailable):
        Function(NextStep(action="end"), fails=True)(ASKED)
