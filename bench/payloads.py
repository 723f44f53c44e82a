"""Payloads of an exact size that look like an order, the same in every run."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Final

SMALL_BYTES: Final = 70
KB_BYTES: Final = 870
LARGE_BYTES: Final = 10_100

ITEM_SIZES: Final = {"200 B": SMALL_BYTES, "1 KB": KB_BYTES, "10 KB": LARGE_BYTES}
"""Payloads that make this library's items about so large: their other attributes are some 130 bytes."""

_WORDS: Final = (
    "oak",
    "table",
    "lamp",
    "chair",
    "brass",
    "linen",
    "small",
    "large",
    "blue",
    "grey",
    "express",
    "gift",
)


@cache
def payload(size_bytes: int, *, seed: int = 1) -> str:
    """Make JSON text of exactly `size_bytes` (at least 60) bytes: an order with as many lines as fit."""
    random_ = random.Random(seed * 1_000_003 + size_bytes)
    order = {"orderId": f"{random_.getrandbits(48):012x}", "currency": "EUR", "lines": []}
    lines: list[dict[str, object]] = []
    missing = size_bytes - len(_text({**order, "note": ""}))
    while True:
        line: dict[str, object] = {
            "sku": f"{random_.choice(_WORDS)}-{random_.randrange(10_000):04d}",
            "name": " ".join(random_.choices(_WORDS, k=3)),
            "quantity": random_.randrange(1, 9),
            "price": f"{random_.randrange(1, 50_000) / 100:.2f}",
        }
        line_bytes = len(_text(line)) + (1 if lines else 0)
        if line_bytes > missing:
            break
        lines.append(line)
        missing -= line_bytes
    note = (" ".join(random_.choices(_WORDS, k=missing // 3 + 1)) + " ")[:missing] if missing else ""
    return _text({**order, "lines": lines, "note": note.ljust(missing, ".")})


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
