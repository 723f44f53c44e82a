"""What synth takes, functions take too; what is refused is refused with the same words in both places."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

import settings as functions
from eventstore._setting_rules import WrongSetting, as_variable, replay_targets
from eventstore.errors import InvalidReplay
from eventstore.limits import CLOCK_TOLERANCE_S
from eventstore.replays.request import Target
from infra.settings import Settings, SettingsError
from tests.infra.conftest import ROOT, context

CLASSES = (
    functions.AppendSettings,
    functions.ReadSettings,
    functions.PublishSettings,
    functions.LogSettings,
    functions.ReplaySettings,
    functions.ReplaysSettings,
    functions.ParkedSettings,
)

FILLED = {
    "API_URL": "https://api.example.com",
    "EVENTS_TABLE": "events",
    "EVENT_BUS": "bus",
    "FAILED_EVENTS_QUEUE_URL": "https://sqs.example.com/1/failed",
    "JOURNAL_TABLE": "journal",
    "LOG_TABLE": "log",
    "LOG_TRANCHES": "4",
    "REPLAYS_TABLE": "replays",
    "REPLAY_MACHINE": "machine",
    "SUBSCRIPTIONS_TABLE": "subscriptions",
    "WRITE_SHARDS": "3",
}
RESOURCES = {
    *("API_URL", "EVENTS_TABLE", "EVENT_BUS", "FAILED_EVENTS_QUEUE_URL", "LOG_TABLE", "REPLAYS_TABLE"),
    *("JOURNAL_TABLE", "REPLAY_MACHINE", "SUBSCRIPTIONS_TABLE"),
}
"""Variables that name resources of the stacks: no setting."""

VARIABLES = {
    "CLOCKS": lambda of: CLOCK_TOLERANCE_S if of.clocks == "checked" else None,
    "COMPRESSION": lambda of: of.compression,
    "EVENT_SOURCE": lambda of: of.publication.event_source,
    "LOG_TRANCHES": lambda of: of.log.tranches,
    "PARTIAL_BATCH": lambda of: of.publication.partial_batch == "raise",
    "PUT_EVENTS_MAX_BYTES": lambda of: of.publication.put_events_max_bytes,
    "REPLAYS_AT_ONCE": lambda of: of.replays_at_once,
    "REPLAY_TARGETS": lambda of: of.replay_targets,
    "SETTLING_S": lambda of: of.settling_s,
    "WRITE_SHARDS": lambda of: of.write_shards,
}
FIELDS = {
    "CLOCKS": "clock_tolerance_s",
    "PARTIAL_BATCH": "raises_when_stopped",
    "REPLAY_TARGETS": "allowed_targets",
}

ARNS = st.sampled_from(
    (
        *("arn:aws:sqs:eu-central-1:123456789012:rebuild", "arn:aws:sqs:eu-central-1:123456789012:*"),
        *(
            "arn:aws:lambda:eu-central-1:123456789012:function:f:live",
            f"arn:aws:sqs:r:1{'2' * 11}:{'q' * 81}",
        ),
        *("arn:aws-cn:events:cn-north-1:123456789012:event-bus/a/b", "arn:aws:events:r:1:event-bus/*"),
        *("arn:aws:lambda:r:123456789012:function:*", "arn:aws:sqs:r:123456789012:q*", "*"),
    )
)
WORDS = st.sampled_from(
    (
        "none",
        "zlib",
        "zstd",
        "checked",
        "shared",
        "report",
        "raise",
        " raise ",
        "aws.a",
        "shop",
        "https://shop.example/",
        "a" * 257,
    )
)
NUMBERS = st.integers(-1, 1_100_000) | st.floats() | st.sampled_from((0.1, 1e-7, 3_599.9999, 3_600.0001))
TEXTS = (
    st.text(max_size=12)
    | WORDS
    | ARNS
    | st.lists(ARNS, max_size=80).map(",".join)
    | NUMBERS.map(repr)
    | st.from_regex(r"[+-]?[0-9_]{1,6}(\.[0-9]{1,3})?(e[0-9])?", fullmatch=True)
)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none() | st.lists(ARNS | st.integers(), max_size=3)


def key_of(variable: str) -> str:
    """The name of a setting in cdk.json: EVENT_SOURCE is eventSource."""
    first, *others = variable.lower().split("_")
    return first + "".join(other.capitalize() for other in others)


def synthesized(variable: str, value: object) -> Settings:
    overrides: dict[str, object] = {"environment": "local", "writeShards": 1, key_of(variable): value}
    return Settings.from_context(context(**overrides))


def variables_of(cls: type[functions._Settings]) -> Iterator[str]:
    class Environ(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.append(name)
            return super().get(name, default)

    read: list[str] = []
    cls.from_environ(Environ(FILLED))
    yield from read


READERS = {
    variable: [cls for cls in CLASSES if variable in variables_of(cls)] for variable in sorted(VARIABLES)
}


def read_by(cls: type[functions._Settings], variable: str, text: str) -> object:
    """What a function makes of a variable."""
    found = cls.from_environ(FILLED | {variable: text})
    return getattr(found, FIELDS.get(variable, variable.lower()))


def test_every_variable_of_a_function_is_a_resource_or_tested_here() -> None:
    assert {name for cls in CLASSES for name in variables_of(cls)} == RESOURCES | VARIABLES.keys()
    assert all(READERS.values())
    assert {field.name for cls in CLASSES for field in fields(cls)} == functions._VARIABLES.keys()


@pytest.mark.parametrize("variable", READERS)
@of_hypothesis(deadline=None)
@given(value=VALUES)
@example(value="https://shop.example/")
@example(value="10.0000001")
@example(value=1e-05)
@example(value="arn:aws:sqs:eu-central-1:123456789012:" + "q" * 81)
def test_what_synth_takes_each_function_takes_and_as_the_same_value(variable: str, value: object) -> None:
    try:
        settings = synthesized(variable, value)
    except SettingsError:
        return
    variables = settings.variables(variable)
    if not variables:
        assert (variable, value) == ("LOG_TRANCHES", None)  # not set, so the log says it
        return
    text = variables[variable]
    expected = VARIABLES[variable](settings)
    for cls in READERS[variable]:
        assert read_by(cls, variable, text) == expected


@pytest.mark.parametrize("variable", READERS)
@of_hypothesis(deadline=None)
@given(text=TEXTS)
@example(text="https://shop.example/")
@example(text="1e1")
def test_what_is_refused_is_refused_with_the_same_words(variable: str, text: str) -> None:
    assume(text.strip())  # a blank variable is one that isn't set
    for cls in READERS[variable]:
        try:
            read_by(cls, variable, text)
        except functions.InvalidSettings as refused:
            (fault,) = refused.faults
            name, _, why = fault.partition(" ")
            assert name == variable
            with pytest.raises(SettingsError) as caught:
                synthesized(variable, text)
            assert f"Setting {key_of(variable)} of environment 'local' {why}. Set it" in str(caught.value)
        else:
            synthesized(variable, text)


JSON_VALUES = st.recursive(
    VALUES, lambda of: st.lists(of, max_size=2) | st.dictionaries(st.text(max_size=3), of, max_size=2)
)
OPTIONAL = (
    *("writeShards", "jwtIssuer", "jwtAudience", "jwtScopesRead", "jwtScopesAppend", "jwtScopesReplay"),
    *("corsHeaders", "corsMethods", "alarmEmail", "alarmTopicArn", "readShards", "logTranches"),
)
KEYS = sorted(
    {*json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]["environments"]["dev"], *OPTIONAL}
)


@of_hypothesis(deadline=None)
@given(key=st.sampled_from(KEYS), value=JSON_VALUES | st.integers())
@example(key="averageItemKb", value=10**400)
@example(key="eventsPerSecond", value=10**5_000)
@example(key="jwtIssuer", value=["https://id.example.com/"])
def test_any_value_of_any_setting_is_taken_or_refused_by_name(key: str, value: object) -> None:
    words = "is taken"
    try:
        Settings.from_context(context(environment="local", **{key: value}))
    except SettingsError as refused:
        words = str(refused)
    assert re.match(r"is taken$|Setting \w+ of environment 'local' .* in cdk\.json", words, re.DOTALL)


@of_hypothesis(deadline=None)
@given(arn=ARNS | st.text(max_size=20))
def test_a_target_that_a_setting_names_can_be_asked_for(arn: str) -> None:
    """One pattern: what the deployment allows by name, POST /replays takes."""
    try:
        named = replay_targets([arn])
    except WrongSetting:
        with pytest.raises(InvalidReplay):
            Target.parse(arn.strip())
        return
    for one in named:
        if "*" not in one:
            assert Target.parse(one).arn == one


def test_more_targets_than_an_environment_holds_are_refused() -> None:
    """Lambda takes 4 KB of variables; a deployment would fail long after synth."""
    arns = [f"arn:aws:sqs:eu-central-1:123456789012:{number:064}" for number in range(32)]
    with pytest.raises(WrongSetting, match=r"has 3,\d{3} bytes; .* room for 3,072"):
        replay_targets(arns)
    assert as_variable(replay_targets(arns[:29])) == ",".join(arns[:29])


def test_what_lambda_says_of_faults_names_each_variable() -> None:
    given_: Mapping[str, str] = {"EVENTS_TABLE": "two words", "WRITE_SHARDS": "0", "COMPRESSION": "lzma"}
    read: Callable[[Mapping[str, str]], object] = functions.AppendSettings.from_environ
    with pytest.raises(functions.InvalidSettings) as caught:
        read(given_)
    assert [fault.partition(" ")[0] for fault in caught.value.faults] == [
        "EVENTS_TABLE",
        "WRITE_SHARDS",
        "COMPRESSION",
    ]
