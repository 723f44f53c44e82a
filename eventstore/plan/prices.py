"""What AWS asks for: an input, to be replaced by your Region's prices, or those of your contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eventstore.plan.parameters import check, parameter

AS_OF: Final = "2026-06"
"""When these prices were last seen; AWS changes them."""

_DYNAMODB: Final = "DynamoDB pricing, on-demand capacity, Standard table class"
_LAMBDA: Final = "Lambda pricing, arm64, first tier"
_CLOUDWATCH: Final = "CloudWatch pricing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices of us-east-1 in US dollars, without free tiers and discounts for volume.

    Raises:
        InvalidLimit: a price is below 0.
    """

    write_units: float = parameter(
        0.625, "DynamoDB write request units", unit="per million", source=_DYNAMODB
    )
    read_units: float = parameter(0.125, "DynamoDB read request units", unit="per million", source=_DYNAMODB)
    storage: float = parameter(0.25, "DynamoDB storage", unit="per GB and month", source=_DYNAMODB)
    point_in_time_recovery: float = parameter(
        0.20, "DynamoDB point-in-time recovery, of tables", unit="per GB and month", source=_DYNAMODB
    )
    lambda_requests: float = parameter(0.20, "Lambda calls", unit="per million", source=_LAMBDA)
    lambda_gb_seconds: float = parameter(
        13.3334, "Lambda duration", unit="per million GB-seconds", source=_LAMBDA
    )
    api_requests: float = parameter(
        1.00, "API Gateway, HTTP API", unit="per million", source="API Gateway pricing, HTTP APIs, first tier"
    )
    bus_events: float = parameter(
        1.00,
        "EventBridge custom events, each begun 64 KB",
        unit="per million",
        source="EventBridge pricing, custom events",
    )
    log_ingestion: float = parameter(0.50, "CloudWatch logs taken in", unit="per GB", source=_CLOUDWATCH)
    traces: float = parameter(5.00, "X-Ray traces recorded", unit="per million", source="X-Ray pricing")

    def __post_init__(self) -> None:
        check(self)
