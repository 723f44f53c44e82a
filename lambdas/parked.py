"""The function that counts parked events: settings, client, count, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

import boto3
from aws_lambda_powertools import Logger, Metrics

from eventstore.dynamodb.client import CLIENT_CONFIG
from eventstore.dynamodb.parked_events import DynamoDBParkedEvents
from eventstore.functions.parked import parked_handler
from settings import ParkedSettings

settings = ParkedSettings.from_environ(os.environ)
client = boto3.client("dynamodb", config=CLIENT_CONFIG)
parked = DynamoDBParkedEvents(client=client, table_name=settings.subscriptions_table)
handler = parked_handler(parked, logger=Logger(), metrics=Metrics())
gc.freeze()
gc.enable()
