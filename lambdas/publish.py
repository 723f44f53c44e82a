"""The publish function: settings, clients, publisher, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

import boto3
from aws_lambda_powertools import Logger, Metrics

from eventstore.aws import eventbridge, sqs
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.publisher import Publisher
from eventstore.dynamodb.client import CLIENT_CONFIG
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.functions.changes import stream_handler
from settings import PublishSettings

settings = PublishSettings.from_environ(os.environ)
client = boto3.client("dynamodb", config=CLIENT_CONFIG)
publisher = Publisher(
    reader=DynamoDBEventStore(client=client, table_name=settings.events_table),
    journal=DynamoDBJournal(client=client, table_name=settings.journal_table, consumer="publish"),
    bus=eventbridge.EventBridgeBus(
        client=boto3.client("events", config=eventbridge.CLIENT_CONFIG), bus_name=settings.event_bus
    ),
    failed_events=sqs.SqsFailedEvents(
        client=boto3.client("sqs", config=sqs.CLIENT_CONFIG), queue_url=settings.failed_events_queue_url
    ),
    entry_format=EntryFormat(
        source=settings.event_source, api_url=settings.api_url, max_bytes=settings.put_events_max_bytes
    ),
)
handler = stream_handler(
    publisher, logger=Logger(), metrics=Metrics(), raises_when_stopped=settings.raises_when_stopped
)
gc.freeze()
gc.enable()
