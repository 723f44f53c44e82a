"""Compressed payloads come back exactly, whoever wrote them; what isn't one is told and never blows up."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event
from eventstore.dynamodb import compression as module
from eventstore.dynamodb.changes import stream_records
from eventstore.dynamodb.compression import (
    Codec,
    Compression,
    NotUnpacked,
    compression_for,
    unpack,
)
from eventstore.dynamodb.items import event_from_item, item_from_event
from eventstore.errors import CompressionUnavailable, InvalidArgument, MalformedItem
from eventstore.limits import COMPRESSION_MIN_BYTES, ITEM_MAX_BYTES
from tests.unit.test_changes import one

CODECS: list[Codec] = ["zlib", "zstd"]
PAYLOAD = '{"lines":[' + ",".join(f'{{"sku":"A-{n}","name":"Größe 🙂"}}' for n in range(50)) + "]}"
texts = st.text(st.characters(exclude_categories=["Cs"]))


def event(payload: str = PAYLOAD) -> Event:
    return Event("s", 1, "Happened", payload, "{}", "u", 7)


def packed(codec: Codec, payload: str = PAYLOAD) -> bytes:
    found = Compression(codec, min_bytes=0).pack(payload)
    assert found is not None
    return found


@pytest.mark.parametrize("codec", CODECS)
@given(text=texts, times=st.integers(1, 300))
def test_a_payload_comes_back_exactly(codec: Codec, text: str, times: int) -> None:
    payload = text * times
    compressed = Compression(codec, min_bytes=0).pack(payload)

    assert compressed is None or unpack(compressed) == payload


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size_bytes", [512, 4_096, ITEM_MAX_BYTES - 128])
def test_a_payload_of_any_size_that_an_event_may_have_comes_back(codec: Codec, size_bytes: int) -> None:
    payload = "[" + "1," * (size_bytes // 2 - 2) + "1]"

    assert unpack(packed(codec, payload)) == payload


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_short_or_would_not_become_smaller_stays_as_it_is(codec: Codec) -> None:
    noise = '"' + b64encode(random.Random(7).randbytes(600)).decode()[:20] + '"'
    short = "1" * (COMPRESSION_MIN_BYTES - 1)

    assert Compression(codec).pack(short) is None
    assert Compression(codec).pack(short + "1") is not None
    assert Compression(codec, min_bytes=0).pack(noise) is None


@pytest.mark.parametrize("codec", CODECS)
def test_an_item_has_the_payload_in_one_form_and_is_read_in_either(codec: Codec) -> None:
    plain = item_from_event(event(), shard=0)
    compressed = item_from_event(event(), shard=0, compression=Compression(codec))

    assert plain.keys() - compressed.keys() == {"Payload"}
    assert compressed.keys() - plain.keys() == {"PayloadZ"}
    assert event_from_item(compressed) == event_from_item(plain) == event()


@pytest.mark.parametrize("codec", CODECS)
def test_a_record_of_the_tables_stream_has_it_in_base64(codec: Codec) -> None:
    trigger = one(Payload=None, PayloadZ={"B": b64encode(packed(codec)).decode()})

    (record,) = stream_records(trigger)

    assert isinstance(record.event, Event)
    assert record.event.payload == PAYLOAD


def _damaged() -> Iterator[Any]:
    for codec in CODECS:
        whole = packed(codec)
        yield pytest.param(whole[:-1], id=f"{codec}-cut-off")
        yield pytest.param(whole[:6], id=f"{codec}-beginning")
        yield pytest.param(whole + b"x", id=f"{codec}-appendix")
        yield pytest.param(whole + whole, id=f"{codec}-twice")
        yield pytest.param(whole[:-1] + bytes([whole[-1] ^ 1]), id=f"{codec}-checksum")
    yield pytest.param(b"", id="empty")
    yield pytest.param(b"plain", id="no-frame")
    yield pytest.param(zlib.compress(b"\xff\xfe"), id="zlib-no-utf-8")
    yield pytest.param(zstd.compress(b"\xff\xfe"), id="zstd-no-utf-8")


@pytest.mark.parametrize("value", list(_damaged()))
def test_damage_makes_an_item_malformed(value: bytes) -> None:
    with pytest.raises(NotUnpacked):
        unpack(value)
    item = item_from_event(event(), shard=0) | {"PayloadZ": {"B": value}}
    del item["Payload"]

    with pytest.raises(MalformedItem, match="PayloadZ can't be read: .*; repair or delete the item"):
        event_from_item(item)
    (record,) = stream_records(one(Payload=None, PayloadZ={"B": b64encode(value).decode()}))
    assert isinstance(record.event, MalformedItem)


@pytest.mark.parametrize("value", [{"S": "text"}, {"B": "no base64"}, {"NULL": True}])
def test_another_type_makes_an_item_malformed(value: dict[str, Any]) -> None:
    (record,) = stream_records(one(Payload=None, PayloadZ=value))

    assert isinstance(record.event, MalformedItem)


def test_an_item_without_any_payload_lacks_the_plain_one() -> None:
    item = item_from_event(event(), shard=0)
    del item["Payload"]

    with pytest.raises(MalformedItem, match="'Payload' is missing"):
        event_from_item(item)


TOO_MUCH = b"0" * (50 * 1_024 * 1_024)
A_BYTE_TOO_MANY = b"0" * (ITEM_MAX_BYTES + 1)
# One byte "0", in a frame that asks for a window of 2 ** 27 bytes to unpack it.
WIDE_WINDOW = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(27 - 10) << 3]) + b"\x09\x00\x00" + b"0"


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(zlib.compress(TOO_MUCH), id="zlib"),
        pytest.param(zstd.compress(TOO_MUCH), id="zstd"),
        pytest.param(zlib.compress(A_BYTE_TOO_MANY), id="zlib-a-byte-too-many"),
        pytest.param(zstd.compress(A_BYTE_TOO_MANY), id="zstd-a-byte-too-many"),
        pytest.param(WIDE_WINDOW, id="zstd-window-of-128-mb"),
    ],
)
def test_a_bomb_takes_no_more_memory_than_an_item(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NotUnpacked):
            unpack(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 4 * ITEM_MAX_BYTES


def test_without_zstd_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    of_zlib, of_zstd = packed("zlib"), packed("zstd")

    def missing(name: str) -> Any:
        if name.endswith("zstd"):
            raise ModuleNotFoundError(name)
        return import_module(name)

    monkeypatch.setattr(module, "import_module", missing)
    module._zstd.cache_clear()

    with pytest.raises(CompressionUnavailable, match=r"pip install 'eventstore-dynamodb\[zstd\]'"):
        Compression("zstd")
    # Not a malformed item, which would be parked or passed over: nothing is wrong with it.
    with pytest.raises(CompressionUnavailable):
        stream_records(one(Payload=None, PayloadZ={"B": b64encode(of_zstd).decode()}))
    assert unpack(of_zlib) == PAYLOAD


def test_zstd_is_that_of_python_3_14_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "import_module", lambda name: asked.append(name) or zstd)
    module._zstd.cache_clear()

    Compression("zstd")

    assert asked == ["compression.zstd"]
    module._zstd.cache_clear()


@pytest.mark.parametrize(("setting", "made"), [("none", None), ("zlib", Compression("zlib"))])
def test_a_setting_makes_a_compression(setting: str, made: Compression | None) -> None:
    assert compression_for(setting) == made


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="codec: is 'brotli'; it has to be 'zlib' or 'zstd'"):
        compression_for("brotli")
