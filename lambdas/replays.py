"""The function behind /replays: settings, clients, replays, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

import boto3
from aws_lambda_powertools import Logger, Metrics

from eventstore.aws.step_functions import CLIENT_CONFIG as ENGINE_CONFIG
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.dynamodb.client import CLIENT_CONFIG
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.functions.http import lambda_handler
from eventstore.http.app import Api
from eventstore.http.replays import replay_handlers
from eventstore.replays.service import Replays
from settings import ReplaysSettings

settings = ReplaysSettings.from_environ(os.environ)
replays = Replays(
    store=DynamoDBReplays(
        client=boto3.client("dynamodb", config=CLIENT_CONFIG), table_name=settings.replays_table
    ),
    engine=StepFunctionsReplays(
        client=boto3.client("stepfunctions", config=ENGINE_CONFIG), machine_arn=settings.machine_arn
    ),
    allowed_targets=settings.allowed_targets,
    at_once=settings.replays_at_once,
)
handler = lambda_handler(Api(replay_handlers(replays)), logger=Logger(), metrics=Metrics())
gc.freeze()
gc.enable()
