"""Trying an event until it's handled, with growing pauses."""

from __future__ import annotations

import logging
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from eventstore._backoff import Backoff
from eventstore._synchronous import check_finished
from eventstore.errors import HandlerUnavailable, NotSynchronous, TransientError
from eventstore.events import Address, Event
from eventstore.subscriptions.projection import CALL, HandlerCall, parked_alone
from eventstore.subscriptions.terms import Handler, OnFailure, Terms

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")
_REASON_MAX_CHARS: Final = 1_000
_TRACEBACK_MAX_CHARS: Final = 4_000
_BACKOFF_MAX_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event isn't handled."""

    reason: str
    error: BaseException | None = None
    traceback: str = ""
    """That of the error as text: its last 4,000 characters, which hold where it was raised; "" for none."""


@dataclass(frozen=True, slots=True)
class Done:
    """An event is handled."""

    is_repeated: bool
    """It's known that a projection had taken it before, and not by an earlier try of this worker."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A projection that the handler calls hasn't taken the events behind this EventId, and not this one."""

    last: int


@dataclass(frozen=True, slots=True)
class Called:
    """What came of one call of a handler."""

    outcome: Done | Behind | None
    error: BaseException | None = None
    """What it has raised, where there's no outcome."""
    is_failure: bool = False
    """The error is about the event: not one that ends the worker, nor one about the handler."""


class Attempts:
    """Calls a handler, again after it has raised.

    Args:
        subscription: its name, for errors.
        handler: handles one event, or raises.
        terms: how often an event is given to it, and which errors pass.
        on_failure: with PARK, no `Projection` may be called.
        sleep, jitter: time and chance.
    """

    def __init__(
        self,
        subscription: str,
        handler: Handler,
        *,
        terms: Terms,
        on_failure: OnFailure,
        sleep: Callable[[float], object],
        jitter: Callable[[], float],
    ) -> None:
        self._subscription = subscription
        self._handler = handler
        self._terms = terms
        self._parks_alone = on_failure is OnFailure.PARK
        self._sleep = sleep
        self._jitter = jitter
        # A worker keeps its leases between events and pauses: no pause may be longer than what they last.
        self._backoff = Backoff(0.1, longest_s=min(_BACKOFF_MAX_S, terms.lease_s / 6))
        self._may_have_done: OrderedDict[Address, None] = OrderedDict()

    def make(
        self,
        event: Event,
        *,
        after: int,
        keep: Callable[[], bool],
        beside: Callable[[], AbstractContextManager[object]] = nullcontext,
        ahead: Callable[[], Called | None] = lambda: None,
    ) -> Done | Failure | Behind:
        """Try an event until it's handled, or return why it isn't.

        Args:
            after: see `HandlerCall`.
            keep: asked after each pause; False ends the attempts.
            beside: what is around each call of the handler.
            ahead: waits for the first call, if that has begun before; None if it hasn't.

        Raises:
            TransientError: what the handler needs is away (`Terms.transient`): the event hasn't failed.
            NotSynchronous: the handler returned before its work is done.
            InvalidSubscription: the handler has called a projection, and `on_failure` is PARK.
        """
        outcome: Done | Failure | Behind = Failure("")
        for attempt in range(1, self._terms.max_tries + 1):
            with beside():
                called = ahead() if attempt == 1 else None
                if called is None:
                    called = self.call(event, after=after, is_first=self.is_first(event))
            outcome = self._outcome(event, called)
            if not isinstance(outcome, Failure):
                return outcome
            if attempt < self._terms.max_tries:
                self.pause(attempt)
                if not keep():
                    break
        return outcome

    def _outcome(self, event: Event, called: Called) -> Done | Failure | Behind:
        """Return what came of a call; an error that isn't the event's failure is raised."""
        if called.outcome is not None:
            return called.outcome
        assert called.error is not None
        if not called.is_failure:
            raise called.error
        failure = self._failure(event, called.error)
        _LOGGER.info("event %s of %s failed: %s", event.event_id, event.stream_id, failure.reason)
        return failure

    def is_first(self, event: Event) -> bool:
        """Return whether no call of this worker can have done the event lately; the next one can."""
        address = event.stream_id, event.event_id
        is_first = address not in self._may_have_done
        self._may_have_done[address] = None
        self._may_have_done.move_to_end(address)
        while len(self._may_have_done) > max(1, self._terms.look_ahead):
            self._may_have_done.popitem(last=False)
        return is_first

    def call(self, event: Event, *, after: int, is_first: bool) -> Called:
        """Call the handler once; in any thread, of which a copy of the context is this call's own.

        Args:
            after: see `HandlerCall`.
            is_first: see `is_first`.
        """
        call = HandlerCall((event.stream_id, event.event_id), self._parks_alone, after)
        try:
            self._handle(event, call)
        except BaseException as error:  # noqa: BLE001 - raised by `make`, when it's the event's turn
            # Whatever the handler makes of it: it's no failure of the event.
            if call.behind is not None and isinstance(error, Exception):
                return Called(Behind(call.behind))
            return Called(None, error, is_failure=not call.is_out_of_order and _is_failure(error))
        return Called(Done(is_first and call.is_repeated) if call.behind is None else Behind(call.behind))

    def pause(self, attempt: int) -> None:
        """Wait behind so many attempts that failed in a row: 0.1, 0.2, 0.4 ... 5 s at most."""
        self._sleep(self._backoff.pause_s(attempt, jitter=self._jitter()))

    def _handle(self, event: Event, call: HandlerCall) -> None:
        token = CALL.set(call)
        try:
            result = self._handler(event)
        finally:
            CALL.reset(token)
            if call.is_out_of_order:  # whatever the handler makes of it
                raise parked_alone()
        at = f"event {event.event_id} of stream {event.stream_id!r}"
        check_finished(result, "handler", function=self._handler, at=at)

    def _failure(self, event: Event, error: BaseException) -> Failure:
        """Return an error as the event's failure; one that passes is raised."""
        if isinstance(error, TransientError):
            raise error
        failure = _failure_of(error)
        try:
            passes = self._terms.transient(error)
        except TransientError:
            raise
        except Exception as own:  # noqa: BLE001 - a fault in it isn't to end the worker
            asked = f"transient raised {_reason_of(own)}, when asked whether this passes: {failure.reason}"
            return replace(failure, reason=asked[:_REASON_MAX_CHARS])
        # Else it would count as true, and the event would be tried for ever.
        check_finished(passes, "transient", function=self._terms.transient)
        if passes:
            raise HandlerUnavailable(
                subscription=self._subscription,
                stream_id=event.stream_id,
                event_id=event.event_id,
                reason=failure.reason,
            ) from error
        return failure


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is the user's own stop: KeyboardInterrupt, or a group that ends by it alone."""
    fatal = [part for part in _parts(error) if not _is_caught(part)]
    return bool(fatal) and all(isinstance(part, KeyboardInterrupt) for part in fatal)


def _is_failure(error: BaseException) -> bool:
    """Return whether an error is about the event: not one that ends the worker, nor one about the handler."""
    return not isinstance(error, NotSynchronous) and all(_is_caught(part) for part in _parts(error))


def _is_caught(error: BaseException) -> bool:
    # Of something that was awaited inside of the handler: nobody cancels a worker by it, which isn't async.
    cancelled: type[BaseException] | tuple[()] = getattr(sys.modules.get("asyncio"), "CancelledError", ())
    return isinstance(error, (Exception, cancelled))


def _parts(error: BaseException) -> list[BaseException]:
    """Return the errors in a group and in its groups, or just the error."""
    parts = [error]
    for part in parts:
        if isinstance(part, BaseExceptionGroup):
            parts += part.exceptions
    return [part for part in parts if not isinstance(part, BaseExceptionGroup)]


def _reason_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that can't be written isn't to end the worker
        text = "its text can't be made"
    return _storable(f"{type(error).__name__}: {text}")[:_REASON_MAX_CHARS]


def _failure_of(error: BaseException) -> Failure:
    try:
        text = _storable("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - groups in groups a thousand deep, or an error that can't be written
        text = ""
    return Failure(_reason_of(error), error, text[-_TRACEBACK_MAX_CHARS:])


def _storable(text: str) -> str:
    """Write lone surrogates, as names of files have them, as escapes: no table takes them."""
    return text.encode(errors="backslashreplace").decode()
