"""The worked example: what each aggregate decides, what the desk does, and who follows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

import eventstore
from eventstore import NewEvent, Store
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.testing import given
from examples.lending import desk, letters
from examples.lending.copies import Copy, CopyBought, CopyLent, CopyReturned, NotOnTheShelf, copies
from examples.lending.members import CopyBorrowed, CopyGivenBack, HasEnough, members
from examples.lending.overview import LENT as LENT_COPIES
from examples.lending.overview import follow, loans, overdue, project

DUE = date(2026, 2, 14)
BOUGHT, LENT = CopyBought("978-3", "A"), CopyLent("ada", DUE)


@pytest.fixture
def store() -> Store:
    return eventstore.connect("memory:")


def follows_the_desk(store: Store, *, logged: Callable[[], object] = lambda: None) -> None:
    """Hold the overview to what the desk does, on any store.

    Args:
        logged: logs what was appended, where nothing else does.
    """
    worker, read_model = follow(store), store.read_model
    for n in (1, 2):
        desk.buy(store, f"copy-{n}", "978-3", shelf="A", command=f"buy-{n}")
        desk.lend(store, f"copy-{n}", "ada", due=date(2026, 2, 13 + n), command=f"lend-{n}")
    logged()
    while worker.step():
        pass
    lent = {"Copy": "copy-1", "Member": "ada", "Due": "2026-02-14"}
    assert read_model.get(LENT_COPIES, {"Copy": "copy-1"}) == lent
    assert overdue(read_model, date(2026, 2, 15)) == ["copy-1"]
    assert (loans(read_model, "ada"), loans(read_model, "bob")) == (2, 0)

    desk.bring_back(store, "copy-1", command="back-1")
    logged()
    while worker.step():
        pass
    worker.close()
    again = store.projection("overview", project)
    for event in store.read_stream("copy-1"):
        if event.name != "CopyBought":
            again(event)  # a worker that was thought dead
    assert read_model.get(LENT_COPIES, {"Copy": "copy-1"}) is None
    assert overdue(read_model, date(2027, 1, 1)) == ["copy-2"]
    assert loans(read_model, "ada") == 2


def test_copy_is_lent_when_it_is_on_the_shelf() -> None:
    lend = lambda copy: copy.lend("ada", due=DUE)  # noqa: E731
    given(copies, BOUGHT).when(lend).then(LENT)
    given(copies, BOUGHT, LENT, CopyReturned()).when(lend).then(LENT)
    given(copies).when(lend).then_raises(NotOnTheShelf)
    given(copies, BOUGHT, LENT).when(lend).then_raises(NotOnTheShelf)


def test_copy_that_nobody_has_comes_back_as_nothing() -> None:
    given(copies, BOUGHT, LENT).when(Copy.bring_back).then(CopyReturned())
    given(copies, BOUGHT).when(Copy.bring_back).then()


def test_member_has_three_copies_at_most() -> None:
    borrowed = [CopyBorrowed(f"copy-{n}") for n in (1, 2, 3)]
    given(members, *borrowed[:2]).when(lambda member: member.borrow("copy-3")).then(borrowed[2])
    given(members, *borrowed).when(lambda member: member.borrow("copy-4")).then_raises(HasEnough)
    given(members, *borrowed, CopyGivenBack("copy-1")).when(lambda member: member.borrow("copy-4")).then(
        CopyBorrowed("copy-4")
    )


def test_desk_changes_both_or_neither_and_each_command_once(store: Store) -> None:
    for n in range(1, 5):
        desk.buy(store, f"copy-{n}", "978-3", shelf="A", command=f"buy-{n}")
        desk.buy(store, f"copy-{n}", "978-3", shelf="A", command=f"buy-{n}")
    assert [desk.lend(store, f"copy-{n}", "ada", due=DUE, command=f"lend-{n}") for n in (1, 2, 3)] == [
        1,
        2,
        3,
    ]
    assert desk.lend(store, "copy-1", "ada", due=DUE, command="lend-1") == 3, "it was done before"
    with pytest.raises(HasEnough):
        desk.lend(store, "copy-4", "ada", due=DUE, command="lend-4")
    with pytest.raises(NotOnTheShelf):
        desk.lend(store, "copy-1", "bob", due=DUE, command="lend-5")
    assert copies.load(store, "copy-4").head.version == 1
    assert members.load(store, "bob").head.version == 0
    assert (
        desk.bring_back(store, "copy-1", command="back-1"),
        desk.bring_back(store, "copy-4", command="b"),
    ) == (
        True,
        False,
    )
    assert members.load(store, "ada").state.copies == {"copy-2", "copy-3"}
    lent = next(event for event in store.read_stream("copy-2") if event.name == "CopyLent")
    assert json.loads(lent.metadata) == {"correlationId": "lend-2"}


def test_event_of_before_shelves_had_names_is_read_like_todays(store: Store) -> None:
    store.append("copy-1", [NewEvent.of("CopyBought", {"isbn": "978-3"})], expected=0)
    assert desk.lend(store, "copy-1", "ada", due=DUE, command="lend-1") == 1
    (event, _) = store.read_stream("copy-1")
    assert copies.codec.decode(event) == CopyBought("978-3", "unknown")
    assert copies.codec.encode(BOUGHT).metadata == '{"schemaVersion":2}'


def test_overview_follows_history_and_what_comes(store: Store) -> None:
    follows_the_desk(store)


def test_copy_that_is_bought_is_nothing_to_the_overview(store: Store) -> None:
    desk.buy(store, "copy-1", "978-3", shelf="A", command="buy-1")
    assert project(next(store.read_stream("copy-1"))) == []


def test_letter_is_written_once_for_each_loan(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    desk.buy(store, "copy-1", "978-3", shelf="A", command="buy-1")
    desk.lend(store, "copy-1", "ada", due=DUE, command="lend-1")
    form = EntryFormat(source="library", api_url="https://api.example.com")
    events = [*store.read_stream("copy-1"), *store.read_stream("ada")]
    records: list[dict[str, Any]] = [
        {"body": json.dumps({"detail-type": event.name, "detail": json.loads(form.entry(event).detail)})}
        for event in events
    ]
    letters.handler({"Records": records + records}, None)
    assert capsys.readouterr().out == "Dear ada, copy-1 is due on 14 February 2026.\n"
