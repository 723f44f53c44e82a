"""The limits of the AWS services that a store can meet: value, unit, source.

`AS_OF` is when the values were last looked up in AWS's documents. What can be raised is raised in the Service
Quotas console; put the new value in, and the plan says what comes next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from eventstore.errors import InvalidInput
from eventstore.plan.parameters import check, parameter

AS_OF: Final = "2026-11"

_DYNAMODB: Final = "DynamoDB Developer Guide, 'Quotas in Amazon DynamoDB'"
_PARTITIONS: Final = "DynamoDB Developer Guide, 'Best practices for designing and using partition keys'"
_EVENTBRIDGE: Final = "EventBridge User Guide, 'Amazon EventBridge quotas'"
_LAMBDA: Final = "Lambda Developer Guide, 'Lambda quotas'"
_API: Final = "API Gateway Developer Guide, 'Amazon API Gateway quotas'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What one account and Region gets by default; raised values go in here.

    Raises:
        InvalidLimit: a number is out of its bounds.
    """

    partition_write_units: float = parameter(
        1_000, "writes of one partition; fixed", unit="WCU/s", low=1, source=_PARTITIONS
    )
    partition_read_units: float = parameter(
        3_000, "reads of one partition; fixed", unit="RCU/s", low=1, source=_PARTITIONS
    )
    partition_gb: float = parameter(
        10,
        "data of one partition; fixed",
        unit="GB",
        low=1,
        source="AWS Database Blog, 'Scaling DynamoDB', 3",
    )
    table_write_units: float = parameter(
        40_000, "writes of one on-demand table, and of each index", unit="WCU/s", low=1, source=_DYNAMODB
    )
    table_read_units: float = parameter(
        40_000, "reads of one on-demand table, and of each index", unit="RCU/s", low=1, source=_DYNAMODB
    )
    put_events_per_second: float = parameter(
        10_000, "calls of PutEvents", unit="calls/s", low=1, source=_EVENTBRIDGE
    )
    invocations_per_second: float = parameter(
        18_750, "events that rules send to targets; more are late, not lost", unit="events/s", low=1,
        source=_EVENTBRIDGE,
    )  # fmt: skip
    lambda_concurrency: float = parameter(
        1_000, "calls of all functions at a time", unit="calls", low=1, source=_LAMBDA
    )
    api_requests_per_second: float = parameter(
        10_000, "requests to all APIs", unit="requests/s", low=1, source=_API
    )

    def __post_init__(self) -> None:
        check(self)


_BUS: Final = {
    "us-east-1": (10_000, 18_750),
    "us-east-2": (2_400, 4_500),
    "us-west-1": (1_200, 2_250),
    "us-west-2": (10_000, 18_750),
    "ap-east-1": (600, 1_100),
    "ap-northeast-1": (1_200, 2_250),
    "ap-northeast-2": (600, 1_100),
    "ap-south-1": (600, 1_100),
    "ap-southeast-1": (1_200, 2_250),
    "ap-southeast-2": (1_200, 2_250),
    "ca-central-1": (600, 1_100),
    "eu-central-1": (2_400, 4_500),
    "eu-north-1": (600, 1_100),
    "eu-south-2": (2_400, 4_500),
    "eu-west-1": (10_000, 18_750),
    "eu-west-2": (1_200, 2_250),
    "eu-west-3": (600, 1_100),
    "sa-east-1": (600, 1_100),
}
"""PutEvents calls and invocations a second of each Region; source: `_EVENTBRIDGE`."""

_BUS_ELSEWHERE: Final = (400, 750)

_SMALL_API: Final = frozenset(
    {
        *("af-south-1", "eu-south-1", "ap-southeast-3", "me-central-1", "ap-south-2", "ap-southeast-4"),
        *("eu-south-2", "eu-central-2", "il-central-1", "ca-west-1", "ap-southeast-5", "ap-southeast-7"),
        "mx-central-1",
    }
)
"""Regions whose API Gateway takes 2,500 requests a second; source: `_API`."""


def quotas_of(region: str) -> Quotas:
    """Return the default quotas of a Region; those of EventBridge and API Gateway differ between them.

    Raises:
        InvalidInput: that is no Region's name. A name of a Region that this list doesn't have yet gets the
            lowest values, as AWS's own list says of "other supported Regions".
    """
    parts = region.split("-")
    if len(parts) < 3 or not parts[-1].isdigit() or not region.isascii():
        raise InvalidInput("region", f"is {region!r}; give a Region's name, such as eu-west-1")
    put_events, invocations = _BUS.get(region, _BUS_ELSEWHERE)
    quotas = Quotas(put_events_per_second=put_events, invocations_per_second=invocations)
    return replace(quotas, api_requests_per_second=2_500) if region in _SMALL_API else quotas
