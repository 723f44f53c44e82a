"""POST /streams/{streamId}/events: append events to a stream, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from eventstore.errors import InvalidInput
from eventstore.events import NewEvent
from eventstore.http.app import Handler
from eventstore.http.explain import explain
from eventstore.http.models import AppendRequest, append_answer, expected_of, new_event
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer
from eventstore.store import EventStore

_decoder: Final = msgspec.json.Decoder(AppendRequest)


def append_handlers(store: EventStore) -> Mapping[str, Handler]:
    """Make the handlers of the operations that write.

    Cost of each: that of `EventStore.append` and no more.
    """

    def append_events(request: Request, stream_id: str) -> Response:
        request.parameters()
        body = _decode(request.json_text())
        events = _new_events(body)
        appended = store.append(stream_id, events, expected=expected_of(body))
        first, last = appended.events[0].event_id, appended.version
        # Relative to the request's own URL, since a gateway may have cut a stage or a domain's base path off.
        headers = {"location": f"events?from={first}&to={last}"}
        if appended.repeated:
            headers["idempotent-replay"] = "true"
        counts = {} if appended.repeated else {"Appended": len(appended.events)}
        return answer(201, append_answer(appended), headers=headers, counts=counts)

    return {"appendEvents": append_events}


def _decode(body: str) -> AppendRequest:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise explain(body, refused=str(error)) from error


def _new_events(body: AppendRequest) -> list[NewEvent]:
    events = []
    for index, event in enumerate(body.events):
        try:
            events.append(new_event(event))
        except InvalidInput as error:
            raise error.under(f"events[{index}]") from error.__cause__
    return events
