"""What users copy has to run."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from eventstore import NewEvent
from eventstore.adapters.memory import MemoryEventStore
from eventstore.adapters.memory_log import MemoryEventLog
from eventstore.cloudevents import EntryFormat

ROOT = Path(__file__).parents[2]


def readme_with(maker: str, *, replacement: str) -> str:
    """Find the README's Python in which a maker stands, with another one in its place."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if f"{maker}(" in block)
    code, replaced = re.subn(rf"{maker}\((?:\n(?s:.*?)\n|.*)\)", replacement, code)
    assert replaced == 1
    return code


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

    three = "{'order-1': Decimal('1.50'), 'order-2': Decimal('2.50'), 'order-3': Decimal('3.50')}"
    two = "{'order-1': Decimal('1.50'), 'order-3': Decimal('3.50')}"
    assert capsys.readouterr().out.splitlines() == [f"history: {three}", f"live: {two}", f"repeated: {two}"]


def test_the_readmes_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the client is another one: the store in memory keeps the same contract."""
    code = readme_with("DynamoDBEventStore", replacement="MemoryEventStore(settling_s=0)")

    exec(code, {"MemoryEventStore": MemoryEventStore})

    assert capsys.readouterr().out.splitlines() == ["1 OrderPlaced {'total': 12}", "2 OrderPaid None"]


def test_the_readmes_reading_of_the_log_runs(capsys: pytest.CaptureFixture[str]) -> None:
    log = MemoryEventLog()
    MemoryEventStore(log=log).append("order-1", [NewEvent.of("OrderPlaced")] * 2, expected=0)
    seen: dict[str, object] = {"filled": log}

    exec(readme_with("DynamoDBEventLog", replacement="filled"), seen)

    assert capsys.readouterr().out.splitlines() == ["order-1 1 OrderPlaced", "order-1 2 OrderPlaced"]
    assert seen["page"].entries == ()


def test_the_readmes_consumer_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "parse_published" in block
    )
    scope: dict[str, Any] = {}
    exec(code, scope)
    (event,) = MemoryEventStore().append("order-1", [NewEvent.of("OrderPaid", 12)], expected=0).events
    entry = EntryFormat(source="shop", api_url="https://api.example.com").entry(event)
    body = json.dumps({"detail-type": "OrderPaid", "source": "shop", "detail": json.loads(entry.detail)})

    scope["handler"]({"Records": [{"body": body}, {"body": body}]}, None)

    assert capsys.readouterr().out.splitlines() == ["OrderPaid 12"]
