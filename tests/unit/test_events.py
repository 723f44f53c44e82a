import dataclasses
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, InvalidEventName, InvalidEventUid, InvalidJson, NewEvent
from eventstore.events import EventSlots
from eventstore.json_text import check_json

LONE = "lone surrogate"
texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "\x7f", "half-\ud800"])
def test_unfit_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidEventName):
        NewEvent(name=name)


@pytest.mark.parametrize("name", ["A", "x" * 256, "Größe geändert", "🙂" * 256])
def test_fit_names_are_kept(name: str) -> None:
    assert NewEvent(name=name).name == name


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ("[1,]", "is not JSON"),
        ("01", "is not JSON"),
        ('"\\x"', "is not JSON"),
        ('"tab\t"', "is not JSON"),
        ("1 2", "is not JSON"),
        ("NaN", "NaN"),
        ('{"a": [Infinity]}', "Infinity"),
        ("-Infinity", "Infinity"),
        ('"\ud800"', LONE),
        ('"\\ud800"', LONE),
        ('"\\udc00"', LONE),
        ('"\\ud800\\ud800\\udc00"', LONE),
        ('"\\ud800x\\udc00"', LONE),
        ('"\\ud800\\n"', LONE),
        ('{"\\uDBFF": 1}', LONE),
        ("[" * 101 + "]" * 101, "deeper than 100"),
        ('{"a":' * 101 + "1" + "}" * 101, "deeper than 100"),
        ("[" * 1_000_000, "deeper than 100"),
    ],
)
def test_payload_that_is_not_json_for_everyone_is_refused(payload: str, says: str) -> None:
    with pytest.raises(InvalidJson, match=says) as caught:
        NewEvent(name="Happened", payload=payload)
    assert caught.value.field == "payload"


@pytest.mark.parametrize(
    "payload",
    [
        "null",
        " [ 1 , 2 ] ",
        "123456789012345678901234567890123456789012",
        "0." + "1" * 10_000,
        "9" * 10_000,
        "1e400",
        '"\\ud83d\\ude42 \\\\ud800 \\u00fc 🙂"',
        "[" * 100 + "]" * 100,
        "[" + ",".join(["[]"] * 500) + "]",
        '"' + "[" * 500 + '"',
        '"\\"' + "[" * 500 + '"',
    ],
)
def test_payload_is_kept_exactly(payload: str) -> None:
    assert NewEvent(name="Happened", payload=payload).payload == payload


@pytest.mark.parametrize("metadata", ["null", "[]", '"x"', "{", "1"])
def test_metadata_has_to_be_an_object(metadata: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        NewEvent(name="Happened", metadata=metadata)
    assert caught.value.field == "metadata"


@pytest.mark.parametrize("uid", ["", "1", "01890a5d-ac96-774b-bcce-b302099a805", "g" * 32, 7])
def test_uid_has_to_be_a_uuid(uid: str) -> None:
    with pytest.raises(InvalidEventUid):
        NewEvent(name="Happened", uid=uid)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"x", {"a": object()}])
def test_values_that_json_does_not_know_are_refused(value: object) -> None:
    with pytest.raises(InvalidJson):
        NewEvent.of("Happened", value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda c: st.lists(c) | st.dictionaries(texts, c),
    )
)
def test_payload_of_plain_values_is_read_back_as_them(value: object) -> None:
    event = NewEvent.of("Happened", value)

    assert Event("s", 1, event.name, event.payload, event.metadata, "", 0).data() == value


@given(st.text(alphabet='{}[]",:\\ud8cC0 1eE.-+nulNa\n', max_size=30))
def test_check_agrees_with_the_parser_and_with_utf_8(text: str) -> None:
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        with pytest.raises(InvalidJson):
            check_json(text, field="payload")
    else:
        assert check_json(text, field="payload") == len(text.encode())


def _refuse(name: str) -> None:
    raise ValueError(name)


def test_an_event_made_of_slots_is_one_like_any_other() -> None:
    made = Event("s", 1, "Happened", "null", "{}", "u", 7)
    slots = EventSlots()
    for field in dataclasses.fields(Event):
        setattr(slots, field.name, getattr(made, field.name))

    event = slots.freeze()

    assert type(event) is Event
    assert event == made
    assert hash(event) == hash(made)
    assert repr(event) == repr(made)
    assert pickle.loads(pickle.dumps(event)) == made
    assert dataclasses.replace(event, event_id=2) == dataclasses.replace(made, event_id=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.payload = "1"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        slots.payload = "1"
