"""What was asked of the store and what it said, as the clients saw it: the checker's only evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eventstore import Appended, Event
from eventstore.errors import VersionConflict
from eventstore.positions import Position
from eventstore.store import Append
from eventstore.subscriptions import Start
from tests.simulator.history import Address


@dataclass
class Try:
    """One call of an append; moments are the world's ticks. Without an outcome it isn't known what it did."""

    invoked: int
    returned: int | None = None
    appended: tuple[Appended, ...] | None = None
    conflict: VersionConflict | None = None
    refused: Exception | None = None
    """Anything else: what a client that repeats its appends is never told."""
    unwritten: bool = False
    """Whether it was told that nothing was written."""


@dataclass
class Operation:
    """An append that a client wants done once, however often it has to try."""

    number: int
    appends: Sequence[Append]
    tries: list[Try] = field(default_factory=list)
    otherwise: list[Sequence[Append]] = field(default_factory=list)
    """The same, as asked for once more at other expectations."""

    @property
    def acknowledged(self) -> Try | None:
        """The first try that was told to be done."""
        return next((one for one in self.tries if one.appended is not None), None)


@dataclass
class Known:
    """An append of which some uids are stored already: partly, or all of them with another content."""

    number: int
    """Of the append that has stored them."""
    is_partly: bool
    known: dict[str, int]
    """Their EventIds, by the uids: what has to be told."""
    told: str | None = None
    """What was answered; None while that isn't known."""
    stored: dict[str, int] = field(default_factory=dict)
    """Which EventIds were told."""


@dataclass(frozen=True)
class Read:
    """A strongly consistent read of a whole stream."""

    stream_id: str
    invoked: int
    returned: int
    events: tuple[Event, ...]


@dataclass
class Deliveries:
    """What one reader of all events was given, in its order."""

    name: str
    addresses: list[Address] = field(default_factory=list)

    def add(self, addresses: Iterable[Address]) -> None:
        self.addresses += addresses


@dataclass(frozen=True)
class Fenced:
    """A write under a fence that was told to be done; `takes` is one that raised it to this fence."""

    what: str
    fence: int
    takes: bool
    invoked: int
    returned: int


@dataclass(frozen=True)
class Attempt:
    """One call of a subscription's handler: in which process, and whether the event was handled."""

    worker: str
    address: Address
    is_handled: bool
    ends_worker: bool = False


@dataclass(frozen=True)
class Taken:
    """A lease as its new owner found it: with the event that workers have ended within, if there's one."""

    tranche: int
    fence: int
    start: Start | None


@dataclass(frozen=True)
class Begun:
    """An event that a lease's owner has asked to store as begun, whatever became of that."""

    worker: str
    tranche: int
    fence: int
    address: Address
    is_freed: bool
    """The lease was to be freed with it."""


Told = Attempt | Taken | Begun


@dataclass(frozen=True)
class Call:
    """One call of a replay job's target, by the step that had this fence."""

    fence: int
    moment: int


@dataclass(frozen=True)
class Asked:
    """Something that was asked of a replay job: when, and when it was told to be done, if it was.

    Of a resume `returned` is its end, however it ended: from then on it does nothing more.
    """

    what: str
    invoked: int
    returned: int | None


@dataclass
class Job:
    """What is known of one replay job, beside what its target took."""

    fenced: list[Fenced] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    """To pause, to resume, to cancel."""
    progress: list[tuple[int, int]] = field(default_factory=list)
    """At which time, in microseconds, it was stored how many messages were sent."""
    steps: list[tuple[int, Position | None]] = field(default_factory=list)
    """Of each step that began: which run it was of, and how far the replay was."""


@dataclass
class History:
    """Everything that the clients of one run know."""

    operations: list[Operation] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """What a client itself saw that can't be."""
