"""The HTTP API as this folder's commands use it: what is asked, what is answered, what is tried again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

MAX_TRIES: Final = 8
"""Tries of one request that meets 429, 5xx or no answer, with pauses of up to 0.2, 0.4 ... 5 s."""

_CONFLICT: Final = 409
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})


class ApiError(RuntimeError):
    """The API refused a request (its problem says why), or gave no usable answer after all tries."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: 2xx, or the 409 of an append."""

    status: int
    body: Any
    """Its JSON; a number with a fraction is a Decimal, with the digits it came with."""
    replayed: bool
    """The append had been done before, by an earlier try with the same uids."""

    @property
    def is_conflict(self) -> bool:
        """Return whether another writer was first."""
        return self.status == _CONFLICT


class Api:
    """A client of one deployed API; may be used by many threads at once.

    Args:
        url: the API's address.
        connections: requests that are under way at once, at most.
        pause, transport: to be replaced in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 16,
        pause: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(60, connect=5),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,
            transport=transport,
        )
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def append(self, stream_id: str, *, expected: int | str, events: Iterable[str]) -> Answer:
        """Append events, each given as JSON text, which goes out as it is.

        Trying again is harmless with event uids or an expected version.

        Raises:
            ApiError: refused, for another reason than a conflict; or no answer.
        """
        body = f'{{"expectedVersion":{json.dumps(expected)},"events":[{",".join(events)}]}}'
        return self._ask(
            "POST",
            f"{_stream(stream_id)}/events",
            content=body.encode(),
            headers={"content-type": "application/json"},
        )

    def read_stream(self, stream_id: str, **parameters: int | str) -> Any:
        """Read a page of one stream's events."""
        return self._ask("GET", f"{_stream(stream_id)}/events", params=parameters).body

    def read_all(self, **parameters: int | str) -> Any:
        """Read a page of all streams' events, in time order."""
        return self._ask("GET", "/events", params=parameters).body

    def _ask(self, method: str, path: str, **options: Any) -> Answer:
        for attempt in range(1, MAX_TRIES + 1):
            trouble = ""
            try:
                response = self._http.request(method, path, **options)
            except httpx.RequestError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if response.status_code not in _RETRIED:
                    return _answer(method, path, response)
                trouble = f"{response.status_code} {response.text[:500]}"
            if attempt == MAX_TRIES:
                raise ApiError(f"{method} {path} failed {MAX_TRIES} times, the last time with {trouble}")
            self._pause(random.uniform(0, min(5.0, 0.1 * 2**attempt)))
        raise AssertionError("the last try returns or raises")


def event_text(*, name: str, payload: str, metadata: str | None = None, uid: str | None = None) -> str:
    """Write an event as JSON text for `Api.append`; payload and metadata, JSON text, stay as they are."""
    fields = [f'"eventName":{json.dumps(name, ensure_ascii=False)}', f'"payload":{payload}']
    if metadata is not None:
        fields.append(f'"metadata":{metadata}')
    if uid is not None:
        fields.append(f'"eventUid":"{uid}"')
    return f"{{{','.join(fields)}}}"


def problem_of(body: Mapping[str, Any]) -> str:
    """Name a problem's type in short, as ``version-conflict``."""
    return str(body["type"]).rpartition(":")[2]


def _is_problem(body: object) -> bool:
    return isinstance(body, Mapping) and {"type", "detail"} <= body.keys()


def _stream(stream_id: str) -> str:
    return f"/streams/{quote(stream_id, safe='')}"


def _answer(method: str, path: str, response: httpx.Response) -> Answer:
    try:
        body = json.loads(response.text, parse_float=Decimal)
    except ValueError as error:
        raise ApiError(
            f"{method} {path}: {response.status_code} without JSON: {response.text[:500]!r}"
        ) from error
    if response.is_success or (response.status_code == _CONFLICT and _is_problem(body)):
        return Answer(response.status_code, body, "idempotent-replay" in response.headers)
    if not _is_problem(body):
        # Not this API's own: a gateway's before it, or another server at that address.
        raise ApiError(f"{method} {path}: {response.status_code} {response.text[:500]}")
    raise ApiError(f"{method} {path}: {response.status_code} {problem_of(body)}: {body['detail']}")
