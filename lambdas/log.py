"""The log function: settings, client, log, log writer, handler."""

import gc

gc.disable()  # nothing of what a start makes is garbage (docs/adr/0012)

import os

from aws_lambda_powertools import Logger, Metrics

from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.functions.changes import log_handler
from eventstore.log.writer import LogWriter
from settings import LogSettings

settings = LogSettings.from_environ(os.environ)
client = dynamodb_client()
log = DynamoDBEventLog(client=client, table_name=settings.log_table)
if settings.log_tranches:
    log.begin_with(settings.log_tranches)
log_writer = LogWriter(
    reader=DynamoDBEventStore(client=client, table_name=settings.events_table),
    journal=DynamoDBJournal(client=client, table_name=settings.journal_table, consumer="log"),
    log=log,
)
handler = log_handler(
    log_writer, logger=Logger(), metrics=Metrics(), raises_when_stopped=settings.raises_when_stopped
)
gc.freeze()
gc.enable()
