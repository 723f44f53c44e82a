"""What a setting may be: one rule for the synth that takes a value and for the function that is given it.

A rule takes a value as `cdk.json`, `-c key=value` or an environment variable has it, and returns it checked.
It raises `WrongSetting` for any other, with words that go on after the setting's name, so that a value is
refused with the same words wherever it's read. Patterns are compiled when they are used: functions start
without those that they don't need.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from math import inf, isfinite
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

from eventstore.limits import (
    LOG_TRANCHES_MAX,
    REPLAY_TARGETS_MAX_BYTES,
    REPLAYS_AT_ONCE_MAX,
    SETTLING_MAX_S,
    SETTLING_MIN_S,
    SHARDS_MAX,
)

_Choice = TypeVar("_Choice", bound=str)

_DIGITS: Final = "[0-9]{1,15}"
_DECIMAL: Final = r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,3})?"


class WrongSetting(ValueError):
    """A value that a setting can't have; the words go on after the setting's name: "is 0; it must be ..."."""


def whole(value: object, *, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`: of a number, or of text that is ASCII digits."""
    number: int | None = None
    match value:
        case bool():
            pass
        case int():
            number = value
        case float() if value.is_integer():
            number = int(value)
        case str() if re.fullmatch(_DIGITS, value.strip()):
            number = int(value)
    if number is None or not low <= number <= high:
        raise WrongSetting(f"is {shown(value)}; it must be a whole number from {low:,} to {high:,}")
    return number


def number(value: object, *, low: float, high: float) -> float:
    """Return a number from `low` to `high`, with decimals or without: of a number, or of such text."""
    found = inf
    match value:
        case bool():
            pass
        case int() if value.bit_length() < 1_000:
            found = float(value)
        case float() if isfinite(value):
            found = value
        case str() if re.fullmatch(_DECIMAL, value.strip()):
            found = float(value)
    if not low <= found <= high:
        raise WrongSetting(f"is {shown(value)}; it must be a number from {low:,} to {high:,}")
    return round(found, 6)  # microseconds, the unit of all times here


def one_of(value: object, *, choices: Sequence[_Choice]) -> _Choice:
    """Return the one of some words that is given."""
    for choice in choices:
        if isinstance(value, str) and value.strip() == choice:
            return choice
    raise WrongSetting(f"is {shown(value)}; it must be one of: {', '.join(choices)}")


def text(value: object, *, pattern: str, what: str) -> str:
    """Return text of a pattern, without outer spaces; `what` describes it to who has to repair it."""
    found = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(pattern, found):
        raise WrongSetting(f"is {shown(value)}; it must be {what}")
    return found


def texts(value: object, *, pattern: str, what: str) -> tuple[str, ...]:
    """Return texts of a pattern, each once: of a list, or of one text with commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise WrongSetting(f"is {shown(value)}; it must be a list of texts, or text with commas")
    found = tuple(dict.fromkeys(one.strip() for one in given if one.strip()))
    for one in found:
        if not re.fullmatch(pattern, one):
            raise WrongSetting(f"has {shown(one)}; each must be {what}")
    return found


def is_environment(name: str) -> bool:
    """Return whether a text can be the name of an environment, and so of a store."""
    return bool(re.fullmatch("[A-Za-z0-9][A-Za-z0-9-]{0,63}", name))


def shown(value: object) -> str:
    """Return a value as an error shows it: as Python writes it, and cut where it's long."""
    try:
        written = repr(value)
    except ValueError:  # of an integer with thousands of digits
        return "a number of thousands of digits"
    return written if len(written) <= 300 else f"{written[:300]}..."


def as_variable(value: str | float | tuple[str, ...]) -> str:
    """Write a checked value as an environment variable, such that its rule reads the same value again."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ",".join(value)
    # Without an exponent: functions take plain digits alone.
    return repr(int(value)) if value == int(value) else format(Decimal(repr(value)), "f")


# --- replay targets ---------------------------------------------------------------------------------------

TARGET_ARN: Final = (
    "arn:(?P<partition>aws[a-z-]*):(?:"
    "sqs:(?P<queue_at>[a-z0-9-]+:[0-9]{12}):(?P<queue>[A-Za-z0-9_-]{1,80}(?:[.]fifo)?)|"
    "lambda:(?P<function_at>[a-z0-9-]+:[0-9]{12}):function:"
    "(?P<function>[A-Za-z0-9_-]{1,140}(?::[A-Za-z0-9_$-]{1,128})?)|"
    "events:(?P<bus_at>[a-z0-9-]+:[0-9]{12}):event-bus/(?P<bus>[A-Za-z0-9_./-]{1,256}))"
)
"""The ARN of a queue, a function or a bus: what a replay may be sent to."""

_ALL_TARGETS: Final = (
    "arn:aws[a-z-]*:(?:sqs:[a-z0-9-]+:[0-9]{12}:|lambda:[a-z0-9-]+:[0-9]{12}:function:|"
    "events:[a-z0-9-]+:[0-9]{12}:event-bus/)[*]"
)


def replay_targets(value: object) -> tuple[str, ...]:
    """Return the ARNs that a replay may be sent to; one that ends in `*` is all of its kind."""
    found = texts(
        value,
        pattern=f"{TARGET_ARN}|{_ALL_TARGETS}",
        what="the ARN of an SQS queue, a Lambda function or an EventBridge bus; where no data is retained, "
        "`*` in place of the name stands for all of an account and Region",
    )
    size_bytes = len(as_variable(found))
    if size_bytes > REPLAY_TARGETS_MAX_BYTES:
        room = f"a function's environment has room for {REPLAY_TARGETS_MAX_BYTES:,}"
        raise WrongSetting(f"has {size_bytes:,} bytes; {room}, so it must name fewer")
    return found


# --- what functions are given -----------------------------------------------------------------------------

shards: Final = partial(whole, low=1, high=SHARDS_MAX)
log_tranches: Final = partial(whole, low=1, high=LOG_TRANCHES_MAX)
replays_at_once: Final = partial(whole, low=1, high=REPLAYS_AT_ONCE_MAX)
settling_s: Final = partial(number, low=SETTLING_MIN_S, high=SETTLING_MAX_S)
settling_s_of_shared_clocks: Final = partial(number, low=0, high=SETTLING_MAX_S)
put_events_max_bytes: Final = partial(whole, low=16 * 1_024, high=1_024 * 1_024)
event_source: Final = partial(
    text,
    pattern=r"(?!aws[.])[/.\-_A-Za-z0-9]{1,256}",
    what="1-256 letters, digits or ./-_ that don't begin with 'aws.', which is EventBridge's own",
)


def clocks(value: object) -> Literal["checked", "shared"]:
    """Return whether the functions compare their clock with DynamoDB's."""
    choices: tuple[Literal["checked", "shared"], ...] = ("checked", "shared")
    return one_of(value, choices=choices)


def compression(value: object) -> Literal["none", "zlib", "zstd"]:
    """Return how payloads are stored."""
    choices: tuple[Literal["none", "zlib", "zstd"], ...] = ("none", "zlib", "zstd")
    return one_of(value, choices=choices)


def partial_batch(value: object) -> Literal["report", "raise"]:
    """Return what a function of the table's stream does about records that it could not take."""
    choices: tuple[Literal["report", "raise"], ...] = ("report", "raise")
    return one_of(value, choices=choices)


def is_url(text: str) -> bool:
    """Return whether a text is an address that something can be reached at by HTTP."""
    try:
        address = urlsplit(text)
        is_whole = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:  # its port isn't a number
        return False
    return is_whole and text.isprintable() and " " not in text
