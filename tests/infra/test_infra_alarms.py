"""Each alarm as it's synthesized, evaluated as CloudWatch does: what rings it, and what doesn't."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match

from infra.constructs.alarms import UNHEARD
from tests.infra.cloudwatch import (
    CLOCKWORKS,
    Clockwork,
    History,
    Series,
    State,
    evaluate,
    next_state,
    states,
    stats_of,
)
from tests.infra.conftest import Synthesized

Values = Mapping[int, float]
Case = Mapping[str, Values]

AT = 15
"""The minute in which the trouble of a case begins, with quiet before and behind it."""
MINUTES = 65
LATE_MIN = (0, 1, 3)
ALWAYS = range(MINUTES)


def once(value: float, *, at: int = AT) -> Values:
    return {at: value}


def during(minutes: int, value: float, *, at: int = AT, otherwise: float = 0) -> Values:
    return {minute: value if at <= minute < at + minutes else otherwise for minute in ALWAYS}


def each_minute(value: float) -> Values:
    return dict.fromkeys(ALWAYS, value)


FUNCTIONS = (
    *("Append", "Read", "PublicationPublisher", "LogLogWriter", "ReplaysStep", "ReplaysOperations"),
    "ParkedEventsCounter",
)
QUEUES = ("PublicationFailedEvents", "PublicationDroppedBatches", "LogDroppedBatches")
DEPTH = "ApproximateNumberOfMessagesVisible"
HANDLED = {"Publication": ("published", "parked"), "Log": ("logged", "passedOver")}
"""By consumer of the table's stream: what it counts itself of the events that it's done with."""

RINGS: dict[str, list[Case]] = {
    "EventsThrottled": [
        {"indexReads": once(12)},
        {"reads": once(5), "indexWrites": once(5)},
        {"writes": once(12), "reads": each_minute(0)},
    ],
    "SubscriptionsThrottled": [{"reads": once(10)}, {"indexWrites": once(4), "writes": once(6)}],
    **{
        f"{table}Throttled": [{"reads": once(10)}, {"reads": once(4), "writes": once(6)}]
        for table in ("Log", "Replays", "Journal")
    },
    **{f"{of}Errors": [{"Errors": once(1)}, {"Errors": during(1, 1)}] for of in FUNCTIONS},
    **{f"{of}Throttled": [{"Throttles": once(1)}, {"Throttles": during(3, 50)}] for of in FUNCTIONS},
    "AppendConflicting": [
        {"conflicts": during(5, 20), "appended": each_minute(80)},
        {"conflicts": dict.fromkeys(range(AT, AT + 5), 1)},
    ],
    "HttpServerErrors": [{"5xx": once(5)}, {"5xx": during(1, 6)}],
    "HttpThrottled": [{"ThrottledRequests": once(10)}, {"ThrottledRequests": during(20, 4_000)}],
    **{
        f"{of}Late": [{"IteratorAge": during(5, 60_000)}, {"IteratorAge": during(30, 90_000, otherwise=50)}]
        for of in ("Publication", "Log")
    },
    **{f"{of}NotEmpty": [{DEPTH: during(60, 1)}, {DEPTH: once(3)}] for of in QUEUES},
    "ReplaysFailed": [{"ExecutionsFailed": once(1)}],
    "ParkedEventsNotEmpty": [
        {"ParkedEvents": once(1)},
        {"ParkedEvents": during(50, 300)},
        {"ParkedEvents": {minute: 2 for minute in ALWAYS if minute >= AT and minute % 3 == 0}},
    ],
    **{
        f"{of}Silent": [
            # Disabled before anything was ever handled, in the middle of work, and for a while.
            {"written": once(1)},
            {"written": during(40, 100)},
            {"written": each_minute(10), done: {minute: 10 for minute in ALWAYS if minute < AT}},
            {
                "written": each_minute(10),
                done: {minute: 1 for minute in ALWAYS if not AT <= minute < AT + 25},
            },
            # Called, and stopped at each batch: it counts, and counts nothing.
            {"written": during(40, 100), done: each_minute(0), given_up: each_minute(0)},
            # An append every quarter of an hour, to a consumer that is throttled to nothing from then on.
            {
                "written": {minute: 1 for minute in ALWAYS if minute % 15 == 0},
                done: {minute: 1 for minute in ALWAYS if minute % 15 == 0 and minute < AT},
            },
        ]
        for of, (done, given_up) in HANDLED.items()
    },
}
"""By alarm of `prod`: histories of its metrics that must ring it."""

QUIET: dict[str, list[Case]] = {
    "EventsThrottled": [
        {},
        {"reads": once(4), "indexReads": once(5)},
        {"writes": each_minute(0), "indexWrites": each_minute(9)},
    ],
    **{
        f"{table}Throttled": [{}, {"reads": once(4), "writes": once(5)}, {"writes": each_minute(9)}]
        for table in ("Log", "Subscriptions", "Replays", "Journal")
    },
    **{f"{of}Errors": [{}, {"Errors": each_minute(0)}] for of in FUNCTIONS},
    **{f"{of}Throttled": [{}, {"Throttles": each_minute(0)}] for of in FUNCTIONS},
    "AppendConflicting": [
        {},
        {"appended": each_minute(80)},
        {"conflicts": each_minute(10), "appended": each_minute(90)},
        {"conflicts": once(100)},
        {"conflicts": during(1, 99), "appended": each_minute(1)},
    ],
    "HttpServerErrors": [{}, {"5xx": each_minute(4)}],
    "HttpThrottled": [{}, {"ThrottledRequests": each_minute(9)}],
    **{
        f"{of}Late": [
            {},
            {"IteratorAge": each_minute(59_999)},
            {"IteratorAge": during(4, 900_000, otherwise=20)},
        ]
        for of in ("Publication", "Log")
    },
    **{f"{of}NotEmpty": [{}, {DEPTH: each_minute(0)}] for of in QUEUES},
    "ReplaysFailed": [{}, {"ExecutionsFailed": each_minute(0)}],
    "ParkedEventsNotEmpty": [{}, {"ParkedEvents": each_minute(0)}],
    **{
        f"{of}Silent": [
            {},
            {"written": each_minute(0), done: each_minute(0)},
            {"written": each_minute(10), done: each_minute(1)},
            {"written": each_minute(10), done: each_minute(0), given_up: each_minute(1)},
            {done: each_minute(1)},
            *({"written": once(1, at=AT + phase), done: once(1, at=AT + phase)} for phase in range(5)),
            *({"written": once(1, at=AT + phase), done: once(1, at=AT + phase + 1)} for phase in range(5)),
            {
                "written": {minute: 1 for minute in ALWAYS if minute % 7 == 0},
                done: {minute: 1 for minute in ALWAYS if minute % 7 == 1},
            },
        ]
        for of, (done, given_up) in HANDLED.items()
    },
}
"""By alarm of `prod`: histories of its metrics that must not ring it."""


def alarms_of(app: Synthesized) -> dict[str, dict[str, Any]]:
    """The properties of each alarm by its logical id, without the hash at the end."""
    return {name[:-8]: of["Properties"] for name, of in app.resources("AWS::CloudWatch::Alarm").items()}


def run(alarm: Mapping[str, Any], case: Case, late: Mapping[str, int], clockwork: Clockwork) -> list[State]:
    known = stats_of(alarm)
    assert case.keys() <= known.keys(), "a history of a metric that the alarm doesn't read"
    histories = {name: History(values, late_min=late[name]) for name, values in case.items()}
    return list(states(alarm, histories, minutes=MINUTES, clockwork=clockwork))


def test_every_alarm_has_a_history_that_rings_it_and_one_that_does_not(prod: Synthesized) -> None:
    assert RINGS.keys() == QUIET.keys() == alarms_of(prod).keys()


@pytest.mark.parametrize("clockwork", CLOCKWORKS, ids=str)
@pytest.mark.parametrize("name", RINGS)
def test_alarm_rings_however_late_its_metrics_come(
    name: str, clockwork: Clockwork, prod: Synthesized
) -> None:
    alarm = alarms_of(prod)[name]
    for case, late_min in itertools.product(RINGS[name], LATE_MIN):
        found = run(alarm, case, dict.fromkeys(case, late_min), clockwork)
        assert "ALARM" not in found[:AT]
        assert "ALARM" in found[AT : AT + 25], (case, late_min)


@pytest.mark.parametrize("clockwork", CLOCKWORKS, ids=str)
@pytest.mark.parametrize("name", RINGS)
def test_alarm_is_over_when_its_trouble_is(name: str, clockwork: Clockwork, prod: Synthesized) -> None:
    alarm = alarms_of(prod)[name]
    for case in RINGS[name]:
        passing = {key: {at: of for at, of in values.items() if at < 40} for key, values in case.items()}
        if name.endswith("Silent"):
            done, _ = HANDLED[name.removesuffix("Silent")]
            passing[done] = {**passing.get(done, {}), **dict.fromkeys(range(35, MINUTES), 1)}
        found = run(alarm, passing, dict.fromkeys(passing, 0), clockwork)
        assert found[-1] == "OK", case


@pytest.mark.parametrize("clockwork", CLOCKWORKS, ids=str)
@pytest.mark.parametrize("name", QUIET)
def test_alarm_keeps_quiet_however_late_each_metric_comes(
    name: str, clockwork: Clockwork, prod: Synthesized
) -> None:
    alarm = alarms_of(prod)[name]
    for case in QUIET[name]:
        for late in itertools.product((0, 3), repeat=len(case)):
            found = run(alarm, case, dict(zip(case, late, strict=True)), clockwork)
            assert "ALARM" not in found, (case, late)


@pytest.mark.parametrize(("setting", "feature"), [("publishWindowS", "Publication"), ("logWindowS", "Log")])
def test_a_consumer_that_gathers_its_batches_for_long_is_not_missed(
    setting: str, feature: str, synthesize: Callable[..., Synthesized]
) -> None:
    alarm = alarms_of(synthesize(environment="prod", alarmIteratorAgeS=301, **{setting: 300}))[
        f"{feature}Silent"
    ]
    done, _ = HANDLED[feature]
    for clockwork, phase, late_min in itertools.product(CLOCKWORKS, range(0, 10, 3), (0, 3)):
        case = {"written": once(1, at=AT + phase), done: once(1, at=AT + phase + 6)}
        found = run(alarm, case, {"written": 0, done: late_min}, clockwork)
        assert "ALARM" not in found
        assert "ALARM" in run(alarm, {"written": case["written"]}, {"written": late_min}, clockwork)


def test_the_dead_mans_switch_looks_at_the_index_and_at_its_own_consumer(prod: Synthesized) -> None:
    """The index takes what was appended, by whatever client; the table counts what was refused as well."""
    services = {"Publication": "eventstore-prod-publish", "Log": "eventstore-prod-log"}
    names = {"Publication": {"Published", "Parked"}, "Log": {"Logged", "PassedOver"}}
    for feature, service in services.items():
        stats = stats_of(alarms_of(prod)[f"{feature}Silent"])
        written = stats.pop("written")["Metric"]
        assert (written["Namespace"], written["MetricName"]) == (
            "AWS/DynamoDB",
            "ConsumedWriteCapacityUnits",
        )
        assert {of["Name"]: prod.resolve(of["Value"]) for of in written["Dimensions"]} == {
            "GlobalSecondaryIndexName": "ByTime",
            "TableName": "EventsTable4B7491D3",
        }
        assert {of["Metric"]["MetricName"] for of in stats.values()} == names[feature]
        for of in stats.values():
            assert of["Metric"]["Namespace"] == "EventStore"
            assert of["Metric"]["Dimensions"] == [{"Name": "service", "Value": service}]


@pytest.mark.parametrize("feature", HANDLED)
def test_the_dead_mans_switch_rings_for_a_consumer_that_never_counted(
    feature: str, prod: Synthesized
) -> None:
    """Whatever FILL makes of a series without one value: CloudWatch's documentation doesn't say."""
    (expression,) = (
        of["Expression"] for of in alarms_of(prod)[f"{feature}Silent"]["Metrics"] if "Expression" in of
    )
    series: dict[str, Series] = {"written": [None, 3, None, None]} | {
        name: [None] * 4 for name in HANDLED[feature]
    }
    for fills_empty in (True, False):
        assert evaluate(expression, series, period_s=300, fills_empty=fills_empty)[2] == 1


def test_alarms_on_dynamodb_leave_nothing_missing(prod: Synthesized) -> None:
    """CloudWatch ignores what is missing of DynamoDB's metrics: such an alarm would ring for ever."""
    for name, alarm in alarms_of(prod).items():
        stats = stats_of(alarm)
        if any(of["Metric"]["Namespace"] == "AWS/DynamoDB" for of in stats.values()):
            (expression,) = (of["Expression"] for of in alarm["Metrics"] if "Expression" in of)
            nothing: dict[str, Series] = {of: [None] * 5 for of in stats}
            assert None not in evaluate(expression, nothing, period_s=60)[1:], name


# --- who hears them --------------------------------------------------------------------------------


@pytest.mark.parametrize(("environment", "warned"), [("dev", True), ("prod", True), ("local", False)])
def test_synth_warns_where_data_is_retained_and_no_alarm_is_heard(
    environment: str, warned: bool, apps: Mapping[str, Synthesized]
) -> None:
    data = apps[environment].stacks[0]
    found = Annotations.from_stack(data).find_warning(
        "*", Match.string_like_regexp("Nobody hears the alarms")
    )
    assert [UNHEARD in str(message.entry.data) for message in found] == ([True] if warned else [])


@pytest.mark.parametrize(
    "heard",
    [{"alarmEmail": "ops@example.com"}, {"alarmTopicArn": "arn:aws:sns:eu-west-1:111111111111:alarms"}],
)
def test_synth_is_silent_where_alarms_are_heard(
    heard: dict[str, str], synthesize: Callable[..., Synthesized]
) -> None:
    assert synthesize(environment="prod", **heard).warnings() == []


# --- the evaluator itself --------------------------------------------------------------------------

MISSING_DATA = [
    # As CloudWatch's documentation tells what it does: X breaches, 0 doesn't, - is missing; the oldest first.
    (3, "0-X-X", ("OK", "OK", "OK", "OK")),
    (3, "0----", ("OK", "OK", "OK", "OK")),
    (3, "-----", ("INSUFFICIENT_DATA", "before", "ALARM", "OK")),
    (3, "0XX-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, "--X--", ("ALARM", "before", "ALARM", "OK")),
    (2, "0-X-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "00X0X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "0-X--", ("OK", "OK", "ALARM", "OK")),
    (2, "----0", ("OK", "OK", "ALARM", "OK")),
    (2, "---X-", ("ALARM", "before", "ALARM", "OK")),
]


@pytest.mark.parametrize(("to_alarm", "data", "expected"), MISSING_DATA)
def test_missing_data_is_treated_as_documented(
    to_alarm: int, data: str, expected: tuple[str, str, str, str]
) -> None:
    values: Series = [{"0": 0.0, "X": 1.0, "-": None}[one] for one in data]
    treatments = ("missing", "ignore", "breaching", "notBreaching")
    before: State
    for before in ("OK", "ALARM"):
        found = [
            next_state(values, 3, to_alarm, breaches=lambda value: value >= 1, treatment=of, state=before)
            for of in treatments
        ]
        assert found == [before if of == "before" else of for of in expected]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", [11, None, None, 33]),
        ("FILL(a, 0) + FILL(b, 0)", [11, 2, 30, 33]),
        ("FILL(a, REPEAT)", [1, 2, 2, 3]),
        ("100 * a / (a + FILL(b, 0))", [100 / 11, 100, None, 100 / 11]),
        ("a / (a - a)", [None] * 4),
        ("DIFF(FILL(a, 0))", [None, 1, -2, 3]),
        ("FILL(a, 0) - DIFF(FILL(a, 0))", [None, 1, 2, 0]),
        ("RATE(FILL(a, 0))", [None, 1 / 60, -2 / 60, 3 / 60]),
        ("IF(FILL(a, 0) > 1 AND FILL(b, 0) == 0, 1, 0)", [0, 1, 0, 0]),
        ("IF(a > 1 || b > 5, 7, a)", [7, None, None, 7]),
        ("SUM([a, b])", [11, 2, 30, 33]),
        ("MAX([a, b])", [10, 2, 30, 30]),
        ("MIN([a, b])", [1, 2, 30, 3]),
        ("a + SUM(a)", [7, 8, None, 9]),
        ("-a", [-1, -2, None, -3]),
    ],
)
def test_metric_math_is_that_of_cloudwatch(expression: str, expected: Series) -> None:
    series: dict[str, Series] = {"a": [1.0, 2.0, None, 3.0], "b": [10.0, None, 30.0, 30.0]}
    assert evaluate(expression, series, period_s=60) == pytest.approx(expected)


def test_an_alarm_that_looks_at_one_filled_period_never_sees_what_comes_late(prod: Synthesized) -> None:
    """What these alarms were: OK for ever, since the newest period is always filled."""
    narrow = alarms_of(prod)["LogThrottled"] | {"EvaluationPeriods": 1, "DatapointsToAlarm": 1}
    case: Case = {"reads": each_minute(1_000)}
    for clockwork in CLOCKWORKS:
        assert "ALARM" in run(narrow, case, {"reads": 0}, clockwork)
        assert "ALARM" not in run(narrow, case, {"reads": 1}, clockwork)
