"""The step of a replay as a Lambda function in a state machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from eventstore.replays.step import ReplayStep

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

StepHandler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]


def replay_handler(
    step: ReplayStep, *, start_next: Callable[[str], int], logger: Logger, metrics: Metrics
) -> StepHandler:
    """Make the function's handler: ``{"replayId", "run", "steps", "machine"}`` in, what to do next out.

    Each step makes a line in the log, never with a payload, and one of metrics (Replayed) when it sent. The
    last one of a run begins the replays whose turn it is, before it answers: it's repeated when it can't. So
    does a call that names no replay, as the schedule makes it. Either counts those that wait
    (ReplaysWaiting), where some do.

    Args:
        start_next: begins them on the state machine of this ARN, and returns how many wait.
    """

    def look_at_queue(machine: str) -> None:
        waiting = start_next(machine)
        logger.info("queue looked at", extra={"waiting": waiting})
        if waiting:
            metrics.add_metric(name="ReplaysWaiting", unit="Count", value=waiting)
            metrics.flush_metrics()

    @logger.inject_lambda_context
    def handler(asked: dict[str, Any], context: Any) -> dict[str, Any]:
        if "replayId" not in asked:
            look_at_queue(asked["machine"])
            return {}
        replay_id, run, steps = asked["replayId"], asked["run"], asked["steps"] + 1
        following = step.take(
            replay_id,
            run=run,
            steps=steps,
            remaining_time_s=lambda: context.get_remaining_time_in_millis() / 1_000,
        )
        told = {"replay_id": replay_id, "run": run, "steps": steps, "sent": following.sent}
        logger.info("step taken", extra={**told, "action": following.action, "wait_s": following.wait_s})
        if following.action == "fail":
            logger.error("replay failed", extra={**told, "reason": following.reason})
        if following.sent:
            metrics.add_metric(name="Replayed", unit="Count", value=following.sent)
            metrics.flush_metrics()
        if following.action in {"end", "fail"}:
            look_at_queue(asked["machine"])
        return {
            "replayId": replay_id,
            "run": run,
            "steps": steps,
            "action": following.action,
            "waitS": following.wait_s,
            "renewedName": f"{replay_id}-{run}-{context.aws_request_id[:8]}",
        }

    return handler
