"""A tranche that a worker reads: how far it is, and which event it has begun."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventstore.errors import MalformedItem
from eventstore.events import Address, Event
from eventstore.log.model import BlockPosition
from eventstore.subscriptions.attempts import Called
from eventstore.subscriptions.checkpoints import Lease, Start
from eventstore.subscriptions.tranche_reader import TrancheReader


@dataclass(slots=True)
class Held:
    """A tranche that this worker reads."""

    place: BlockPosition
    stored_at: float
    blocked: dict[str, tuple[int, int]]
    """Streams with parked events, and the first and last of them: later ones are parked, too."""
    start: Start | None
    """What is stored with the place: the event that's begun there, if its starts are counted."""
    suspects: int
    """So many events are still to be stored before they're begun: the last owner may have died of one."""
    horizon_us: int
    """Goes with the place, as `Turn.horizon_us`."""
    since_us: int
    """As the lease's."""
    is_first_owner: bool
    """Nobody has handled anything of it for this subscription, and nothing has failed since."""
    reader: TrancheReader | None = None
    unstored: int = 0
    parked: dict[str, int] = field(default_factory=dict)
    """Of streams of which this worker has parked events the last one."""
    done: dict[Address, Called] = field(default_factory=dict)
    """What is handled though its turn hasn't come: at most `Terms.look_ahead`."""
    ended: Start | None = field(init=False)
    """The event that workers have ended within, perhaps this one: what is stored when the lease is freed."""

    def __post_init__(self) -> None:
        self.ended = self.start

    @classmethod
    def of(
        cls,
        lease: Lease,
        *,
        now: float,
        blocked: dict[str, tuple[int, int]],
        is_taken_over: bool,
        suspects: int,
    ) -> Held:
        """Return a lease's tranche as it stands; `suspects` count if it was taken over."""
        return cls(
            place=lease.place,
            stored_at=now,
            blocked=blocked,
            start=lease.start,
            suspects=suspects if is_taken_over else 0,
            horizon_us=lease.horizon_us,
            since_us=lease.since_us,
            is_first_owner=lease.fence == 1,
        )

    def handled_after(self, stream_id: str, after: int) -> int:
        """Raise a `HandlerCall.after` to what was parked: a projection has to have taken that meanwhile."""
        return max(after, self.parked.get(stream_id, 0))

    def starts_of(self, event: Event) -> int:
        """Return how many workers have begun this event and ended within it."""
        earlier = self.ended
        if earlier is None or (earlier.stream_id, earlier.event_id) != (event.stream_id, event.event_id):
            return 0
        return earlier.count

    def begin(self, event: Event) -> None:
        """Count the event as begun once more, in what's stored with the place."""
        self.start = Start(event.stream_id, event.event_id, self.starts_of(event) + 1)

    def end(self, event: Event | MalformedItem) -> None:
        """Forget the starts of an event whose handling has ended; those of a later one of the hole stay."""
        earlier = self.ended
        if earlier and (earlier.stream_id, earlier.event_id) == (event.stream_id, event.event_id):
            self.ended = None
        self.start = self.ended

    def interrupt(self) -> None:
        """Take the begin back: the handling ended, but not the event's."""
        self.start = self.ended

    def die(self, event: Event) -> None:
        """Note that an event ends this worker."""
        self.begin(event)
        self.ended = self.start

    def move(self, place: BlockPosition, horizon_us: int) -> None:
        """Go on behind what is handled, skipped or parked."""
        self.place, self.horizon_us = place, horizon_us
        self.start = self.ended = None
