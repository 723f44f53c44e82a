"""The API's routes and which function answers each: read by the CDK app and by the handlers.

A stream id may hold slashes (sent as `%2F`), and API Gateway decodes the path before it looks for a route.
So a route is greedy where a stream id stands, and the handlers split the raw path themselves.

This module imports the standard library only.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ApiFunction: TypeAlias = Literal["append", "read", "replays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRoute:
    """One route: `method` and `path` as API Gateway's route key has them, `function` answers it."""

    method: Literal["GET", "HEAD", "POST"]
    path: str
    function: ApiFunction


_ROUTES: Final = (
    ApiRoute(method="POST", path="/streams/{proxy+}", function="append"),
    ApiRoute(method="GET", path="/streams/{proxy+}", function="read"),
    ApiRoute(method="GET", path="/events", function="read"),
    ApiRoute(method="GET", path="/log", function="read"),
    ApiRoute(method="GET", path="/openapi.json", function="read"),
    ApiRoute(method="POST", path="/replays", function="replays"),
    ApiRoute(method="GET", path="/replays", function="replays"),
    ApiRoute(method="POST", path="/replays/{proxy+}", function="replays"),
    ApiRoute(method="GET", path="/replays/{proxy+}", function="replays"),
)

API_ROUTES: Final[tuple[ApiRoute, ...]] = (
    *_ROUTES,
    *(
        ApiRoute(method="HEAD", path=route.path, function=route.function)
        for route in _ROUTES
        if route.method == "GET"
    ),
)
"""Each route; where there is a GET, there is a HEAD."""

DEFAULT_FUNCTION: Final[ApiFunction] = "read"
"""Answers what no route matches (`$default`): an unknown path or a wrong method, as problem+json."""
