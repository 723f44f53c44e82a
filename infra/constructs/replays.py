"""Replay jobs: their table, the machine that repeats their step, the functions that steer and send."""

from collections.abc import Sequence
from typing import Any, Final

from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from eventstore.dynamodb.schema import replays as schema
from eventstore.limits import REPLAY_TIMEOUT_S, replay_memory_mb
from infra import permissions
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.function import Function
from infra.constructs.tables import TEXT, add_throttle_alarm, make_table
from infra.settings import Settings

LOOK_EVERY: Final = Duration.minutes(5)
"""How often a schedule looks at the queue: so late, at most, a replay begins after one that ended badly."""

STEP_MAX_RETRIES: Final = 8
"""Retries of a step that failed without a word, with pauses of up to 2, 4, 8 ... 120 s: about 6 minutes."""


class Replays(Construct):
    """Sends history to one consumer, step by step; pauses between steps cost nothing.

    An execution of the state machine runs one replay. When the step function itself keeps failing, the
    machine writes that into the table, so that the replay can be resumed from there, and an alarm rings.

    At most `replaysAtOnce` run at once; the others are queued, which costs nothing. What ends a run begins
    the next one; a schedule looks each 5 minutes, for runs that ended without a word: some 8,640 short
    invocations a month, some cents.
    """

    def __init__(
        self, scope: Construct, id: str, *, events_table: EventsTable, settings: Settings, alarms: Alarms
    ) -> None:
        super().__init__(scope, id)
        self.table = make_table(
            self,
            partition_key=(schema.KIND, TEXT),
            sort_key=(schema.REPLAY_ID, TEXT),
            retain_data=settings.retain_data,
        )
        add_throttle_alarm(
            self,
            table=self.table,
            description="DynamoDB throttles the replays table: replays wait; asking for them may fail.",
            alarms=alarms,
        )
        table = events_table.table
        self._steps = Function(
            self,
            "Step",
            name="replay",
            description="Sends a piece of the history to the consumer of a replay.",
            memory_mb=replay_memory_mb(settings.read_shards),
            timeout_s=REPLAY_TIMEOUT_S,
            variables={
                "EVENTS_TABLE": table.table_name,
                "REPLAYS_TABLE": self.table.table_name,
                **settings.variables(
                    *("SETTLING_S", "CLOCKS", "EVENT_SOURCE", "PUT_EVENTS_MAX_BYTES"),
                    "REPLAYS_AT_ONCE",
                ),
            },
            statements=permissions.replay(
                table_arn=table.table_arn,
                index_arn=events_table.index_arn,
                replays_table_arn=self.table.table_arn,
                targets=settings.replay_targets,
            ),
            settings=settings,
            alarms=alarms,
        )
        _acknowledge_wildcards(self._steps, settings.replay_targets)
        self._machine = self._make_machine()
        events.Rule(
            self,
            "Look",
            description="Looks whether a replay has ended without a word, and another can begin.",
            schedule=events.Schedule.rate(LOOK_EVERY),
            targets=[
                targets.LambdaFunction(
                    self._steps.function,
                    event=events.RuleTargetInput.from_object({"machine": self._machine.ref}),
                )
            ],
        )
        self.operations = Function(
            self,
            "Operations",
            name="replays",
            description="Begins replays, tells how far they are, pauses, resumes and cancels them.",
            memory_mb=512,
            timeout_s=29,  # the API waits for 30
            variables={
                "REPLAYS_TABLE": self.table.table_name,
                "REPLAY_MACHINE": self._machine.ref,
                **settings.variables("REPLAY_TARGETS", "REPLAYS_AT_ONCE"),
            },
            statements=permissions.steer_replays(
                replays_table_arn=self.table.table_arn, machine_arn=self._machine.ref
            ),
            settings=settings,
            alarms=alarms,
        )
        self._failed = cloudwatch.Metric(
            namespace="AWS/States",
            metric_name="ExecutionsFailed",
            dimensions_map={"StateMachineArn": self._machine.ref},
            statistic="Sum",
            period=PERIOD,
        )
        alarms.add(
            self,
            "Failed",
            metric=self._failed,
            threshold=alarms.settings.function_errors,
            description="A replay gave up: GET /replays says which and why; repair that, then resume it.",
        )

    def send_references_to(self, api_url: str) -> None:
        """Return where events are read that are too large to send."""
        self._steps.function.add_environment("API_URL", api_url)

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            *self._steps.widgets(),
            *self.operations.widgets(),
            cloudwatch.GraphWidget(
                title="Replays: events sent; replays started, waiting, failed",
                left=[self._steps.metric("Replayed")],
                right=[
                    self.operations.metric("ReplaysStarted"),
                    self._steps.metric("ReplaysWaiting", statistic="Maximum"),
                    self._failed,
                ],
            ),
        ]

    def _make_machine(self) -> sfn.CfnStateMachine:
        # Without a log and traces of its own: each execution's history is kept for 90 days.
        role = iam.Role(
            self,
            "MachineRole",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            description="The event store's state machine of replays.",
            inline_policies={
                "replays": iam.PolicyDocument(
                    statements=permissions.run_replays(
                        step_arn=self._steps.function.function_arn, replays_table_arn=self.table.table_arn
                    )
                )
            },
        )
        definition = machine_definition(
            partition=Stack.of(self).partition,
            step_arn=self._steps.function.function_arn,
            table_name=self.table.table_name,
        )
        machine = sfn.CfnStateMachine(
            self,
            "Machine",
            role_arn=role.role_arn,
            state_machine_type="STANDARD",
            definition_string=Stack.of(self).to_json_string(definition),
        )
        # The machine's ARN can't stand in the roles that it is made with. It goes on by itself, and its step
        # begins the next replay.
        iam.CfnPolicy(
            self,
            "Renew",
            policy_name="renew",
            roles=[role.role_name, self._steps.role.role_name],
            policy_document=iam.PolicyDocument(statements=permissions.renew_replays(machine_arn=machine.ref)),
        )
        Validations.of(machine).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SF1",
                reason="A standard workflow keeps the history of each execution for 90 days by itself.",
            ),
            Acknowledgment(
                id="AwsSolutions-SF2",
                reason="The step function has traces; the machine only repeats it, some minutes apart.",
            ),
        )
        return machine


def machine_definition(*, partition: str, step_arn: str, table_name: str) -> dict[str, Any]:
    """The state machine in Amazon States Language: take a step, then do as it says.

    A step makes 9 events of history (5 of the task, 2 of the choice, 2 of the wait); the step function asks
    for a new execution long before there are 25,000.
    """
    end_quietly = {"ErrorEquals": ["StepFunctions.ExecutionAlreadyExistsException"], "Next": "Done"}
    retry = {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxAttempts": STEP_MAX_RETRIES,
        "MaxDelaySeconds": 120,
        "JitterStrategy": "FULL",
    }
    fail = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "TellFailure"}
    next_states = (("step", "Step"), ("wait", "Wait"), ("renew", "Renew"), ("fail", "Failed"))
    return {
        "Comment": "One run of a replay.",
        "StartAt": "Step",
        "States": {
            "Step": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::lambda:invoke",
                "Parameters": {
                    "FunctionName": step_arn,
                    "Payload": {
                        "replayId.$": "$.replayId",
                        "run.$": "$.run",
                        "steps.$": "$.steps",
                        "machine.$": "$$.StateMachine.Id",
                    },
                },
                "OutputPath": "$.Payload",
                "TimeoutSeconds": REPLAY_TIMEOUT_S + 10,
                "Retry": [retry],
                "Catch": [fail],
                "Next": "Follow",
            },
            "Follow": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.action", "StringEquals": action, "Next": state}
                    for action, state in next_states
                ],
                "Default": "Done",
            },
            "Wait": {"Type": "Wait", "SecondsPath": "$.waitS", "Next": "Step"},
            "Renew": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::states:startExecution",
                "Parameters": {
                    "StateMachineArn.$": "$$.StateMachine.Id",
                    "Name.$": "$.renewedName",
                    "Input": {"replayId.$": "$.replayId", "run.$": "$.run", "steps": 0},
                },
                "Retry": [
                    {**retry, "ErrorEquals": ["States.Timeout", "States.TaskFailed"], "MaxAttempts": 3}
                ],
                "Catch": [end_quietly, fail],
                "Next": "Done",
            },
            "TellFailure": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::dynamodb:updateItem",
                "Parameters": {
                    "TableName": table_name,
                    "Key": {
                        schema.KIND: {"S": schema.REPLAY},
                        schema.REPLAY_ID: {"S.$": "$.replayId"},
                    },
                    "UpdateExpression": "SET #status = :failed, #reason = :reason",
                    "ConditionExpression": "#status IN (:queued, :running) AND #run = :run",
                    "ExpressionAttributeNames": {
                        "#status": schema.STATUS,
                        "#reason": schema.REASON,
                        "#run": schema.RUN,
                    },
                    "ExpressionAttributeValues": {
                        ":failed": {"S": schema.FAILED},
                        ":queued": {"S": schema.QUEUED},
                        ":running": {"S": schema.RUNNING},
                        ":run": {"N.$": "States.Format('{}', $.run)"},
                        ":reason": {
                            "S.$": "States.Format('its step kept failing ({}): read the log of the function, "
                            "repair what is wrong, resume', $.error.Error)"
                        },
                    },
                },
                "Retry": [
                    {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "MaxAttempts": 0},
                    retry,
                ],
                "Catch": [
                    {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Done"},
                ],
                "Next": "Failed",
            },
            "Failed": {"Type": "Fail", "Error": "ReplayFailed", "Cause": "GET /replays says why."},
            "Done": {"Type": "Succeed"},
        },
    }


def _acknowledge_wildcards(function: Function, targets: Sequence[str]) -> None:
    for target in targets:
        if "*" in target:
            Validations.of(function).acknowledge(
                Acknowledgment(
                    id=f"AwsSolutions-IAM5[Resource::{target}]",
                    reason="Any such target of the account: only `local` names it, for its tries.",
                )
            )
