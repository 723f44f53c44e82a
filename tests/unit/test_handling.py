"""What becomes of each event that a worker gives to its handler, step by step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import HandlerFailed, MalformedItem, StoreUnavailable
from eventstore.log.model import BlockPosition, ClosedBlocks
from eventstore.subscriptions import OnFailure, ParkedEvent, Terms
from eventstore.subscriptions.attempts import Attempts, Called, Done
from eventstore.subscriptions.checkpoints import Start
from eventstore.subscriptions.handling import Counts, Handling
from eventstore.subscriptions.held import Held
from eventstore.subscriptions.projection import CALL
from eventstore.subscriptions.tranche_reader import Turn

PLACE = BlockPosition(3, 1)
AWAY = StoreUnavailable(operation="write", reason="throttled")
NOW_US = 1_700_000_000_000_000
TRANCHE = 2
Outcome = BaseException | dict[str, Any] | None


def event(event_id: int = 5, stream_id: str = "s") -> Event:
    return Event(stream_id, event_id, "E", "{}", "{}", "uid", 1)


class Desk:
    """A tranche of a worker, whose handler, projections and checkpoints do as they're told.

    Args:
        outcomes: of the handler's calls in turn: what it raises, or what a projection notes in them.
    """

    def __init__(
        self,
        *outcomes: Outcome,
        on_failure: OnFailure = OnFailure.PARK_STREAM,
        max_tries: int = 1,
        **held: Any,
    ) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[str, int, int]] = []
        self.parked: list[tuple[ParkedEvent, int | None]] = []
        self.is_parked: list[bool | None] = []
        self.stores: list[tuple[int, Start | None]] = []
        self.store_answers: list[bool | Exception] = []
        self.leases: dict[int, object] = {TRANCHE: object()}
        self.asked: list[tuple[Any, ...]] = []
        self.missing: list[Event] = []
        self.holds: list[bool] = []
        self.beside_calls = 0
        given: dict[str, Any] = {
            "place": PLACE, "stored_at": 0.0, "blocked": {}, "start": None, "suspects": 0,
            "horizon_us": 0, "since_us": 77, "is_first_owner": True,
        }  # fmt: skip
        self.held = Held(**(given | held))
        terms = Terms(max_tries=max_tries, checkpoint_events=2)
        attempts = Attempts(
            "view", self.handler, terms=terms, on_failure=on_failure, sleep=lambda _: None, jitter=lambda: 1.0
        )
        part: Any = self
        self.handling = Handling(
            "view",
            attempts=attempts,
            keeper=part,
            missing=part,
            membership=part,
            on_failure=on_failure,
            terms=terms,
            still_holds=self.still_holds,
            now_us=lambda: NOW_US,
        )

    def handler(self, one: Event) -> None:
        call = CALL.get()
        assert call is not None
        self.calls.append((one.stream_id, one.event_id, call.after))
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, BaseException):
            raise outcome
        for name, value in (outcome or {}).items():
            setattr(call, name, value)

    @contextmanager
    def beside(self) -> Iterator[None]:
        self.beside_calls += 1
        yield

    def between(self, stream_id: str, after: int, before: int, *, since_us: int) -> list[Event]:
        self.asked.append((stream_id, after, before, since_us))
        return self.missing

    def park(self, parked: ParkedEvent, *, behind: int | None = None) -> bool | None:
        self.parked.append((parked, behind))
        return self.is_parked.pop(0) if self.is_parked else True

    def store(self, tranche: int) -> bool:
        self.stores.append((tranche, self.held.start))
        answer = self.store_answers.pop(0) if self.store_answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def still_holds(self, tranche: int, held: Held) -> bool:
        assert (tranche, held) == (TRANCHE, self.held)
        return self.holds.pop(0) if self.holds else True

    def handle(
        self,
        one: Event | MalformedItem | None = None,
        *,
        after: int = 4,
        ahead: Callable[[], Called | None] = lambda: None,
    ) -> bool:
        return self.handling.handle(TRANCHE, self.held, one or event(), after=after, ahead=ahead)


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "eventstore.subscriptions")


# --- handled ------------------------------------------------------------------------------------------------


def test_event_that_is_handled_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    assert [desk.handle(), desk.handle(event(6), after=5)] == [True, True]
    assert desk.calls == [("s", 5, 4), ("s", 6, 5)]
    assert desk.handling.counts == Counts(handled=2)
    assert (desk.stores, desk.beside_calls, caplog.messages) == ([], 2, [])


def test_call_that_has_begun_ahead_is_not_made_again() -> None:
    desk = Desk()
    assert desk.handle(ahead=lambda: Called(Done(is_repeated=False)))
    assert (desk.calls, desk.handling.counts.handled) == ([], 1)


def test_event_behind_one_that_this_worker_has_parked_says_so_to_projections() -> None:
    desk = Desk(on_failure=OnFailure.PARK)
    desk.held.parked["s"] = 3
    assert [desk.handle(after=1), desk.handle(after=4), desk.handle(event(5, "t"), after=1)] == [True] * 3
    assert desk.calls == [("s", 5, 3), ("s", 5, 4), ("t", 5, 1)]


def test_call_begins_before_its_turn_unless_something_may_be_in_its_way() -> None:
    turn = Turn(event(), PLACE, 2, 0)
    desk = Desk()
    assert desk.handling.after(desk.held, turn) == 2
    desk.held.parked["s"] = 3
    assert desk.handling.after(desk.held, turn) == 3
    assert desk.handling.after(desk.held, Turn(None, PLACE, 2, 0)) is None
    for held in ({"suspects": 1}, {"start": Start("t", 1, 1)}, {"blocked": {"s": (1, 1)}}):
        desk = Desk(**held)
        assert desk.handling.after(desk.held, turn) is None
    desk = Desk(blocked={"t": (1, 1)})
    assert desk.handling.after(desk.held, turn) == 2


TOLD = (
    "subscription view: its projection has taken event {} of s before, so it changes nothing, nor do "
    "others like it. To build a read model anew, give the Projection a new name, too"
)


def test_first_owner_tells_of_a_repeated_event_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(None, *[{"is_repeated": True}] * 3)
    for number in range(1, 5):
        desk.handle(event(number))
    assert caplog.messages == [TOLD.format(2)]
    assert (desk.handling.counts.handled, desk.handling.counts.repeated) == (4, 3)


def test_later_owner_warns_of_more_repeats_than_lie_between_checkpoints(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repeated: Outcome = {"is_repeated": True}
    desk = Desk(repeated, repeated, None, repeated, repeated, repeated, is_first_owner=False)
    for number in range(1, 6):
        desk.handle(event(number))
    assert caplog.messages == []
    desk.handle(event(6))
    assert caplog.messages == [TOLD.format(6)]


def test_lost_blocks_that_were_passed_are_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.handling.pass_closed(ClosedBlocks(tranche=1, first=4, last=6))
    desk.handling.pass_closed(ClosedBlocks(tranche=1, first=8, last=8))
    assert desk.handling.counts == Counts(closed_blocks=4)
    assert caplog.messages == [
        f"subscription view: blocks {blocks} of the log's tranche 1 were lost and are closed; their events "
        "come when `eventstore verify --repair` has logged them again"
        for blocks in ("4 to 6", "8 to 8")
    ]


# --- given up -----------------------------------------------------------------------------------------------


def test_event_that_fails_stops_the_worker_and_is_begun_anew_by_the_next() -> None:
    error = ValueError("no good")
    desk = Desk(error, on_failure=OnFailure.STOP, start=Start("s", 5, 1))
    with pytest.raises(HandlerFailed) as caught:
        desk.handle()
    told = caught.value
    assert (told.subscription, told.stream_id, told.event_id, told.reason) == (
        "view", "s", 5, "ValueError: no good",
    )  # fmt: skip
    assert "raise outcome" in told.traceback
    assert told.__cause__ is error
    assert (desk.held.ended, desk.held.start) == (None, None)


def test_event_that_stops_the_worker_unbegun_is_begun_anew_by_the_next() -> None:
    desk = Desk(on_failure=OnFailure.STOP, start=Start("s", 5, 3))
    with pytest.raises(HandlerFailed, match="3 workers ended"):
        desk.handle()
    assert (desk.held.ended, desk.held.start) == (None, None)


def test_error_whose_traceback_can_not_be_made_is_said_without_it(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Exception):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(f"no {name}")

    assert Desk(Odd("no good"), on_failure=OnFailure.SKIP).handle()
    assert caplog.messages == ["skipped event 5 of s: Odd: no good"]
    assert caplog.records[0].exc_info is None


def test_event_that_is_skipped_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(ValueError("no good"), ValueError("nor that"), on_failure=OnFailure.SKIP)
    assert [desk.handle(), desk.handle(event(6))] == [True, True]
    assert desk.handling.counts == Counts(skipped=2)
    assert caplog.messages == [
        "skipped event 5 of s: ValueError: no good",
        "skipped event 6 of s: ValueError: nor that",
    ]
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


@pytest.mark.parametrize(
    ("on_failure", "blocked"), [(OnFailure.PARK, {}), (OnFailure.PARK_STREAM, {"s": (5, 5)})]
)
def test_event_that_is_parked_is_counted_and_said(
    caplog: pytest.LogCaptureFixture, on_failure: OnFailure, blocked: dict[str, tuple[int, int]]
) -> None:
    desk = Desk(ValueError("no good"), on_failure=on_failure)
    assert desk.handle()
    ((parked, behind),) = desk.parked
    assert (parked.tranche, parked.stream_id, parked.event_id, behind) == (TRANCHE, "s", 5, None)
    assert (parked.reason, parked.parked_at_us) == ("ValueError: no good", NOW_US)
    assert "raise outcome" in parked.traceback
    assert (desk.held.blocked, desk.held.parked, desk.handling.counts) == (
        blocked,
        {"s": 5},
        Counts(parked=1),
    )
    assert caplog.messages == ["parked event 5 of s: ValueError: no good"]


@pytest.mark.parametrize("on_failure", [OnFailure.PARK, OnFailure.PARK_STREAM])
def test_event_whose_lease_is_lost_when_it_is_parked_is_left(on_failure: OnFailure) -> None:
    desk = Desk(ValueError("no good"), on_failure=on_failure)
    desk.is_parked = [None]
    assert not desk.handle()
    assert (desk.held.blocked, desk.held.parked, desk.handling.counts) == ({}, {}, Counts())


@pytest.mark.parametrize(("holds", "calls"), [([True, True], 2), ([False, False], 1)])
def test_event_is_tried_again_while_its_lease_is_held(holds: list[bool], calls: int) -> None:
    desk = Desk(ValueError("no good"), ValueError("nor that"), max_tries=2)
    desk.holds = list(holds)
    assert desk.handle() is holds[0]
    assert (len(desk.calls), desk.holds) == (calls, [])


def test_event_that_fails_where_the_lease_is_lost_is_left() -> None:
    desk = Desk(ValueError("no good"))
    desk.holds = [False]
    assert not desk.handle()
    assert (desk.parked, desk.handling.counts) == ([], Counts())


def test_item_that_is_no_event_is_given_up_with_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    bad = MalformedItem(stream_id="s", event_id=5, reason="'Payload' is missing")
    desk = Desk(start=Start("s", 5, 1))
    assert desk.handle(bad)
    ((parked, _),) = desk.parked
    assert (parked.reason, parked.traceback, desk.calls) == (str(bad), "", [])
    assert caplog.records[0].exc_info is None
    assert desk.held.ended is None


# --- behind a parked event ----------------------------------------------------------------------------------


def test_event_behind_a_parked_one_is_parked_behind_the_last() -> None:
    desk = Desk(blocked={"s": (3, 6), "t": (9, 9)})
    why = "behind event 3 of its stream, which is parked"
    assert [desk.handle(event(5)), desk.handle(event(7))] == [True, True]
    assert [(of.tranche, of.event_id, of.reason, behind) for of, behind in desk.parked] == [
        (TRANCHE, 5, why, 6),
        (TRANCHE, 7, why, 6),
    ]
    assert (desk.held.blocked["s"], desk.calls, desk.handling.counts.parked) == ((3, 7), [], 2)
    desk.is_parked = [None]
    assert not desk.handle(event(8))
    assert desk.held.blocked["s"] == (3, 7)


def test_parked_events_that_are_handled_meanwhile_let_the_stream_go_on() -> None:
    desk = Desk(blocked={"s": (3, 4), "t": (9, 9)})
    desk.is_parked = [False]
    assert desk.handle()
    assert (desk.held.blocked, desk.calls) == ({"t": (9, 9)}, [("s", 5, 4)])


@pytest.mark.parametrize("number", [2, 3])
def test_event_that_is_not_behind_the_parked_one_is_handled(number: int) -> None:
    desk = Desk(ValueError("no good"), blocked={"s": (3, 4)})
    assert desk.handle(event(number), after=number - 1)
    assert desk.calls == [("s", number, number - 1)]
    assert desk.held.blocked == {"s": (number, 4)}


# --- what a projection misses -------------------------------------------------------------------------------


def test_events_that_a_projection_misses_are_handled_before_the_event() -> None:
    desk = Desk({"behind": 2})
    desk.missing = [event(3), event(4)]
    assert desk.handle()
    assert desk.asked == [("s", 2, 5, 77)]
    assert desk.calls == [("s", 5, 4), ("s", 3, 2), ("s", 4, 2), ("s", 5, 2)]
    assert desk.handling.counts == Counts(handled=3)


def test_event_is_left_where_the_lease_is_lost_among_those_that_are_missed() -> None:
    desk = Desk({"behind": 2})
    desk.missing, desk.holds = [event(3), event(4)], [True, False]
    assert not desk.handle()
    assert desk.calls == [("s", 5, 4), ("s", 3, 2)]
    desk = Desk({"behind": 2}, ValueError("no good"))
    desk.missing, desk.holds = [event(3), event(4)], [True, False]
    assert not desk.handle()
    assert desk.calls == [("s", 5, 4), ("s", 3, 2)]


def test_event_that_fails_behind_those_that_were_missed_is_given_up() -> None:
    desk = Desk({"behind": 2}, ValueError("no good"))
    assert desk.handle()
    assert [(of.tranche, of.event_id) for of, _ in desk.parked] == [(TRANCHE, 5)]


def test_event_that_waits_for_those_that_are_missed_stays_a_suspect() -> None:
    desk = Desk({"behind": 2}, {"behind": 1}, suspects=3)
    desk.missing = []
    desk.outcomes.append(AWAY)
    with pytest.raises(StoreUnavailable):
        desk.handle()
    assert (desk.held.suspects, desk.held.start) == (3, None)


# --- events that a worker may die of ------------------------------------------------------------------------


def test_suspect_is_stored_as_begun_and_is_none_when_it_is_handled() -> None:
    desk = Desk(suspects=2)
    desk.held.unstored = 9
    assert [desk.handle(), desk.handle(event(6)), desk.handle(event(7))] == [True] * 3
    assert desk.stores == [(TRANCHE, Start("s", 5, 1)), (TRANCHE, Start("s", 6, 1))]
    assert (desk.held.suspects, desk.held.start, desk.held.unstored) == (0, None, 0)


def test_event_within_which_a_worker_has_ended_is_stored_as_begun_once_more() -> None:
    desk = Desk(start=Start("s", 5, 2))
    assert desk.handle(event(4))
    assert desk.stores == []
    assert desk.handle()
    assert desk.stores == [(TRANCHE, Start("s", 5, 3))]
    assert desk.held.ended is None


def test_event_within_which_so_many_workers_have_ended_is_given_up() -> None:
    desk = Desk(start=Start("s", 5, 3))
    assert desk.handle()
    ((parked, _),) = desk.parked
    assert parked.reason == (
        "3 workers ended while they handled it: killed, out of memory, by SystemExit, or since it took "
        "longer than call_s"
    )
    assert (desk.calls, desk.stores, desk.held.ended) == ([], [], None)


def test_event_whose_begin_can_not_be_stored_is_not_handled() -> None:
    desk = Desk(suspects=1)
    desk.store_answers = [False, AWAY]
    assert not desk.handle()
    with pytest.raises(StoreUnavailable):
        desk.handle()
    assert (desk.calls, desk.held.start, desk.held.suspects) == ([], None, 1)


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()])
def test_event_whose_handling_is_interrupted_is_begun_no_more(error: BaseException) -> None:
    desk = Desk(error)
    with pytest.raises(type(error)):
        desk.handle()
    assert (desk.held.start, desk.held.ended, desk.held.is_first_owner, desk.stores) == (
        None,
        None,
        False,
        [],
    )


def test_begin_of_a_suspect_is_taken_back_where_what_it_needs_is_away() -> None:
    desk = Desk(AWAY, suspects=1)
    with pytest.raises(StoreUnavailable):
        desk.handle()
    assert desk.stores == [(TRANCHE, Start("s", 5, 1)), (TRANCHE, None)]
    assert desk.held.suspects == 1


def test_begin_of_a_suspect_is_not_taken_back_by_interrupt_or_without_lease() -> None:
    desk = Desk(KeyboardInterrupt(), suspects=1)
    with pytest.raises(KeyboardInterrupt):
        desk.handle()
    assert len(desk.stores) == 1
    desk = Desk(AWAY, suspects=1)
    desk.leases = {}
    with pytest.raises(StoreUnavailable):
        desk.handle()
    assert len(desk.stores) == 1


def test_begin_that_can_not_be_taken_back_is_said(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(AWAY, suspects=1)
    desk.store_answers = [True, AWAY]
    with pytest.raises(StoreUnavailable):
        desk.handle()
    assert caplog.messages == [
        f"subscription view: event 5 of s counts as begun until the next write: {AWAY}"
    ]


def test_event_that_ends_the_worker_counts_as_one_within_which_it_ended() -> None:
    desk = Desk(SystemExit())
    with pytest.raises(SystemExit):
        desk.handle()
    assert desk.held.start == desk.held.ended == Start("s", 5, 1)
    assert desk.held.is_first_owner
