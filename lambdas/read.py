"""The read function: settings, client, store, log, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

from aws_lambda_powertools import Logger, Metrics
from msgspec.json import decode as json_decode

from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.functions.http import lambda_handler
from eventstore.http.app import Api
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from settings import ReadSettings

settings = ReadSettings.from_environ(os.environ)
client = dynamodb_client(json_loads=json_decode)
store = DynamoDBEventStore(
    client=client,
    table_name=settings.events_table,
    settling_s=settings.settling_s,
    clock_tolerance_s=settings.clock_tolerance_s,
)
log = DynamoDBEventLog(client=client, table_name=settings.log_table)
api = Api({**read_handlers(store), **log_handlers(log)})
handler = lambda_handler(api, logger=Logger(), metrics=Metrics())
gc.freeze()
gc.enable()
