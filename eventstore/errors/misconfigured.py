"""What is wrong with how a store is set up: its tables, permissions, credentials or Region."""

from __future__ import annotations

from typing import Final

from eventstore.errors.base import EventStoreError, is_write

_TOO_LATE: Final = frozenset({"RequestExpired", "RequestTimeTooSkewed"})


class StoreMisconfigured(EventStoreError):
    """A request can't succeed as this process and the store are set up; it changed nothing.

    The same request again fails the same way, so nothing waits for it. boto3's error is the cause.

    `problem` is what is wrong and where, `repair` what to do. `operation` is the request as AWS calls it,
    such as "PutItem"; "" where none was made, as without a Region.
    """

    def __init__(self, *, problem: str, repair: str, operation: str) -> None:
        self.problem = problem
        self.repair = repair
        self.operation = operation
        nothing = ". The request changed nothing" if operation and is_write(operation) else ""
        super().__init__(f"{self.advice}{nothing}")

    @property
    def advice(self) -> str:
        """The text without what it says of changes: a call may have made more requests than this one."""
        where = f"{self.operation}: " if self.operation else ""
        return f"{where}{self.problem}. {self.repair}"


class TableNotFound(StoreMisconfigured):
    """There is no such table in this account and Region; nothing was written.

    `tables` are those of the request: one, or each of a transaction. `region` and `endpoint` are where it was
    looked for, "" where the client doesn't say it.
    """

    def __init__(
        self, *, tables: tuple[str, ...], operation: str, region: str, endpoint: str, reason: str
    ) -> None:
        at = ", ".join(filter(None, (region and f"Region {region}", endpoint)))
        where = f"in this account{f' ({at})' if at else ''}"
        super().__init__(
            problem=f"there is no {_tables(tables)} {where}: {reason}",
            repair="Look at the table's name, the Region (AWS_REGION), the profile (AWS_PROFILE) and the "
            "endpoint (AWS_ENDPOINT_URL). The names are outputs of the data stack",
            operation=operation,
        )
        self.tables = tables
        self.region = region
        self.endpoint = endpoint
        self.reason = reason


class WrongTable(StoreMisconfigured):
    """A table has other keys than it's used with, or lacks an index; nothing was written.

    `tables` are those of the request, `index` is the one that is missing, "" where the keys are others.
    """

    def __init__(self, *, tables: tuple[str, ...], operation: str, index: str, reason: str) -> None:
        lacks = f"has no index {index!r}" if index else "has other keys than are asked for"
        repair = (
            "Deploy the data stack of this version, which makes it"
            if index
            else "Give each part its own table: those of events, log, subscriptions, replays and journal "
            "have other keys (docs/stored-format.md)"
        )
        super().__init__(
            problem=f"the {_tables(tables)} {lacks}: {reason}", repair=repair, operation=operation
        )
        self.tables = tables
        self.index = index
        self.reason = reason


class QueueNotFound(StoreMisconfigured):
    """There is no such queue in this account and Region; no message was touched."""

    def __init__(self, *, queue_url: str, operation: str, reason: str) -> None:
        super().__init__(
            problem=f"there is no queue {queue_url!r} in this account and Region: {reason}",
            repair="Look at the queue's URL, the Region (AWS_REGION) and the profile (AWS_PROFILE)",
            operation=operation,
        )
        self.queue_url = queue_url
        self.reason = reason


class AccessDenied(StoreMisconfigured):
    """The credentials are known, and don't permit the request; nothing was written.

    `action` is what has to be permitted, such as "dynamodb:PutItem", and `resource` on what: the ARN where
    AWS names it, else the name. `reason` has AWS's own words, which name the principal and the policy.
    """

    def __init__(self, *, action: str, resource: str, operation: str, reason: str) -> None:
        on = f" on {resource}" if resource else ""
        super().__init__(
            problem=f"the credentials don't permit {action}{on}: {reason}",
            repair=f"Grant {action} to the principal; docs/permissions.md lists what each part needs",
            operation=operation,
        )
        self.action = action
        self.resource = resource
        self.reason = reason


class CredentialsMissing(StoreMisconfigured):
    """No credentials were found that can be used: there are none, in part, or their session is over."""

    def __init__(self, *, operation: str, reason: str) -> None:
        super().__init__(
            problem=f"there are no AWS credentials that can be used: {reason}",
            repair="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the function, "
            "task or instance a role; `aws sso login` and `aws login` begin a session anew",
            operation=operation,
        )
        self.reason = reason


class CredentialsExpired(StoreMisconfigured):
    """The credentials have run out, or the request came too late by this computer's clock.

    `code` is AWS's. A process with fixed credentials gets new ones by a new start. A handler of a
    subscription that meets this is waited for (`is_transient`): its event must not suffer by it.
    """

    def __init__(self, *, operation: str, code: str, reason: str) -> None:
        clock = code in _TOO_LATE
        super().__init__(
            problem=f"{'the request came too late' if clock else 'the credentials have expired'}: {reason}",
            repair="Set this computer's clock (NTP)"
            if clock
            else "Get new ones (`aws sso login`, `aws login`, AWS_SESSION_TOKEN) and start again",
            operation=operation,
        )
        self.code = code
        self.reason = reason


class CredentialsRefused(StoreMisconfigured):
    """AWS doesn't know the credentials, or their signature is wrong; `code` is AWS's."""

    def __init__(self, *, operation: str, code: str, reason: str) -> None:
        super().__init__(
            problem=f"AWS doesn't accept the credentials: {reason}",
            repair="Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, which belong "
            "together, at AWS_PROFILE, and at this computer's clock, by which requests are signed",
            operation=operation,
        )
        self.code = code
        self.reason = reason


class RegionMissing(StoreMisconfigured):
    """There is no Region, or none that AWS has: no request was made."""

    def __init__(self, *, operation: str, reason: str) -> None:
        super().__init__(
            problem=f"there is no AWS Region that can be used: {reason}",
            repair="Set AWS_REGION, give the profile one, or give region_name",
            operation=operation,
        )
        self.reason = reason


def _tables(tables: tuple[str, ...]) -> str:
    names = ", ".join(map(repr, tables))
    return f"table {names}" if len(tables) == 1 else f"table among {names}"
