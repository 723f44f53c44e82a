"""The event bus on EventBridge: one PutEvents call a `put`, each entry's result told apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from eventstore._arguments import check_text
from eventstore.aws.answers import FAILED, ask, is_passing
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import reason_of
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Refusal

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef, PutEventsResultEntryTypeDef

CLIENT_CONFIG: Final = Config(
    # One try: the publisher tries again itself, and only what has failed.
    connect_timeout=1.0,
    read_timeout=5.0,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
    # An `Entry` has the types that are asked for, and EventBridge tells what else is wrong with one:
    # botocore's own look at every value is a sixth of a call's CPU.
    parameter_validation=False,
)
"""Give it to boto3: ``boto3.client("events", config=CLIENT_CONFIG)``."""

_ABOUT_THE_EVENT: Final = frozenset(
    {"InvalidArgument", "MalformedDetail", "NotAuthorizedForDetailTypeException", "RedactionFailure"}
)
"""Codes of an entry that EventBridge does not take however often it's sent. The other codes that it calls
not retryable are about permissions and accounts: those hold for every event, so parking each would only
empty the store into the queue of failed events. They count as passing, and the batch stops."""

_ABOUT_THE_REQUEST: Final = frozenset(
    {
        "413",  # botocore's code for an answer of that status without a body
        "InvalidArgument",
        "RequestEntityTooLargeException",
        "SerializationException",
        "ValidationException",
    }
)
"""Codes of a whole request that are about what is in it."""


class EventBridgeBus:
    """An `EventBus` on EventBridge.

    Args:
        client: boto3's EventBridge client, best made with `CLIENT_CONFIG`.
        bus_name: the bus of the deployed stack, by name or ARN.
    """

    def __init__(self, *, client: EventBridgeClient, bus_name: str) -> None:
        check_text(bus_name, "bus_name")
        self._client = take_client(client, "events", "put_events")
        self._bus_name = bus_name

    def put(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        """Put 1-10 entries on the bus; return for each, in their order, None or why it wasn't taken.

        A request that EventBridge refuses as a whole for what is in it is sent again entry by entry, so
        that only the bad one fails. An answer that got lost counts as refused; the entry is sent again.

        Cost: 1 request; refused as a whole, 1 more for each entry.
        """
        try:
            answer = ask(self._client.put_events, Entries=[self._request(entry) for entry in entries])
        except ParamValidationError as error:
            return self._one_by_one(entries, str(error))
        except FAILED as error:
            if isinstance(error, ClientError) and _is_about_the_request(error):
                return self._one_by_one(entries, str(error))
            reason = reason_of(error, self._client.put_events, {})
            return [Refusal(reason, permanent=False)] * len(entries)
        results = answer.get("Entries", ())
        if len(results) != len(entries):
            reason = (
                f"the answer is not EventBridge's: it has {len(results)} results for {len(entries)} entries"
            )
            return [Refusal(reason, permanent=False)] * len(entries)
        return [_refusal(result) for result in results]

    def _one_by_one(self, entries: Sequence[Entry], reason: str) -> list[Refusal | None]:
        if len(entries) == 1:
            return [Refusal(reason, permanent=True)]
        return [self.put([entry])[0] for entry in entries]

    def _request(self, entry: Entry) -> PutEventsRequestEntryTypeDef:
        return {
            "EventBusName": self._bus_name,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Detail": entry.detail,
            # Whole seconds, more does not fit there; the detail's time has the microseconds.
            "Time": datetime.fromtimestamp(entry.timestamp_us // 1_000_000, UTC),
        }


def _is_about_the_request(error: ClientError) -> bool:
    return not is_passing(error) and error.response["Error"]["Code"] in _ABOUT_THE_REQUEST


def _refusal(result: PutEventsResultEntryTypeDef) -> Refusal | None:
    code = result.get("ErrorCode")
    if not code:
        return None
    return Refusal(f"{code}: {result.get('ErrorMessage', '')}", permanent=code in _ABOUT_THE_EVENT)
