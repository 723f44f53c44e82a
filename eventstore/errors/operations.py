"""What replays, redrive, transfer and verification can meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventstore.errors.base import EventStoreError, TransientError

if TYPE_CHECKING:
    from pathlib import Path


class ReplayTargetNotAllowed(EventStoreError):
    """The target of a replay is not one of those that the deployment allows; nothing was begun."""

    def __init__(self, *, target: str) -> None:
        super().__init__(
            f"{target!r} is not among the targets that may be replayed to; "
            "add its ARN to the setting replayTargets and deploy"
        )
        self.target = target


class ReplayKeyReused(EventStoreError):
    """Something else was asked for with the same idempotency key before; nothing was begun."""

    def __init__(self, *, replay_id: str) -> None:
        super().__init__(
            f"the replay {replay_id} was asked for with this key, and is another one; "
            "repeat a request as it was, or give a new one a key of its own"
        )
        self.replay_id = replay_id


class ReplayNotFound(EventStoreError):
    """There is no replay of that id."""

    def __init__(self, *, replay_id: str) -> None:
        super().__init__(f"there is no replay {replay_id[:100]!r}; list the replays there are")
        self.replay_id = replay_id


class MalformedReplay(EventStoreError):
    """A replay's item can't be read: somebody has changed it. Others go on."""

    def __init__(self, *, replay_id: str, reason: str) -> None:
        super().__init__(
            f"the item of the replay {replay_id[:100]!r} can't be used: {reason}. Somebody has changed it: "
            "put it back from a backup of the table of replays; or delete it, and ask again for what it was "
            "to send"
        )
        self.replay_id = replay_id
        self.reason = reason


class ReplayOver(EventStoreError):
    """A replay is not in a state from which it can be brought into another; nothing was changed."""

    def __init__(self, *, replay_id: str, replay_status: str, asked: str) -> None:
        super().__init__(f"the replay {replay_id} is {replay_status}, and can't become {asked} any more")
        self.replay_id = replay_id
        self.replay_status = replay_status
        self.asked = asked


class FailedEventsUnavailable(TransientError):
    """The queue of failed events, or of dropped batches, could not be reached; safe to try again."""

    def __init__(self, *, reason: str, queue: str = "failed events") -> None:
        super().__init__(f"the queue of {queue} can't be reached: {reason}. Try again")
        self.reason = reason


class FileExists(EventStoreError):
    """The file that an export should make is there already; it was not touched."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path} exists; move it away or name another file")
        self.path = path


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a file of events that isn't an event, and why."""

    number: int
    reason: str
    stream_id: str | None = None
    """Whose line it is, where that can be known."""

    def __str__(self) -> str:
        """Write it as a sentence that names the stream."""
        named = self.stream_id is None or repr(self.stream_id) in self.reason
        return self.reason if named else f"{self.reason} (of stream {self.stream_id!r})"


class BadExport(EventStoreError):
    """A file that can't be imported; nothing was written.

    `lines` are the first bad lines and, where it is one, the last; `count` is how many there are.
    """

    def __init__(self, *, path: Path, lines: Sequence[BadLine], count: int) -> None:
        told = [f"{path}:{line.number}: {line}" for line in lines]
        more = f", {len(lines)} of them are above" if count > len(lines) else ""
        way = " --except leaves a stream out." if any(line.stream_id for line in lines) else ""
        super().__init__("\n".join([*told, f"{count:,} bad lines{more}. Nothing was written.{way}"]))
        self.path = path
        self.lines = tuple(lines)
        self.count = count


class StoreNotEmpty(EventStoreError):
    """The store has events, and an import into such a store was not asked for; nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "the store has events already. To go on with an import that was interrupted, or to add streams "
            "to these: --into-existing, which overwrites nothing"
        )


class OtherVerification(EventStoreError):
    """The folder holds the checkpoints of a verification with other settings; they were not touched."""

    def __init__(self, *, folder: Path, name: str, there: Any, given: Any) -> None:
        super().__init__(
            f"{folder} holds checkpoints of a verification with {name} {there!r}, not {given!r}; "
            "go on with the same settings, or give another folder"
        )
        self.folder = folder
        self.name = name
        self.there = there
        self.given = given


class BadCheckpoints(EventStoreError):
    """A folder whose files are no checkpoints of a verification, or that another one is using."""

    def __init__(self, *, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnknownStore(EventStoreError):
    """There is no deployed store of this name."""

    def __init__(self, *, store: object, parameter: str, known: Sequence[str]) -> None:
        there = f" There are: {', '.join(known)}." if known else ""
        super().__init__(
            f"there is no store {store!r:.80}: no parameter {parameter} in this account and Region.{there} "
            "Look at the name, the profile and the Region. A store of an earlier version has no "
            "parameter: deploy its service stack again"
        )
        self.store = store
        self.parameter = parameter
        self.known = tuple(known)


class InvalidStoreParameter(EventStoreError):
    """The parameter of a deployed store can't be used."""

    def __init__(self, *, parameter: str, reason: str) -> None:
        super().__init__(f"the parameter {parameter} {reason}")
        self.parameter = parameter
        self.reason = reason
