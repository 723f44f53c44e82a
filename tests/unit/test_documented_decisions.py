"""The Python of docs/decisions.md, as it's printed, one block after the other."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventstore.memory.store import MemoryEventStore

DOCUMENT = Path(__file__).parents[2] / "docs" / "decisions.md"


def test_the_documents_python_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("document")  # where classes and their annotations are looked up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    scope: dict[str, Any] = vars(module)
    scope["store"] = MemoryEventStore()
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec", dont_inherit=True), scope)

    assert len(blocks) == 6
    assert capsys.readouterr().out.splitlines() == [
        "12.30 True 2",
        "True (OrderPaid(amount=Decimal('12.30')),)",
        "12.30",
        "8 [True, True]",
        '{"correlationId":"request-7","causationId":"pay-19"}',
    ]
    sent = scope["shipping"].names
    assert sent == ("OrderShipped", "OrderSent")
