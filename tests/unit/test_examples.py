"""What users copy has to run."""

import re
import runpy
from pathlib import Path

import pytest

from eventstore.adapters.memory import MemoryEventStore

ROOT = Path(__file__).parents[2]


def test_example_of_an_aggregate_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/orders.py"), run_name="__main__")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Order(total=Decimal('12.30'), paid=True)"
    assert lines[1] == "the order was paid before"
    assert [line.split()[1:4] for line in lines[2:]] == [
        ["order-1", "1", "OrderPlaced"],
        ["order-1", "2", "OrderPaid"],
    ]


def test_the_readmes_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the client is another one: the store in memory keeps the same contract."""
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "DynamoDBEventStore(" in block
    )
    code, replaced = re.subn(
        r"DynamoDBEventStore\(\n.*?\n\)", "MemoryEventStore(settling_s=0)", code, flags=re.DOTALL
    )
    assert replaced == 1

    exec(code, {"MemoryEventStore": MemoryEventStore})

    assert capsys.readouterr().out.splitlines() == ["1 OrderPlaced {'total': 12}", "2 OrderPaid None"]
