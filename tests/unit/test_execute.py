import pytest

from eventstore import Event, Executed, Head, NewEvent, VersionConflict, execute
from eventstore.adapters.memory import MemoryEventStore


class WatchedStore(MemoryEventStore):
    """Notes from where streams are read, and lets another writer in before an append."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []
        self.rivals = 0

    def read_stream(self, stream_id: str, *, from_version: int = 1, **options):  # type: ignore[no-untyped-def, override]
        self.reads.append(from_version)
        return super().read_stream(stream_id, from_version=from_version, **options)

    def append(self, stream_id, events, *, expected):  # type: ignore[no-untyped-def, override]
        if self.rivals:
            self.rivals -= 1
            super().append(stream_id, [NewEvent(name="Rival")], expected=self.head(stream_id))
        return super().append(stream_id, events, expected=expected)


def names(state: tuple[str, ...], event: Event) -> tuple[str, ...]:
    return (*state, event.name)


def run(store: WatchedStore, **options: object) -> Executed[tuple[str, ...]]:
    return execute(
        store,
        "s",
        initial=(),
        fold=names,
        decide=lambda state: [NewEvent(name=f"After{len(state)}")],
        sleep=lambda _: None,
        **options,  # type: ignore[arg-type]
    )


def test_conflict_reads_only_what_is_new_and_decides_on_it() -> None:
    store = WatchedStore()
    store.append("s", [NewEvent(name="First")] * 3, expected=0)
    store.reads.clear()
    store.rivals = 2

    done = run(store)

    assert done.tries == 3
    assert done.state == ("First",) * 3 + ("Rival", "Rival", "After5")
    assert store.reads == [1, 4, 5]
    assert done.head == store.head("s")


def test_known_state_is_not_read_again() -> None:
    store = WatchedStore()
    first = run(store)
    store.reads.clear()

    done = execute(
        store, "s", initial=first.state, at=first.head, fold=names, decide=lambda _: [NewEvent(name="Second")]
    )

    assert store.reads == [2]
    assert done.state == ("After0", "Second")


def test_no_decision_appends_nothing() -> None:
    store = WatchedStore()

    done = execute(store, "s", initial=(), fold=names, decide=lambda _: [])

    assert done == Executed((), Head("s", 0, 0), (), 1)


def test_conflicts_beyond_the_last_try_reach_the_caller_and_pauses_double() -> None:
    store = WatchedStore()
    store.rivals = 99
    pauses: list[float] = []

    with pytest.raises(VersionConflict):
        execute(
            store,
            "s",
            initial=(),
            fold=names,
            decide=lambda _: [NewEvent(name="Late")],
            max_tries=4,
            backoff_s=0.1,
            sleep=pauses.append,
            jitter=lambda: 1.0,
        )

    assert pauses == [0.1, 0.2, 0.4]
    assert all(event.name == "Rival" for event in store.read_stream("s"))


def test_refusal_of_the_business_reaches_the_caller_and_writes_nothing() -> None:
    store = WatchedStore()

    def refuse(_: object) -> list[NewEvent]:
        raise PermissionError("sold out")

    with pytest.raises(PermissionError, match="sold out"):
        execute(store, "s", initial=(), fold=names, decide=refuse)
    assert store.head("s").version == 0


def test_tries_have_to_be_positive() -> None:
    with pytest.raises(ValueError, match="max_tries"):
        run(WatchedStore(), max_tries=0)
