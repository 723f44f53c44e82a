"""The API without its gateway: a request in, a response out, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from eventstore.errors import VersionConflict
from eventstore.http.errors import NotFound
from eventstore.http.requests import Request
from eventstore.http.responses import Response, problem_answer
from eventstore.http.routes import route

Handler: TypeAlias = Callable[[Request, str], Response]
"""Answers an operation: the request, and the stream or replay id (empty where the path has none)."""


class Api:
    """Some operations of the API, or all of them, by name.

    Args:
        handlers: for example ``append_handlers(store)``, ``read_handlers(store)``, or both.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def __call__(self, request: Request) -> Response:
        """Answer a request; never raises, an error becomes a problem. HEAD is GET without a body."""
        response = self._answer(request)
        return replace(response, body=b"") if request.method == "HEAD" else response

    def _answer(self, request: Request) -> Response:
        operation = None
        try:
            operation, found_id = route(request.method, request.path)
            request.check_conditions(*operation.honours)
            return self._handlers.get(operation.name, _not_here)(request, found_id)
        except VersionConflict as error:
            return problem_answer(error, operation, counts={"Conflicts": 1})
        except Exception as error:  # noqa: BLE001 - the boundary: the response carries it to the log
            return problem_answer(error, operation)


def _not_here(request: Request, _stream_id: str) -> Response:
    raise NotFound(
        path=request.path, why="the gateway has sent the request to a function that does not answer it"
    )
