"""The append function: settings, client, store, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

from aws_lambda_powertools import Logger, Metrics

from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.compression import compression_for
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.functions.http import lambda_handler
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from settings import AppendSettings

settings = AppendSettings.from_environ(os.environ)
store = DynamoDBEventStore(
    client=dynamodb_client(),
    table_name=settings.events_table,
    compression=compression_for(settings.compression),
    clock_tolerance_s=settings.clock_tolerance_s,
)
store.spread_over(settings.write_shards)
handler = lambda_handler(Api(append_handlers(store)), logger=Logger(), metrics=Metrics())
gc.freeze()
gc.enable()
