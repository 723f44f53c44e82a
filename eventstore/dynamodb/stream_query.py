"""The query of one stream's events, from page to page, and what it notices: EventIds have no gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from eventstore._repeats import visible_pause_s
from eventstore.dynamodb.schema.events import EVENT_ID, STREAM_ID
from eventstore.errors import StreamGap, UnexpectedItem
from eventstore.events import Event

_MAX_TRIES: Final = 8


@dataclass(slots=True, kw_only=True)
class StreamQuery:
    """Where the reading of a stream is.

    A query is read-committed, not serializable, toward a transaction: while one of several events becomes
    visible, a query may return some of them (DynamoDB Developer Guide, "Isolation levels"). A missing EventId
    before one that is there shows it. The query goes on from there once more, up to 8 times within 0.8 to
    1.7 s; a gap that stays is an error.
    """

    stream_id: str
    first: int
    last: int
    backward: bool
    limit: int | None
    due: int = 0
    """The EventId that has to come next; 0 when any may."""
    left: int = 0
    """How many events are wanted yet; below 0 for all of them."""
    ended: bool = False
    _key: Any = None
    _due_before: int = 0
    _tries: int = 0
    _gap: tuple[int, int] = field(default=(0, 0))

    def __post_init__(self) -> None:
        self.due = 0 if self.backward else self.first
        self.left = -1 if self.limit is None else self.limit

    @property
    def step(self) -> int:
        """From one EventId to the next."""
        return -1 if self.backward else 1

    def request(self) -> dict[str, Any]:
        """Return what makes the next query."""
        first, last = self.first, self.last
        if self.due and self._key is None:
            first, last = (first, self.due) if self.backward else (self.due, last)
        request: dict[str, Any] = {
            "KeyConditionExpression": f"{STREAM_ID} = :stream AND {EVENT_ID} BETWEEN :from AND :to",
            "ExpressionAttributeValues": {
                ":stream": {"S": self.stream_id},
                ":from": {"N": str(first)},
                ":to": {"N": str(last)},
            },
            "ScanIndexForward": not self.backward,
        }
        if self.left >= 0:
            request["Limit"] = self.left
        if self._key is not None:
            request["ExclusiveStartKey"] = self._key
        return request

    def check(self, event: Event, due: int) -> bool:
        """Look at an event that isn't the one that is due; return whether it's behind a gap.

        Raises:
            UnexpectedItem: it was not asked for, or came before.
        """
        is_asked_for = event.stream_id == self.stream_id and self.first <= event.event_id <= self.last
        is_ahead = not due or (event.event_id - due) * self.step > 0
        if not (is_asked_for and is_ahead):
            asked = f"{self.stream_id!r}, EventId {due or self.first}"
            raise UnexpectedItem(asked=asked, answered=f"{event.stream_id!r}, EventId {event.event_id}")
        self._gap = (due, event.event_id - 1) if self.step > 0 else (event.event_id + 1, due)
        return bool(due)

    def go_on(self, *, due: int, left: int, whole: bool, key: Any) -> bool:
        """Take a page to its end; True when the next query has to wait, for it asks for the same again.

        Raises:
            StreamGap: at the last try.
        """
        self.due, self.left, self._key = due, left, key
        if whole and left != 0 and not key and self.backward and due >= self.first:
            whole, self._gap = False, (self.first, due)
        if whole:
            self.ended = left == 0 or not key
            return False
        self._key = None
        self._tries = self._tries + 1 if due == self._due_before else 1
        self._due_before = due
        if self._tries >= _MAX_TRIES:
            raise StreamGap(stream_id=self.stream_id, first_missing=self._gap[0], last_missing=self._gap[1])
        return True

    def pause_s(self, *, jitter: float) -> float:
        """Return the seconds to wait before the same is asked for again; half of them without any jitter."""
        return visible_pause_s(self._tries, jitter=jitter)
