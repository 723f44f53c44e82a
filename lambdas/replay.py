"""The step function of replays: settings, clients, step, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

import boto3
from aws_lambda_powertools import Logger, Metrics
from botocore.session import get_session

from eventstore.aws.replay_targets import replay_targets
from eventstore.aws.step_functions import CLIENT_CONFIG as ENGINE_CONFIG
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.dynamodb.client import CLIENT_CONFIG, register_parser
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.functions.replay import replay_handler
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.step import ReplayStep
from settings import ReplaySettings

settings = ReplaySettings.from_environ(os.environ)
# One session for all clients: a second one would cost the start of the function a third more.
core = get_session()
register_parser(core)
session = boto3.Session(botocore_session=core)
client = session.client("dynamodb", config=CLIENT_CONFIG)
replays = DynamoDBReplays(client=client, table_name=settings.replays_table)
step = ReplayStep(
    store=replays,
    events=DynamoDBEventStore(
        client=client,
        table_name=settings.events_table,
        settling_s=settings.settling_s,
        clock_tolerance_s=settings.clock_tolerance_s,
    ),
    target=replay_targets(session.client),
    entry_format=EntryFormat(
        source=settings.event_source, api_url=settings.api_url, max_bytes=settings.put_events_max_bytes
    ),
)


def start_next(machine_arn: str) -> int:
    """Begin the replays whose turn it is; only the last step of each run comes here, and makes the client."""
    sfn = session.client("stepfunctions", config=ENGINE_CONFIG)
    engine = StepFunctionsReplays(client=sfn, machine_arn=machine_arn)
    return ReplayQueue(store=replays, engine=engine, at_once=settings.replays_at_once).start_next()


handler = replay_handler(step, start_next=start_next, logger=Logger(), metrics=Metrics())
gc.freeze()
gc.enable()
