"""The app's settings: read from CDK context, checked, and handed down as values.

`cdk.json` holds one complete set for each environment (`dev`, `prod`, `local`) under `environments`; it is
the reference of what there is to set. Any single value is overridden with `-c key=value`:

    cdk deploy --all -c environment=prod -c auth=jwt -c jwtIssuer=https://id.example.com/ -c jwtAudience=a,b

(all but `readShards` and `logTranches` where data is retained: see `_shards`). An unknown key, a missing one
and a value out of range are refused at synth, with a `SettingsError`. This module imports neither the CDK nor
boto3.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias, TypeVar

from eventstore import limits

Context: TypeAlias = Mapping[str, object]
_Choice = TypeVar("_Choice", bound=str)

_REPLAY_TARGET: Final = re.compile(
    r"arn:aws[a-z-]*:(?:sqs:[a-z0-9-]+:\d{12}:[\w-]+(?:\.fifo)?"
    r"|lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(?::[\w$-]+)?"
    r"|events:[a-z0-9-]+:\d{12}:event-bus/[\w./-]+)",
    re.ASCII,
)

DEFAULT_ENVIRONMENT: Final = "dev"

LOG_RETENTION: Final[Mapping[int, str]] = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    731: "TWO_YEARS",
    1827: "FIVE_YEARS",
    3653: "TEN_YEARS",
}
"""Days that a log can be kept (those of CloudWatch's choices that we offer), and the CDK's name for each."""

RECORD_AGE_MAX_S: Final = 23 * 3_600
"""A stream forgets its records after 24 hours: the mapping must give up, and say so, before that."""


class SettingsError(ValueError):
    """A setting is missing, unknown or out of range; the message says which, and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtAuth:
    """Callers show a JSON Web Token of `issuer` for one of `audiences`."""

    issuer: str
    audiences: tuple[str, ...]


Auth: TypeAlias = Literal["iam", "none"] | JwtAuth
"""`iam`: requests are signed (SigV4). `none`: whoever knows the URL may read and append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Who may call, and how often."""

    auth: Auth
    requests_per_second: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationSettings:
    """How the records of the table's stream become events on the bus."""

    event_source: str
    batch_size: int
    window_s: int
    max_record_age_s: int
    put_events_max_bytes: int
    partial_batch: Literal["report", "raise"]
    """`report`: AWS's partial batch response. `raise`: fail as a whole, for the local cloud, which takes a
    partial response for success and would lose the records that it reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How the records of the table's stream become blocks of the log."""

    tranches: int
    """As many as the log was begun with: the indexer refuses to write with another number."""
    batch_size: int
    window_s: int
    """Seconds to gather a batch: larger blocks cost less, and come later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """From what value on each alarm rings (None: no such alarm), and who hears it, if anybody."""

    conflict_percent: float | None
    throttled_requests: float | None
    function_errors: float | None
    server_errors: float | None
    iterator_age_s: float | None
    email: str | None
    topic_arn: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one environment, checked together."""

    environment: str
    write_shards: int
    read_shards: int
    """Shards that a read of all streams asks: at least the most that were ever written."""
    settling_s: float
    compression: Literal["none", "zlib", "zstd"]
    """How the append function stores payloads. Whatever was stored can be read under any setting."""
    retain_data: bool
    """Table, bus and queues outlive their stacks, and deletion and termination protection are on."""
    log_retention_days: int
    packages_for: Literal["aws", "machine"]
    """`aws`: arm64, Python 3.13. `machine`: this computer, whose Python runs the local cloud's functions."""
    api: ApiSettings
    publication: PublicationSettings
    replay_targets: tuple[str, ...]
    """ARNs of the queues, functions and buses that may be a replay's target."""
    log: LogSettings
    alarms: AlarmSettings

    @staticmethod
    def from_context(context: Context) -> "Settings":
        """The settings of the environment that `context` names, `dev` when it names none.

        Raises `SettingsError` for the first fault.
        """
        reader = _Reader(context)
        retain_data = reader.flag("retainData")
        write_shards, read_shards = _shards(reader, retain_data=retain_data)
        settings = Settings(
            environment=reader.environment,
            write_shards=write_shards,
            read_shards=read_shards,
            settling_s=reader.number("settlingS", low=0, high=3_600),
            compression=reader.choice("compression", "none", "zlib", "zstd"),
            retain_data=retain_data,
            log_retention_days=_log_retention_days(reader),
            packages_for=reader.choice("packagesFor", "aws", "machine"),
            api=ApiSettings(
                auth=_auth(reader),
                requests_per_second=reader.integer("apiRequestsPerSecond", low=1, high=100_000),
                burst=reader.integer("apiBurst", low=1, high=100_000),
            ),
            publication=PublicationSettings(
                event_source=_event_source(reader),
                batch_size=reader.integer("publishBatchSize", low=1, high=10_000),
                window_s=reader.integer("publishWindowS", low=0, high=300),
                max_record_age_s=reader.integer("publishMaxRecordAgeS", low=60, high=RECORD_AGE_MAX_S),
                put_events_max_bytes=reader.integer("putEventsMaxBytes", low=16 * 1_024, high=1_024 * 1_024),
                partial_batch=reader.choice("partialBatch", "report", "raise"),
            ),
            log=LogSettings(
                tranches=_log_tranches(reader, retain_data=retain_data),
                batch_size=reader.integer("logBatchSize", low=1, high=10_000),
                window_s=reader.integer("logWindowS", low=0, high=300),
            ),
            replay_targets=_replay_targets(reader, retain_data=retain_data),
            alarms=_alarms(reader),
        )
        reader.refuse_unknown_keys()
        return settings


def write_shards_for(*, events_per_second: int, average_item_kb: float) -> int:
    """The shards of the time index, so that none takes more writes than one partition can."""
    units_per_second = events_per_second * math.ceil(average_item_kb)
    return math.ceil(units_per_second / limits.WRITES_PER_SHARD_PER_SECOND)


class _Reader:
    """Takes values out of the context: an override (`-c key=value`) first, then the environment's own."""

    def __init__(self, context: Context) -> None:
        environments = context.get("environments")
        if not isinstance(environments, Mapping):
            raise SettingsError(
                "There are no environments: cdk.json must hold them under context.environments, and the "
                "command must run in its folder."
            )
        self.environment = str(context.get("environment", DEFAULT_ENVIRONMENT))
        if self.environment not in environments:
            raise SettingsError(
                f"Unknown environment {self.environment!r}: cdk.json has {', '.join(environments)}. "
                f"Name one of them with -c environment=..., or add it under context.environments."
            )
        self._recorded: Context = environments[self.environment]
        self._overrides = context
        self._known = {"environment", "environments"}

    def optional(self, key: str) -> object | None:
        self._known.add(key)
        return self._overrides.get(key, self._recorded.get(key))

    def required(self, key: str) -> object:
        value = self.optional(key)
        if value is None:
            raise self.error(key, "is missing")
        return value

    def is_overridden(self, key: str) -> bool:
        return key in self._overrides

    def number(self, key: str, *, low: float, high: float) -> float:
        value = self.required(key)
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except ValueError:
            number = math.nan
        if isinstance(value, bool) or not low <= number <= high:  # NaN is in no range
            raise self.error(key, f"is {value!r}; it must be a number from {low:,} to {high:,}")
        return number

    def integer(self, key: str, *, low: int, high: int) -> int:
        number = self.number(key, low=low, high=high)
        if not number.is_integer():
            raise self.error(key, f"is {number}; it must be a whole number from {low:,} to {high:,}")
        return int(number)

    def flag(self, key: str) -> bool:
        value = self.required(key)
        return value is True if isinstance(value, bool) else self.choice(key, "true", "false") == "true"

    def choice(self, key: str, *choices: _Choice) -> _Choice:
        value = self.required(key)
        for choice in choices:
            if choice == value:
                return choice
        raise self.error(key, f"is {value!r}; it must be one of: {', '.join(choices)}")

    def text(self, key: str) -> str | None:
        value = self.optional(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        raise self.error(key, f"is {value!r}; it must be text")

    def threshold(self, key: str, *, high: float) -> float | None:
        return None if self.required(key) == "off" else self.number(key, low=1, high=high)

    def error(self, key: str, what: str, *, only_in_file: bool = False) -> SettingsError:
        where = f"in cdk.json under context.environments.{self.environment}"
        mend = f"Set it {where}." if only_in_file else f"Set it {where}, or with -c {key}=..."
        return SettingsError(f"Setting {key} of environment {self.environment!r} {what}. {mend}")

    def refuse_unknown_keys(self) -> None:
        """A mistyped key must not be taken for an absent one."""
        # The CDK and its CLI keep keys of their own in the context; each of them has a `:`, `/` or `-`.
        overrides = [key for key in self._overrides if key.isidentifier()]
        for key in (*self._recorded, *overrides):
            if key not in self._known:
                hint = get_close_matches(key, self._known, n=1) or sorted(self._known)
                raise SettingsError(
                    f"Unknown setting {key!r} in cdk.json or given with -c. Did you mean {' or '.join(hint)}?"
                )


def _shards(reader: _Reader, *, retain_data: bool) -> tuple[int, int]:
    """Write shards, and read shards that cover every shard that was ever written.

    Synth can't see how a table was written in the past; `readShards` in cdk.json is that memory. It must
    cover the write shards before they are used, so that each raise is written down and committed with the
    code; when write shards are lowered, it stays. So the command line can't set it where data is retained.
    """
    write_shards = write_shards_for(
        events_per_second=reader.integer("eventsPerSecond", low=1, high=1_000_000),
        average_item_kb=reader.number("averageItemKb", low=0.001, high=limits.ITEM_MAX_BYTES / 1_024),
    )
    if reader.optional("writeShards") is not None:
        write_shards = reader.integer("writeShards", low=1, high=limits.SHARDS_MAX)
    if write_shards > limits.SHARDS_MAX:
        raise reader.error(
            "eventsPerSecond", f"needs {write_shards:,} shards; one store has {limits.SHARDS_MAX:,} at most"
        )
    read_shards = reader.integer("readShards", low=1, high=limits.SHARDS_MAX)
    if retain_data and reader.is_overridden("readShards"):
        raise reader.error(
            "readShards",
            "is given with -c, but it records which shards were ever written, for every later deployment",
            only_in_file=True,
        )
    if read_shards < write_shards:
        raise reader.error(
            "readShards",
            f"is {read_shards}, but {write_shards} shards would be written, and events in the others would "
            f"never be read: raise it to {write_shards}, and never lower it again",
            only_in_file=retain_data,
        )
    return write_shards, read_shards


def _log_tranches(reader: _Reader, *, retain_data: bool) -> int:
    """The log's tranches, fixed by its first block: the file records them, as it does `readShards`."""
    tranches = reader.integer("logTranches", low=1, high=limits.LOG_TRANCHES_MAX)
    if retain_data and reader.is_overridden("logTranches"):
        raise reader.error(
            "logTranches",
            "is given with -c, but it records what the log was begun with, for every later deployment",
            only_in_file=True,
        )
    return tranches


def _auth(reader: _Reader) -> Auth:
    kind: Literal["iam", "jwt", "none"] = reader.choice("auth", "iam", "jwt", "none")
    issuer, audiences = reader.text("jwtIssuer") or "", reader.text("jwtAudience") or ""
    if kind != "jwt":
        return kind
    if not issuer.startswith("https://"):
        raise reader.error("jwtIssuer", f"is {issuer!r}; auth=jwt needs the issuer's https URL")
    names = tuple(name.strip() for name in audiences.split(",") if name.strip())
    if not names:
        raise reader.error("jwtAudience", "names none; auth=jwt needs an audience, or several with commas")
    return JwtAuth(issuer=issuer, audiences=names)


def _log_retention_days(reader: _Reader) -> int:
    days = reader.integer("logRetentionDays", low=1, high=max(LOG_RETENTION))
    if days not in LOG_RETENTION:
        choices = ", ".join(map(str, LOG_RETENTION))
        raise reader.error("logRetentionDays", f"is {days}; CloudWatch offers: {choices}")
    return days


def _event_source(reader: _Reader) -> str:
    source = str(reader.required("eventSource"))
    if not source or source.startswith("aws."):
        raise reader.error("eventSource", f"is {source!r}; it must be text, and `aws.` is EventBridge's own")
    return source


def _replay_targets(reader: _Reader, *, retain_data: bool) -> tuple[str, ...]:
    given = reader.required("replayTargets")
    arns = given.split(",") if isinstance(given, str) else given
    if not isinstance(arns, list) or not all(isinstance(arn, str) for arn in arns):
        raise reader.error("replayTargets", f"is {given!r}; it must be a list of ARNs, or text with commas")
    targets = tuple(dict.fromkeys(arn.strip() for arn in arns if arn.strip()))
    for arn in targets:
        if arn.endswith(":*") and not retain_data and _REPLAY_TARGET.fullmatch(f"{arn[:-1]}any"):
            continue  # any queue or function, where nothing is to be kept: who may try it out, may replay
        if not _REPLAY_TARGET.fullmatch(arn):
            what = "the ARN of an SQS queue, a Lambda function or an EventBridge bus, without wildcards"
            raise reader.error("replayTargets", f"has {arn!r}; each must be {what}")
    return targets


def _alarms(reader: _Reader) -> AlarmSettings:
    email, topic_arn = reader.text("alarmEmail"), reader.text("alarmTopicArn")
    if email is not None and topic_arn is not None:
        raise reader.error("alarmEmail", "and alarmTopicArn are both set; keep one of them")
    if email is not None and "@" not in email:
        raise reader.error("alarmEmail", f"is {email!r}; it must be an e-mail address")
    if topic_arn is not None and not topic_arn.startswith("arn:"):
        raise reader.error("alarmTopicArn", f"is {topic_arn!r}; it must be the ARN of an SNS topic")
    return AlarmSettings(
        conflict_percent=reader.threshold("alarmConflictPercent", high=100),
        throttled_requests=reader.threshold("alarmThrottledRequests", high=1_000_000),
        function_errors=reader.threshold("alarmFunctionErrors", high=1_000_000),
        server_errors=reader.threshold("alarmServerErrors", high=1_000_000),
        iterator_age_s=reader.threshold("alarmIteratorAgeS", high=RECORD_AGE_MAX_S),
        email=email,
        topic_arn=topic_arn,
    )
