"""Replays as they are deployed: the state machine, who may send where, which targets are taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from eventstore.dynamodb.schema import replays as replay_schema
from eventstore.limits import REPLAY_LEASE_S, REPLAY_RUN_MAX_STEPS, REPLAY_STEP_S, REPLAY_TIMEOUT_S
from infra.settings import Settings, SettingsError
from tests.infra.conftest import LOCAL_REPLAY_TARGETS, Synthesized, context

STEP = "ReplaysStepFunction00CCB8FB"
MACHINE = "ReplaysMachine1F18F151"
TABLE = "ReplaysTable0996A4FF"
TARGETS = [
    "arn:aws:sqs:eu-central-1:123456789012:rebuild",
    "arn:aws:sqs:eu-central-1:123456789012:rebuild.fifo",
    "arn:aws:lambda:eu-central-1:123456789012:function:rebuild",
    "arn:aws:events:eu-central-1:123456789012:event-bus/rebuild",
]


@pytest.fixture
def states(app: Synthesized) -> dict[str, Any]:
    machine = app.resources("AWS::StepFunctions::StateMachine")[MACHINE]["Properties"]
    assert machine["StateMachineType"] == "STANDARD"
    definition = json.loads(app.resolve(machine["DefinitionString"]))
    assert definition["StartAt"] == "Step"
    found: dict[str, Any] = definition["States"]
    return found


def statements(app: Synthesized, policy: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(of["Sid"], of["Action"], of["Resource"]) for of in policy["PolicyDocument"]["Statement"]]


def test_step_is_retried_with_backoff_and_then_the_failure_is_told(states: dict[str, Any]) -> None:
    step = states["Step"]
    assert step["Resource"] == "arn:AWS::Partition:states:::lambda:invoke"
    assert step["Parameters"]["FunctionName"] == f"{STEP}.Arn"
    assert step["Parameters"]["Payload"]["machine.$"] == "$$.StateMachine.Id"
    [retry] = step["Retry"]
    assert (retry["ErrorEquals"], retry["MaxAttempts"], retry["BackoffRate"]) == (["States.ALL"], 8, 2)
    assert step["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "TellFailure"}]
    told = states["TellFailure"]["Parameters"]
    assert told["TableName"] == TABLE
    assert told["ConditionExpression"] == "#status IN (:queued, :running) AND #run = :run"
    assert {*told["ExpressionAttributeNames"].values()} == {
        replay_schema.STATUS,
        replay_schema.REASON,
        replay_schema.RUN,
    }
    assert states["TellFailure"]["Next"] == "Failed"
    assert states["Failed"]["Type"] == "Fail"


def test_machine_does_what_a_step_says(states: dict[str, Any]) -> None:
    follow = {of["StringEquals"]: of["Next"] for of in states["Follow"]["Choices"]}
    assert follow == {"step": "Step", "wait": "Wait", "renew": "Renew", "fail": "Failed"}
    assert states["Follow"]["Default"] == "Done"
    assert states["Wait"] == {"Type": "Wait", "SecondsPath": "$.waitS", "Next": "Step"}
    assert states["Renew"]["Parameters"]["StateMachineArn.$"] == "$$.StateMachine.Id"
    targets = {state.get("Next") for state in states.values()} | {
        of["Next"] for state in states.values() for of in (*state.get("Catch", ()), *state.get("Choices", ()))
    }
    assert targets - {None} == set(states)


def test_history_stays_below_the_limit_even_when_every_step_is_retried(states: dict[str, Any]) -> None:
    events_of_a_step, events_of_a_retry = 9, 3
    retries = states["Step"]["Retry"][0]["MaxAttempts"]
    assert REPLAY_RUN_MAX_STEPS * (events_of_a_step + retries * events_of_a_retry) < 25_000


def test_lease_outlasts_the_function_and_the_function_its_box(app: Synthesized) -> None:
    function = app.resources("AWS::Lambda::Function")[STEP]["Properties"]
    assert REPLAY_STEP_S < function["Timeout"] == REPLAY_TIMEOUT_S < REPLAY_LEASE_S


def test_machine_may_take_steps_tell_a_failure_and_renew_itself(app: Synthesized) -> None:
    role = next(
        of
        for of in app.properties("AWS::IAM::Role")
        if of["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "states.amazonaws.com"}
    )
    [policy] = role["Policies"]
    assert [(sid, action, app.resolve(of)) for sid, action, of in statements(app, policy)] == [
        ("TakeSteps", "lambda:InvokeFunction", f"{STEP}.Arn"),
        ("TellFailure", "dynamodb:UpdateItem", f"{TABLE}.Arn"),
    ]
    renew = app.resources("AWS::IAM::Policy")["ReplaysRenew3BAA8D08"]["Properties"]
    roles = ["ReplaysMachineRoleE70962B5", "ReplaysStepRole1A12AC9F"]
    assert sorted(map(app.resolve, renew["Roles"])) == roles
    assert [(sid, action, app.resolve(of)) for sid, action, of in statements(app, renew)] == [
        ("Renew", "states:StartExecution", MACHINE)
    ]


def test_replays_may_send_to_exactly_the_targets_that_are_named(
    synthesize: Callable[..., Synthesized],
) -> None:
    app = synthesize(replayTargets=",".join(TARGETS))
    role = app.resources("AWS::IAM::Role")["ReplaysStepRole1A12AC9F"]["Properties"]
    sending = {
        sid: (action, resource)
        for sid, action, resource in statements(app, role["Policies"][0])
        if sid in {"SendToQueues", "InvokeFunctions", "PutOnBuses"}
    }
    assert sending == {
        "SendToQueues": (["sqs:GetQueueUrl", "sqs:SendMessage"], TARGETS[:2]),
        "InvokeFunctions": ("lambda:InvokeFunction", TARGETS[2]),
        "PutOnBuses": ("events:PutEvents", TARGETS[3]),
    }
    operations = next(
        of for of in app.properties("AWS::Lambda::Function") if of["Handler"] == "replays.handler"
    )
    assert operations["Environment"]["Variables"]["REPLAY_TARGETS"] == ",".join(TARGETS)


def test_schedule_looks_at_the_queue(app: Synthesized) -> None:
    rules = app.resources("AWS::Events::Rule")
    [rule] = [of["Properties"] for name, of in rules.items() if name.startswith("ReplaysLook")]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    [target] = rule["Targets"]
    assert app.resolve(target["Arn"]) == f"{STEP}.Arn"
    assert json.loads(app.resolve(target["Input"])) == {"machine": MACHINE}


@pytest.mark.parametrize("at_once", [1, 100])
def test_both_functions_know_how_many_run_at_once(
    synthesize: Callable[..., Synthesized], at_once: int
) -> None:
    app = synthesize(replaysAtOnce=at_once)
    told = [
        of["Environment"]["Variables"]["REPLAYS_AT_ONCE"]
        for of in app.properties("AWS::Lambda::Function")
        if of["Handler"] in {"replay.handler", "replays.handler"}
    ]
    assert told == [str(at_once)] * 2


@pytest.mark.parametrize("at_once", [0, 101, 1.5, "many", None])
def test_other_bounds_of_replays_are_refused_at_synth(at_once: object) -> None:
    with pytest.raises(SettingsError, match="replaysAtOnce"):
        Settings.from_context(context(environment="prod", replaysAtOnce=at_once))


def test_step_has_memory_for_all_shards(synthesize: Callable[..., Synthesized]) -> None:
    app = synthesize(environment="local", readShards=200)
    assert app.resources("AWS::Lambda::Function")[STEP]["Properties"]["MemorySize"] == 512 + 8 * 200


def test_no_target_is_allowed_unless_it_is_named(apps: Mapping[str, Synthesized]) -> None:
    allowed = {name: Settings.from_context(context(environment=name)).replay_targets for name in apps}
    assert allowed == {"dev": (), "prod": (), "local": LOCAL_REPLAY_TARGETS}


@pytest.mark.parametrize(
    "targets",
    [
        "queue",
        "arn:aws:sns:eu-central-1:123456789012:t",
        "arn:aws:sqs:eu-central-1:123456789012:*",
        "arn:aws:lambda:eu-central-1:123456789012:function:*",
        "arn:aws:events:eu-central-1:123456789012:event-bus/*",
        "*",
        [1],
        7,
    ],
)
def test_other_targets_are_refused_at_synth(targets: object) -> None:
    with pytest.raises(SettingsError, match="replayTargets"):
        Settings.from_context(context(environment="prod", replayTargets=targets))


def test_table_of_replays_has_the_keys_of_its_schema(app: Synthesized) -> None:
    table = app.resources("AWS::DynamoDB::GlobalTable")[TABLE]["Properties"]
    assert table["KeySchema"] == [
        {"AttributeName": replay_schema.KIND, "KeyType": "HASH"},
        {"AttributeName": replay_schema.REPLAY_ID, "KeyType": "RANGE"},
    ]
