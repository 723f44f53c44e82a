"""The parts of a store on DynamoDB, by its parameter or its tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import ClientError

from eventstore._store_parameter import PREFIX, StoreParameter, parameter_name
from eventstore.aws.answers import FAILED, ask
from eventstore.aws.refusals import made, raise_told
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.compression import compression_for
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import StoreUnavailable, UnknownStore
from eventstore.limits import CLOCK_TOLERANCE_S

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Parts(NamedTuple):
    """What a store is made of: arguments of `eventstore.Store`."""

    events: DynamoDBEventStore
    log: DynamoDBEventLog | None
    bodies: DynamoDBEventBodies
    checkpoints: DynamoDBCheckpoints | None
    read_model: DynamoDBReadModel | None


def read_parameter(store: str, session: boto3.Session | None, options: Mapping[str, Any]) -> StoreParameter:
    """Read what a deployment says about itself; see `eventstore.connect`."""
    parameter = parameter_name(store)
    of = _session(session)
    with made():
        client: Any = of.client("ssm", **_options(of, options))
    try:
        answer = ask(client.get_parameter, Name=parameter)
    except FAILED as error:
        if isinstance(error, ClientError) and error.response["Error"].get("Code") == "ParameterNotFound":
            raise UnknownStore(store=store, parameter=parameter, known=_known(client)) from error
        raise_told(error, client.get_parameter, {"Name": parameter})
    if "Parameter" not in answer:
        raise StoreUnavailable(
            operation="GetParameter", reason="the answer is not SSM's: it has no parameter"
        )
    return StoreParameter.parse(answer["Parameter"]["Value"], parameter=parameter)


def from_name(
    store: str, session: boto3.Session | None, options: Mapping[str, Any]
) -> tuple[StoreParameter, Parts]:
    """Make the parts of a store that is deployed, by what its parameter says."""
    of = _session(session)
    parameter = read_parameter(store, of, options)
    tables = {
        "events_table": parameter.events_table,
        "log_table": parameter.log_table,
        "subscriptions_table": parameter.subscriptions_table,
    }
    return parameter, _parts(
        dynamodb_client(of, **_options(of, options)),
        tables,
        settling_s=parameter.settling_s,
        compression=parameter.compression,
        clock_tolerance_s=CLOCK_TOLERANCE_S if parameter.clocks == "checked" else None,
    )


def from_tables(
    tables: Mapping[str, str | None],
    session: boto3.Session | None,
    options: Mapping[str, Any],
    *,
    settling_s: float,
    compression: str,
) -> Parts:
    """Make the parts of a store of these tables."""
    of = _session(session)
    client = dynamodb_client(of, **_options(of, options))
    return _parts(client, tables, settling_s=settling_s, compression=compression)


def _parts(
    client: DynamoDBClient,
    tables: Mapping[str, str | None],
    *,
    settling_s: float,
    compression: str,
    clock_tolerance_s: float | None = CLOCK_TOLERANCE_S,
) -> Parts:
    events_table, log_table = str(tables["events_table"]), tables["log_table"]
    kept = tables["subscriptions_table"]
    log = DynamoDBEventLog(client=client, table_name=log_table) if log_table else None
    events = DynamoDBEventStore(
        client=client,
        table_name=events_table,
        settling_s=settling_s,
        compression=compression_for(compression),
        clock_tolerance_s=clock_tolerance_s,
        log=log,
    )
    return Parts(
        events,
        log,
        DynamoDBEventBodies(client=client, table_name=events_table),
        DynamoDBCheckpoints(client=client, table_name=kept) if kept else None,
        DynamoDBReadModel(client=client, table_name=kept) if kept else None,
    )


def _session(given: boto3.Session | None) -> boto3.Session:
    """Return a session; as for the AWS CLI, AWS_REGION counts before AWS_DEFAULT_REGION."""
    with made():
        return (
            given or boto3.DEFAULT_SESSION or boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        )


def _options(session: boto3.Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of clients, with a Region also where boto3's default session was made without."""
    region = given.get("region_name") or session.region_name or os.environ.get("AWS_REGION") or None
    return {**given, "region_name": region}


def _known(client: Any) -> tuple[str, ...]:
    """Return the names of the stores that are there, as far as the credentials permit to see them."""
    try:
        answer = ask(client.get_parameters_by_path, Path=PREFIX, MaxResults=10)
    except FAILED:
        return ()  # it would only help to see what was meant
    return tuple(sorted(found["Name"].removeprefix(PREFIX) for found in answer.get("Parameters", ())))
