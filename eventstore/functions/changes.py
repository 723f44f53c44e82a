"""Publisher and log writer as Lambda functions behind the table's stream: answers, logs, metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from eventstore.dynamodb.changes import stream_records

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

    from eventstore.delivery.publisher import Publication, Publisher
    from eventstore.log.writer import Logged, LogWriter

StreamHandler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]


def stream_handler(
    publisher: Publisher, *, logger: Logger, metrics: Metrics, raises_when_stopped: bool = False
) -> StreamHandler:
    """Make the publish function's handler: a batch of the table's stream in, a partial batch response out.

    A batch that stopped answers with the lowest sequence number that isn't done; Lambda goes on from there.
    With `raises_when_stopped` it raises PublicationStopped instead, so that the whole batch is repeated: for
    a Lambda service that takes a partial batch response for success.

    Each invocation makes one line of metrics (Published, Parked, PublicationLag of its slowest event, and
    Unjournaled where the journal couldn't be used), and a line in the log for each event that was parked, for
    what is deleted, and for the stop; never a payload.
    """

    @logger.inject_lambda_context
    def handler(trigger: dict[str, Any], context: Any) -> dict[str, Any]:
        done = publisher.publish(
            stream_records(trigger),
            remaining_time_s=lambda: context.get_remaining_time_in_millis() / 1_000,
        )
        _count(metrics, done)
        for failed in done.parked:
            told = {"stream_id": failed.stream_id, "event_id": failed.event_id, "reason": failed.reason}
            logger.error("event parked", extra=told)
        return _answer(done, logger=logger, raises=raises_when_stopped)

    return handler


def log_handler(
    log_writer: LogWriter, *, logger: Logger, metrics: Metrics, raises_when_stopped: bool = False
) -> StreamHandler:
    """Make the log function's handler: a batch of the table's stream in, a partial batch response out.

    It stops, and answers, as the publish function's does. Each invocation makes one line of metrics (Logged,
    PassedOver, Blocks, and LogLag of its slowest event), and a line in the log for each item that is no
    event (passed over) and for the stop.
    """

    @logger.inject_lambda_context
    def handler(trigger: dict[str, Any], context: Any) -> dict[str, Any]:
        done = log_writer.write(
            stream_records(trigger),
            remaining_time_s=lambda: context.get_remaining_time_in_millis() / 1_000,
        )
        _count_logged(metrics, done)
        for item in done.passed_over:
            told = {"stream_id": item.stream_id, "event_id": item.event_id, "reason": item.reason}
            logger.error("item is no event and not logged", extra=told)
        return _answer(done, logger=logger, raises=raises_when_stopped)

    return handler


def _answer(done: Publication | Logged, *, logger: Logger, raises: bool) -> dict[str, Any]:
    for missing in done.missing:
        told = {"stream_id": missing.stream_id, "first": missing.first, "last": missing.last}
        logger.warning("earlier events are deleted", extra=told)
    if done.unjournaled:
        logger.warning("journal not available", extra={"reason": done.unjournaled})
    stopped = done.stopped
    if stopped is None:
        return {"batchItemFailures": []}
    told = {
        "stream_id": stopped.stream_id,
        "event_id": stopped.event_id,
        "reason": stopped.reason,
        "from_sequence_number": stopped.sequence_number,
    }
    logger.warning("batch stopped", extra=told)
    if raises:
        raise stopped
    return {"batchItemFailures": [{"itemIdentifier": stopped.sequence_number}]}


def _count(metrics: Metrics, done: Publication) -> None:
    metrics.add_metric(name="Published", unit="Count", value=done.published)
    metrics.add_metric(name="Parked", unit="Count", value=len(done.parked))
    _count_unjournaled(metrics, done)
    if done.max_lag_us is not None:
        metrics.add_metric(name="PublicationLag", unit="Milliseconds", value=done.max_lag_us / 1_000)
    metrics.flush_metrics()


def _count_logged(metrics: Metrics, done: Logged) -> None:
    metrics.add_metric(name="Logged", unit="Count", value=done.logged)
    metrics.add_metric(name="PassedOver", unit="Count", value=len(done.passed_over))
    metrics.add_metric(name="Blocks", unit="Count", value=done.blocks)
    _count_unjournaled(metrics, done)
    if done.max_lag_us is not None:
        metrics.add_metric(name="LogLag", unit="Milliseconds", value=done.max_lag_us / 1_000)
    metrics.flush_metrics()


def _count_unjournaled(metrics: Metrics, done: Publication | Logged) -> None:
    if done.unjournaled:
        metrics.add_metric(name="Unjournaled", unit="Count", value=1)
