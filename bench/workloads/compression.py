"""Compressed payloads: their gain in capacity units, counted on the engine, and their cost in CPU."""

from __future__ import annotations

from typing import Any, Final

from bench.candidates import table_of
from bench.floor import events_table_keys
from bench.meter import Meter
from bench.ours import Ours
from bench.payloads import payload
from bench.rounds import Work, cpu_s, summary, take_turns
from bench.sizes import Scale
from bench.wire import Wire, repeated
from eventstore.dynamodb.compression import Compression

_SIZES: Final = {"1 KB": 870, "4 KB": 3_960, "20 KB": 20_340}
PLAIN: Final = "none"
_CODECS: Final = {PLAIN: None, "zlib": Compression("zlib"), "zstd": Compression("zstd")}


def compression(meter: Meter, scale: Scale) -> dict[str, Any]:
    """Append and load events of several sizes, stored each way; ratios of CPU to storing them plain.

    Returns for each size and codec: the units of an append (table and index), those of a load for each event,
    and the CPU of append and load.
    """
    return {size: _of_size(_SIZES[size], meter, scale) for size in scale.compressed_sizes}


def _of_size(payload_bytes: int, meter: Meter, scale: Scale) -> dict[str, Any]:
    # Other texts in each event: a codec that sees one text again and again would shine too much.
    texts = [payload(payload_bytes, seed=seed) for seed in range(scale.compressed_events)]
    appends: dict[str, Work] = {}
    loads: dict[str, Work] = {}
    exact: dict[str, Any] = {}
    for codec, setting in _CODECS.items():
        with table_of(meter.endpoint, **events_table_keys("compressed-events")) as table:
            ours = Ours(meter.endpoint, table, compression=setting)
            wire = Wire(ours.client)
            exact[codec], recorded = _counted(ours, wire, texts, meter)
        wire.serve(repeated(recorded))
        appends[codec] = _appending(ours, wire, texts)
        loads[codec] = _loading(ours, wire)
    per = dict.fromkeys(_CODECS, float(len(texts)))
    return {
        "exact": exact,
        "append": summary(take_turns(appends, rounds=scale.rounds), base=PLAIN, per=per),
        "load": summary(take_turns(loads, rounds=scale.rounds), base=PLAIN, per=per),
    }


def _counted(ours: Ours, wire: Wire, texts: list[str], meter: Meter) -> tuple[dict[str, float], Any]:
    def append() -> None:
        for version, text in enumerate(texts):
            ours.append("order-1", [text], after=version)

    meter.reset()
    appended = wire.record(append)
    written = (meter.usage.write_units + meter.usage.index_write_units) / len(texts)
    meter.reset()
    loaded = wire.record(lambda: ours.load("order-1"))
    read = meter.usage.read_units / len(texts)
    return {"write_units": round(written, 3), "read_units": round(read, 3)}, {**appended, **loaded}


def _appending(ours: Ours, wire: Wire, texts: list[str]) -> Work:
    def append() -> None:
        for text in texts:
            ours.append("order-2", [text], after=0)

    return lambda: cpu_s(append, wire)


def _loading(ours: Ours, wire: Wire) -> Work:
    return lambda: cpu_s(lambda: ours.load("order-1"), wire)
