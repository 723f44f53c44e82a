"""The contract of `ItemReadModel`: what holds on every adapter, so that one `project` runs on each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from eventstore.errors import InvalidInput, ReadModelRefused
from eventstore.events import Event
from eventstore.limits import PROJECTION_MAX_WRITES
from eventstore.subscriptions import Delete, ItemReadModel, Put, Update, Write

EVERYTHING: Final[dict[str, Any]] = {
    "Text": "ä", "Empty": "", "Int": -7, "Big": 10**37 + 1, "Far": 10**125, "Near": Decimal("1E-130"),
    "Decimal": Decimal("1.5"), "Yes": True, "No": False, "Nothing": None, "Bytes": b"\x00\xff", "None": b"",
    "List": [1, [], {"a": None}], "Dict": {"b": {"c": [True]}, "d": {}}, "a.b #c :d": "any name will do",
}  # fmt: skip
READ_BACK: Final[list[tuple[Any, Any]]] = [
    (Decimal("1.50"), Decimal("1.5")),
    (Decimal("2.0"), 2),
    (Decimal("-0"), 0),
    (Decimal("1E+20"), 10**20),
    ((1, ("a",)), [1, ["a"]]),
]
REFUSED: Final[list[Any]] = [
    1.5, float("nan"), Decimal("NaN"), Decimal("Infinity"), 10**38 + 1, 10**126, 10**5_000, Decimal("1E-131"),
    datetime(2026, 1, 31, tzinfo=UTC), {"a"}, object(), "\ud800", {"": 1}, {1: 1}, bytearray(b"a"),
]  # fmt: skip


def happened(event_id: int = 1, *, stream_id: str = "s") -> Event:
    """Make an event of a stream."""
    return Event(stream_id, event_id, "Happened", "{}", "{}", f"uid-{stream_id}-{event_id}", event_id)


def nested(levels: int) -> Any:
    """Make a value of so many levels."""
    value: Any = "deep"
    for _ in range(levels - 1):
        value = [value]
    return value


class ReadModelContract(ABC):
    """Subclass it as ``Test...``, make an empty read model and its tables; pytest runs the rest."""

    @abstractmethod
    def make_read_model(self) -> ItemReadModel:
        """Make a read model into which nothing was projected."""

    @abstractmethod
    def make_table(self, **key: type) -> str:
        """Make an empty table and return its name.

        Args:
            key: the names and types (str, int or bytes) of its partition key and, if any, its sort key.
        """

    @pytest.fixture
    def model(self) -> ItemReadModel:
        return self.make_read_model()

    @pytest.fixture
    def table(self) -> str:
        return self.make_table(Id=str)

    def test_item_comes_back_with_its_key_and_every_kind_of_value(
        self, model: ItemReadModel, table: str
    ) -> None:
        assert project(model, [Put(table, {"Id": "a"}, EVERYTHING)]) is None
        assert same(model.get(table, {"Id": "a"}), {"Id": "a", **EVERYTHING})
        assert model.get(table, {"Id": "b"}) is None
        assert [same(item, {"Id": "a", **EVERYTHING}) for item in model.items(table)] == [True]

    @pytest.mark.parametrize(("given", "read"), READ_BACK, ids=str)
    def test_value_has_one_form_in_which_it_comes_back(
        self, model: ItemReadModel, table: str, given: Any, read: Any
    ) -> None:
        write = Put(table, {"Id": "a"}, {"Is": given})
        project(model, [write])
        assert same(model.get(table, {"Id": "a"}), {"Id": "a", "Is": read})
        assert write == Put(table, {"Id": "a"}, {"Is": read})

    def test_put_takes_the_place_of_the_item_before(self, model: ItemReadModel, table: str) -> None:
        project(model, [Put(table, {"Id": "a"}, {"One": 1})])
        project(model, [Put(table, {"Id": "a"}, {"Two": 2})], event_id=2)
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "Two": 2}
        project(model, [Put(table, {"Id": "a"})], event_id=3)
        assert model.get(table, {"Id": "a"}) == {"Id": "a"}

    def test_update_changes_what_it_names_and_nothing_else(self, model: ItemReadModel, table: str) -> None:
        before: dict[str, Any] = {"Kept": "k", "Set": 1, "Sum": Decimal("1.5"), "List": [1], "Gone": 1}
        project(model, [Put(table, {"Id": "a"}, before)])
        update = Update(
            table, {"Id": "a"},
            set={"Set": None}, add={"Sum": Decimal("0.5")}, append={"List": [2, "x"]},
            remove=["Gone", "Never"],
        )  # fmt: skip
        project(model, [update], event_id=2)
        expected = {"Id": "a", "Kept": "k", "Set": None, "Sum": 2, "List": [1, 2, "x"]}
        assert same(model.get(table, {"Id": "a"}), expected)

    def test_update_makes_an_item_and_attributes_that_are_not_there(
        self, model: ItemReadModel, table: str
    ) -> None:
        update = Update(table, {"Id": "a"}, set={"a.b": 1}, add={"Sum": -2}, append={"List": []})
        project(model, [update, Update(table, {"Id": "b"}, remove=("Never",))])
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "a.b": 1, "Sum": -2, "List": []}
        assert model.get(table, {"Id": "b"}) == {"Id": "b"}

    def test_delete_takes_an_item_away_and_minds_no_missing_one(
        self, model: ItemReadModel, table: str
    ) -> None:
        project(model, [Put(table, {"Id": "a"}), Put(table, {"Id": "b"})])
        project(model, [Delete(table, {"Id": "a"}), Delete(table, {"Id": "c"})], event_id=2)
        assert list(model.items(table)) == [{"Id": "b"}]

    def test_keys_have_one_or_two_attributes_of_any_type_of_a_key(self, model: ItemReadModel) -> None:
        lines, blobs = self.make_table(Order=str, Line=int), self.make_table(Hash=bytes)
        places: list[dict[str, Any]] = [{"Order": "1", "Line": line} for line in (1, Decimal("1.5"))]
        project(model, [*(Put(lines, place, {"At": 1}) for place in places), Put(blobs, {"Hash": b"\x01"})])
        for place in places:
            assert model.get(lines, dict(reversed(place.items()))) == {**place, "At": 1}
        assert model.get(lines, {"Order": "1", "Line": Decimal("1.0")}) == {"Order": "1", "Line": 1, "At": 1}
        assert model.get(blobs, {"Hash": b"\x01"}) == {"Hash": b"\x01"}
        assert len(list(model.items(lines))) == 2

    def test_key_of_another_table_is_refused(self, model: ItemReadModel, table: str) -> None:
        project(model, [Put(table, {"Id": "a"})])
        keys: list[dict[str, Any]] = [{"Id": 1}, {"Other": "a"}, {"Id": "a", "More": 1}]
        for key in keys:
            with pytest.raises(InvalidInput, match=r"^key: "):
                model.get(table, key)
            for write in (Update(table, key, set={"x": 1}), Delete(table, key)):
                with pytest.raises(ReadModelRefused):
                    project(model, [write], event_id=2)

    def test_item_that_was_read_or_written_is_a_copy(self, model: ItemReadModel, table: str) -> None:
        given: dict[str, Any] = {"List": [1]}
        project(model, [Put(table, {"Id": "a"}, given)])
        given["List"].append(2)
        (model.get(table, {"Id": "a"}) or {})["List"].append(3)
        for item in model.items(table):
            item["List"].append(4)
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "List": [1]}

    # --- an event's turn ------------------------------------------------------------------------------

    def test_repeat_changes_nothing_and_says_how_far_the_stream_is(
        self, model: ItemReadModel, table: str
    ) -> None:
        count = [Update(table, {"Id": "a"}, add={"Seen": 1})]
        assert [project(model, count, event_id=n) for n in (1, 1, 2, 1, 2)] == [None, 1, None, 2, 2]
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "Seen": 2}

    def test_event_before_its_turn_is_not_written(self, model: ItemReadModel, table: str) -> None:
        count = [Update(table, {"Id": "a"}, add={"Seen": 1})]
        assert project(model, count, event_id=2) == 0
        assert project(model, count, event_id=1) is None
        assert project(model, count, event_id=4) == 1
        assert project(model, count, event_id=4, after=1) is None
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "Seen": 2}

    def test_streams_and_projections_have_turns_of_their_own(self, model: ItemReadModel, table: str) -> None:
        count = [Update(table, {"Id": "a"}, add={"Seen": 1})]
        events = [happened(), happened(stream_id="t")]
        answers = [
            model.write(count, projection=of, event=each, after=0) for of in ("p", "q") for each in events
        ]
        assert answers == [None] * 4
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "Seen": 4}

    def test_event_without_writes_takes_its_turn(self, model: ItemReadModel) -> None:
        assert [project(model, []), project(model, [])] == [None, 1]

    def test_event_is_written_once_by_however_many_at_a_time(self, model: ItemReadModel, table: str) -> None:
        count = [Update(table, {"Id": "a"}, add={"Seen": 1}, append={"By": ["x"]})]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: project(model, count), range(8)))
        assert sorted(answers, key=str) == [1] * 7 + [None]
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "Seen": 1, "By": ["x"]}

    # --- what is refused ------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
    def test_value_that_can_not_be_stored_exactly_is_refused_by_its_place(self, value: Any) -> None:
        key: dict[str, Any] = {"Id": "a"}
        for write in (
            lambda: Put("t", key, {"A": [1, {"B": value}]}),
            lambda: Update("t", key, set={"A": [1, {"B": value}]}),
            lambda: Update("t", key, append={"A": [1, {"B": value}]}),
        ):
            with pytest.raises(
                InvalidInput, match=r"^(Put|Update)\('t', {'Id': 'a'}\)\.\w+\['A'\]"
            ) as caught:
                write()
            assert "[1]['B']" in caught.value.field
            assert "; " in caught.value.reason or ", " in caught.value.reason

    def test_value_that_was_changed_behind_a_writes_back_is_not_stored_as_it_is(
        self, model: ItemReadModel, table: str
    ) -> None:
        write = Put(table, {"Id": "a"}, {"A": [1]})
        changed: Any = write.item
        changed["A"].append(2.5)
        with pytest.raises(ReadModelRefused, match=r"its write 1, .*a float"):
            project(model, [write])
        assert project(model, []) is None

    def test_99_writes_are_one_events_and_100_are_refused(self, model: ItemReadModel, table: str) -> None:
        puts = [Put(table, {"Id": f"{n}"}) for n in range(PROJECTION_MAX_WRITES + 1)]
        with pytest.raises(ReadModelRefused, match="100 writes; a transaction has room for 99") as caught:
            project(model, puts)
        assert (caught.value.stream_id, caught.value.event_id) == ("s", 1)
        assert list(model.items(table)) == []
        assert project(model, puts[1:]) is None
        assert len(list(model.items(table))) == PROJECTION_MAX_WRITES

    def test_two_writes_of_one_item_are_refused_by_their_numbers(
        self, model: ItemReadModel, table: str
    ) -> None:
        lines = self.make_table(Order=str, Line=int)
        pairs: list[tuple[Write, Write]] = [
            (Put(table, {"Id": "a"}), Delete(table, {"Id": "a"})),
            (Delete(lines, {"Order": "1", "Line": 1}), Put(lines, {"Line": Decimal("1.0"), "Order": "1"})),
        ]
        for first, second in pairs:
            with pytest.raises(
                ReadModelRefused, match=r"its writes 2 and 3 are of one item: .*Make them one"
            ):
                project(model, [Put(table, {"Id": "other"}), first, second])
        same_one = Put(table, {"Id": "a"})
        with pytest.raises(ReadModelRefused, match="its writes 1 and 2"):
            project(model, [same_one, same_one])
        assert list(model.items(table)) == []
        assert project(model, [Put(table, {"Id": "1"}), Put(lines, {"Order": "1", "Line": 1})]) is None

    def test_what_is_no_write_is_refused_by_its_number(self, model: ItemReadModel, table: str) -> None:
        wrong: Any = [Put(table, {"Id": "a"}), "Put"]
        with pytest.raises(
            ReadModelRefused, match="its write 2 is 'Put', a str; return Put, Update or Delete"
        ):
            project(model, wrong)
        assert model.get(table, {"Id": "a"}) is None

    @pytest.mark.parametrize(
        ("there", "change"),
        [
            ("text", {"add": {"A": 1}}),
            (None, {"add": {"A": 1}}),
            (True, {"add": {"A": 1}}),
            (10**50, {"add": {"A": 1}}),
            (10**125 * 9, {"add": {"A": 10**125}}),
            ("text", {"append": {"A": [1]}}),
            (None, {"append": {"A": [1]}}),
        ],
        ids=str,
    )
    def test_change_that_does_not_fit_what_is_there_is_refused(
        self, model: ItemReadModel, table: str, there: Any, change: Mapping[str, Any]
    ) -> None:
        project(model, [Put(table, {"Id": "a"}, {"A": there})])
        writes: list[Write] = [Put(table, {"Id": "b"}), Update(table, {"Id": "a"}, set={"B": 1}, **change)]
        with pytest.raises(ReadModelRefused) as caught:
            project(model, writes, event_id=2)
        assert (caught.value.stream_id, caught.value.event_id) == ("s", 2)
        assert list(model.items(table)) == [{"Id": "a", "A": there}]
        assert project(model, [Put(table, {"Id": "c"})], event_id=2) is None

    def test_item_of_more_than_400_kb_is_refused_when_put_and_when_it_grows(
        self, model: ItemReadModel, table: str
    ) -> None:
        fits = "x" * (400 * 1_024 - 4)  # beside the names and the key's value
        with pytest.raises(ReadModelRefused):
            project(model, [Put(table, {"Id": "a"}, {"A": fits + "x"})])
        assert project(model, [Put(table, {"Id": "a"}, {"A": fits})]) is None
        with pytest.raises(ReadModelRefused):
            project(model, [Update(table, {"Id": "a"}, set={"B": 1})], event_id=2)
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "A": fits}

    def test_writes_of_more_than_4_mb_are_refused(self, model: ItemReadModel, table: str) -> None:
        puts = [Put(table, {"Id": f"{n}"}, {"A": "x" * 390 * 1_024}) for n in range(12)]
        with pytest.raises(ReadModelRefused):
            project(model, puts)
        assert list(model.items(table)) == []
        assert project(model, puts[:10]) is None
        assert len(list(model.items(table))) == 10

    def test_attribute_of_32_levels_is_stored_and_of_33_refused(
        self, model: ItemReadModel, table: str
    ) -> None:
        project(model, [Put(table, {"Id": "a"}, {"A": nested(32)})])
        assert model.get(table, {"Id": "a"}) == {"Id": "a", "A": nested(32)}
        with pytest.raises(InvalidInput, match="is nested deeper than 32 levels"):
            Put(table, {"Id": "a"}, {"A": nested(33)})


def project(
    model: ItemReadModel, writes: Sequence[Write], *, event_id: int = 1, after: int | None = None
) -> int | None:
    """Write for an event of the stream ``s``, behind the one before it unless told otherwise."""
    behind = event_id - 1 if after is None else after
    return model.write(writes, projection="p", event=happened(event_id), after=behind)


def same(one: object, other: object) -> bool:
    """Return whether two values are equal and of the same types: True is no 1, and Decimal(2) no 2."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other
