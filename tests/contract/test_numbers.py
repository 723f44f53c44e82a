"""Whole numbers of items: one form is read, and what is wrong with any other is told."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.dynamodb.numbers import NotWhole, whole


@pytest.mark.parametrize("number", ["0", "7", "123456789012345678"])
def test_whole_number_is_read_as_it_is_stored(number: str) -> None:
    assert whole({"Count": {"N": number}}, "Count") == int(number)


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        (None, "Count is missing or no number"),
        ({"S": "1"}, "Count is missing or no number"),
        ({"NULL": True}, "Count is missing or no number"),
        *[({"N": text}, f"Count is {text}; it has to be a whole number from 1 to 1,000")
          for text in ("1.5", "-1", "0", "1001", "01", "+1", "1E+2", "1_0", "\u0661", " 1", "1" + "0" * 18)],
    ],
)  # fmt: skip
def test_number_of_another_form_or_size_is_told(attribute: Any, told: str) -> None:
    with pytest.raises(NotWhole) as caught:
        whole({"Count": attribute} if attribute else {}, "Count", low=1, high=1_000)

    assert str(caught.value) == told
