"""What compressing payloads saves and costs: bytes, capacity units and CPU, for JSON of several sizes.

    PYTHONPATH=. python bench/profile_compression.py [a file of events: a JSON object with `payload` a line]

Bytes and units are exact (one seed); times are the machine's, to be compared with each other.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean

from eventstore.dynamodb.compression import Compression, unpack
from eventstore.dynamodb.items import item_from_event
from eventstore.events import Event

SEED = 20_261_124
DOCUMENTS = 60
ROUNDS = 9
SIZES_BYTES = (1_024, 4_096, 20_480)
COMPRESSIONS = {"none": None, "zlib": Compression("zlib"), "zstd": Compression("zstd")}

_WORDS = [
    "order",
    "customer",
    "shipment",
    "delivered",
    "pending",
    "review",
    "approved",
    "by",
    "the",
    "warehouse",
    "because",
    "of",
    "missing",
    "papers",
    "please",
    "contact",
    "support",
    "before",
    "friday",
    "invoice",
    "amount",
    "changed",
]


@dataclass(frozen=True, slots=True)
class Row:
    """Payloads of one kind, stored one way; means over all of them."""

    payloads: str
    payload_bytes: float
    codec: str
    item_bytes: float
    write_units: float
    """Of one append of one event: the table's, and the index's as many again."""
    read_units_of_100: float
    """Of loading 100 events, strongly consistent; eventually consistent and from the index half of it."""
    compress_us: float
    decompress_us: float


def compression_table(events_file: Path | None = None) -> list[Row]:
    """Measure orders of 1, 4 and 20 KB, and a file's payloads: alone, and in batches of such sizes."""
    kinds = {f"orders, {size // 1_024} KB": _orders(size) for size in SIZES_BYTES}
    if events_file:
        with events_file.open(encoding="utf-8") as lines:
            payloads = [_text(json.loads(line)["payload"]) for line in lines]
        kinds[f"{events_file.stem}, one"] = payloads[: 10 * DOCUMENTS]
        for size in SIZES_BYTES:
            each = ceil(size / fmean(map(len, payloads)))
            batches = [payloads[at : at + each] for at in range(0, DOCUMENTS * each, each)]
            kinds[f"{events_file.stem}, {each}"] = ["[" + ",".join(batch) + "]" for batch in batches if batch]
    return [
        _row(kind, payloads, codec, compression)
        for kind, payloads in kinds.items()
        for codec, compression in COMPRESSIONS.items()
    ]


def _row(kind: str, payloads: Sequence[str], codec: str, compression: Compression | None) -> Row:
    sizes = [_item_bytes(payload, compression) for payload in payloads]
    packed = [compression.pack(payload) for payload in payloads] if compression else []
    packed_only = [one for one in packed if one is not None]
    return Row(
        payloads=kind,
        payload_bytes=fmean(len(payload.encode()) for payload in payloads),
        codec=codec,
        item_bytes=fmean(sizes),
        write_units=fmean(ceil(size / 1_024) for size in sizes),
        read_units_of_100=ceil(100 * fmean(sizes) / 4_096),
        compress_us=_cpu_us(compression.pack, payloads) if compression else 0.0,
        decompress_us=_cpu_us(unpack, packed_only) if packed_only else 0.0,
    )


def _item_bytes(payload: str, compression: Compression | None) -> int:
    event = Event(
        "order-4711", 12, "OrderPlaced", payload, '{"correlationId":"c-1"}', "u" * 36, 1_763_980_800_000_000
    )
    item = item_from_event(event, shard=7, compression=compression)
    return sum(len(name) + _size_bytes(*value.popitem()) for name, value in item.items())


def _size_bytes(kind: str, value: str | bytes) -> int:
    if isinstance(value, bytes):
        return len(value)
    # A number takes a byte for two digits, and one more.
    return ceil(len(value) / 2) + 1 if kind == "N" else len(value.encode())


def _cpu_us(work: Callable[..., object], values: Sequence[object]) -> float:
    best_ns = min(_round_ns(work, values) for _ in range(ROUNDS))
    return best_ns / len(values) / 1_000


def _round_ns(work: Callable[..., object], values: Sequence[object]) -> int:
    begun_ns = time.process_time_ns()
    for value in values:
        work(value)
    return time.process_time_ns() - begun_ns


def _orders(size_bytes: int) -> list[str]:
    chance = random.Random(SEED)
    return [_order(size_bytes, chance) for _ in range(DOCUMENTS)]


def _order(size_bytes: int, chance: random.Random) -> str:
    order = {
        "orderId": f"{chance.getrandbits(128):032x}",
        "customer": {
            "id": f"{chance.getrandbits(48):012x}",
            "name": chance.choice(["Anna Müller", "Jan de Vries", "Zoë Brown"]),
            "email": f"user{chance.randrange(10**6)}@example.com",
        },
        "placedAt": f"2026-11-24T{chance.randrange(24):02}:15:07.{chance.randrange(10**6):06}Z",
        "currency": "EUR",
    }
    lines: list[object] = []
    while len(_text({**order, "lines": lines}).encode()) < size_bytes:
        lines.append(
            {
                "sku": f"SKU-{chance.randrange(10**8):08}",
                "name": " ".join(chance.choices(_WORDS, k=3)),
                "quantity": chance.randrange(1, 9),
                "unitPrice": f"{chance.randrange(500)}.{chance.randrange(100):02}",
                "taxRate": chance.choice([7, 19]),
                "note": None if chance.random() < 0.6 else " ".join(chance.choices(_WORDS, k=8)),
            }
        )
    return _text({**order, "lines": lines})


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(arguments: Sequence[str]) -> None:
    """Print the table as Markdown."""
    print("| payloads | bytes | stored | item, bytes | WCU | RCU of 100 | compress, µs | decompress, µs |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for row in compression_table(Path(arguments[0]) if arguments else None):
        print(
            f"| {row.payloads} | {row.payload_bytes:,.0f} | {row.codec} | {row.item_bytes:,.0f} "
            f"| {row.write_units:.2f} | {row.read_units_of_100:.0f} "
            f"| {row.compress_us:.0f} | {row.decompress_us:.0f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
