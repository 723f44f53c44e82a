"""The API as a Lambda function behind API Gateway's HTTP API: logs, metrics, correlation ids."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from eventstore.http.app import Api
from eventstore.http.requests import Request
from eventstore.http.responses import Response

LambdaHandler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]

CORRELATION_ID: Final = "x-correlation-id"
"""The header with the id under which one piece of work is found in all logs; every answer has it."""

_CORRELATION_ID: Final = re.compile(r"[!-~]{1,128}")


def lambda_handler(
    api: Api, *, logger: Logger, metrics: Metrics, clock_s: Callable[[], float] = time.perf_counter
) -> LambdaHandler:
    """Make the function's handler: payload format 2.0 in and out.

    Each request makes one line in the log, with its correlation id (the client's, else the gateway's own) and
    never a payload, and at most one of metrics.
    """

    @logger.inject_lambda_context(log_event=False)
    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        began_s = clock_s()
        request = Request.from_event(event)
        correlation_id = _correlation_id(request)
        logger.set_correlation_id(correlation_id)
        response = api(request)
        _log(logger, request, response, duration_s=clock_s() - began_s)
        _count(metrics, response.counts)
        return {
            "statusCode": response.status,
            "headers": {**response.headers, CORRELATION_ID: correlation_id},
            "body": response.body.decode(),
            "isBase64Encoded": False,
        }

    return handler


def _correlation_id(request: Request) -> str:
    given = request.headers.get(CORRELATION_ID, "")
    return given if _CORRELATION_ID.fullmatch(given) else request.request_id


def _log(logger: Logger, request: Request, response: Response, *, duration_s: float) -> None:
    told = {
        "method": request.method,
        "path": request.path,
        "status": response.status,
        "problem": response.problem,
        "duration_ms": round(duration_s * 1_000, 1),
    }
    if response.status >= 500:
        logger.error("request failed", extra=told, exc_info=response.error)
    else:
        logger.info("request", extra=told)


def _count(metrics: Metrics, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    if counts:
        metrics.flush_metrics()
