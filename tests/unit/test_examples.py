"""What users copy has to run."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import eventstore
from eventstore import NewEvent
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.memory.store import MemoryEventStore

ROOT = Path(__file__).parents[2]


def printed_with(text: str) -> str:
    """Find the Python in which a text stands, in README or library.md; its store is one in memory."""
    pages = (ROOT / "README.md", ROOT / "docs" / "library.md")
    blocks = [
        block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    (code,) = (block for block in blocks if text in block)
    return code.replace('connect("prod")', 'connect("memory:")')


def test_example_of_an_aggregate_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/orders.py"), run_name="__main__")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Order(total=Decimal('12.30'), paid=True)"
    assert lines[1] == "the order was paid before"
    assert [line.split()[1:4] for line in lines[2:]] == [
        ["order-1", "1", "OrderPlaced"],
        ["order-1", "2", "OrderPaid"],
    ]


def test_example_of_a_projection_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/projection.py"), run_name="__main__")

    three = "{'order-1': Decimal('1.5'), 'order-2': Decimal('2.5'), 'order-3': Decimal('3.5')}"
    two = "{'order-1': Decimal('1.5'), 'order-3': Decimal('3.5')}"
    assert capsys.readouterr().out.splitlines() == [f"history: {three}", f"live: {two}", f"repeated: {two}"]


def test_the_pages_appends_and_reads_run(capsys: pytest.CaptureFixture[str]) -> None:
    exec(printed_with("placed = store.append"), {})

    assert capsys.readouterr().out.splitlines() == ["1 OrderPlaced {'total': 12}", "2 OrderPaid None"]


def test_the_pages_reading_of_the_log_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = eventstore.connect("memory:")
    store.append("order-1", [NewEvent.of("OrderPlaced")] * 2, expected=0)
    monkeypatch.setattr(eventstore, "connect", lambda _: store, raising=False)
    seen: dict[str, Any] = {}

    exec(printed_with("store.read_log"), seen)

    assert capsys.readouterr().out.splitlines() == ["order-1 1 OrderPlaced", "order-1 2 OrderPlaced"]
    assert seen["page"].entries == ()


def test_the_pages_consumer_runs(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    exec(printed_with("parse_published"), scope)
    (event,) = MemoryEventStore().append("order-1", [NewEvent.of("OrderPaid", 12)], expected=0).events
    entry = EntryFormat(source="shop", api_url="https://api.example.com").entry(event)
    body = json.dumps({"detail-type": "OrderPaid", "source": "shop", "detail": json.loads(entry.detail)})

    scope["handler"]({"Records": [{"body": body}, {"body": body}]}, None)

    assert capsys.readouterr().out.splitlines() == ["OrderPaid 12"]
