"""The read function: settings, client, store, handler."""

import os

import boto3
from aws_lambda_powertools import Logger, Metrics

from eventstore.adapters.dynamodb.client import CLIENT_CONFIG
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.http.app import Api
from eventstore.http.lambda_handler import lambda_handler
from eventstore.http.read import read_handlers
from settings import ReadSettings

settings = ReadSettings.from_environ(os.environ)
store = DynamoDBEventStore(
    client=boto3.client("dynamodb", config=CLIENT_CONFIG),
    table_name=settings.events_table,
    read_shards=settings.read_shards,
    settling_s=settings.settling_s,
)
handler = lambda_handler(Api(read_handlers(store)), logger=Logger(), metrics=Metrics())
