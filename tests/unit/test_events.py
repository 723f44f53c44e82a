import dataclasses
import json
import pickle
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, NewEvent
from eventstore._json import check_json
from eventstore.errors import InvalidEventName, InvalidEventUid, InvalidJson
from eventstore.events import EventSlots

LONE = "lone surrogate"
UID = "01890a5d-ac96-774b-bcce-b302099a8057"
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
        ("9" * 1_001, "1,001 characters"),
        ("[-0." + "1" * 10_000 + "]", "10,003 characters"),
        ('{"a": "9", "n": ' + "9" * 4_301 + "}", "4,301 characters"),
        ("1e400", "beyond a double"),
        ("[-1.5E+309]", "beyond a double"),
        ("1" + "0" * 309, "beyond a double"),
        ("9" * 210 + "e99", "beyond a double"),
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
        "0." + "1" * 998,
        "1" + "0" * 308,
        "1.7976931348623157e308",
        "1e-400",
        '"' + "9" * 10_000 + '1e400"',
        '{"' + "9" * 10_000 + '": "\\"1e400"}',
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


# Cut off, and long enough that a check which goes back for each quotation mark would take days for them.
@pytest.mark.parametrize("end", ["", "\\", '",', "["])
@pytest.mark.parametrize("begin", ['"', "[" * 101 + '"', '{"a":"'])
def test_text_of_escapes_that_is_cut_off_is_refused_in_one_pass(begin: str, end: str) -> None:
    with pytest.raises(InvalidJson):
        check_json(begin + '\\"' * 2_000_000 + end, field="payload")


@pytest.mark.parametrize("metadata", ['{"a":1,"a":1}', '{"a":{},"b":1,"\\u0061":2}'])
def test_name_twice_in_metadata_is_refused(metadata: str) -> None:
    with pytest.raises(InvalidJson, match="has the name 'a' 2 times"):
        NewEvent(name="Happened", metadata=metadata)


def test_what_an_earlier_version_has_stored_stays_readable() -> None:
    check_json("1e400", field="payload", stored=True)
    check_json('{"a":1,"a":' + "9" * 5_000 + "}", field="metadata", only_object=True, stored=True)
    with pytest.raises(InvalidJson):
        check_json("NaN", field="payload", stored=True)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "1",
        "01890a5d-ac96-774b-bcce-b302099a805",
        "g" * 32,
        7,
        b"01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "+1890a5d-ac96-774b-bcce-b302099a8057",
        "0189_a5d-ac96-774b-bcce-b302099a8057",
        "01890a5-dac96-774b-bcce-b302099a8057",
        " 01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
        "\u0660\u0661890a5d-ac96-774b-bcce-b302099a8057",
        "\uff10\uff11890a5d-ac96-774b-bcce-b302099a8057",
    ],
)
def test_uid_has_to_be_a_uuid_as_rfc_9562_writes_it(uid: str) -> None:
    with pytest.raises(InvalidEventUid):
        NewEvent(name="Happened", uid=uid)


@pytest.mark.parametrize("uid", [UID.upper(), UUID(UID)])
def test_uid_in_capitals_and_uid_object_are_taken_as_the_same(uid: object) -> None:
    assert NewEvent.of("Happened", uid=uid).uid == UID  # type: ignore[arg-type]
    assert NewEvent(name="Happened", uid=uid).uid == UID  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1: 1, "1": 2}, "1"),
        ({None: 1, "null": 2}, "null"),
        ({True: 1, "true": 2}, "true"),
        ({False: 1, "false": 2}, "false"),
        ({1.5: 1, "1.5": 2}, "1.5"),
        ([{"deep": {"a": [{2: 1, "2": 2}]}}], "2"),
    ],
)
def test_keys_of_which_json_makes_one_name_are_refused(value: object, name: str) -> None:
    with pytest.raises(InvalidJson, match=f"payload: .* 2 keys that JSON writes as '{name}'"):
        NewEvent.of("A", value)
    with pytest.raises(InvalidJson, match=f"metadata: .* 2 keys that JSON writes as '{name}'"):
        NewEvent.of("A", metadata={"of": value})


def test_keys_that_stay_apart_as_json_are_taken() -> None:
    assert json.loads(NewEvent.of("A", {1: 1, "01": 2, None: 3}).payload) == {"1": 1, "01": 2, "null": 3}


@pytest.mark.parametrize("metadata", [[], 0, "", False, [1]])
def test_metadata_of_plain_values_has_to_be_a_dict(metadata: Any) -> None:
    with pytest.raises(InvalidJson, match="metadata: has to be a JSON object"):
        NewEvent.of("A", metadata=metadata)


def test_metadata_is_parsed_like_the_payload() -> None:
    event = Event("s", 1, "E", "null", '{"correlationId":"c","n":1}', "uid", 1)
    assert event.metadata_data() == {"correlationId": "c", "n": 1}
    assert Event("s", 1, "E", "null", "{}", "uid", 1).metadata_data() == {}
