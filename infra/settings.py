"""The app's settings: read from CDK context, checked, and handed down as values.

`cdk.json` holds one complete set for each environment (`dev`, `prod`, `local`) under `environments`; it is
the reference of what there is to set. Any single value is overridden with `-c key=value`:

    cdk deploy --all -c environment=prod -c auth=jwt -c jwtIssuer=https://id.example.com/ -c jwtAudience=a,b

(all but `logTranches` where data is retained: see `_log_tranches`). An unknown key, a missing one,
a value out of range and one that takes a promise back where data is retained are refused at synth, with a
`SettingsError`. This module imports neither the CDK nor boto3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from eventstore import _setting_rules as rules
from eventstore import limits
from eventstore.http.paths import ApiFunction
from eventstore.plan import Workload, plan_for, write_shards_for
from infra import synth_rules
from infra.alarm_settings import AlarmSettings, read_alarms
from infra.context import Context, SettingsError, SettingsReader
from infra.synth_rules import RECORD_AGE_MAX_S

__all__ = ["Settings", "SettingsError"]

_CONCURRENCY: Final = synth_rules.whole(1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtAuth:
    """Callers show a JSON Web Token of `issuer` for one of `audiences`."""

    issuer: str
    audiences: tuple[str, ...]
    scopes: Mapping[ApiFunction, tuple[str, ...]]
    """Of which a token needs one, by the function that answers; none: any token will do."""


Auth: TypeAlias = Literal["iam", "none"] | JwtAuth
"""`iam`: requests are signed (SigV4). `none`: whoever knows the URL may read and append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsSettings:
    """Which pages of other origins a browser lets call the API, with which headers and methods."""

    origins: tuple[str, ...]
    headers: tuple[str, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """The peak that the store is made for, and how full a shard may be then."""

    events_per_second: int
    average_item_kb: float
    shard_utilisation_percent: float

    @property
    def write_shards(self) -> int:
        """The shards of the time index that this takes (ADR 13)."""
        return write_shards_for(
            events_per_second=self.events_per_second,
            average_item_kb=self.average_item_kb,
            utilisation_percent=self.shard_utilisation_percent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Who may call, and how often."""

    auth: Auth
    cors: CorsSettings | None
    """None: browsers let no page of another origin call the API."""
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
    reserved_concurrency: int | None
    """Calls at a time that Lambda keeps for the publisher, and never exceeds; None: it shares the account's
    with all other functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How the records of the table's stream become blocks of the log."""

    tranches: int | None
    """With how many a new log is begun; None for the default. One that is begun keeps its own, and the log
    writer refuses to write with another number."""
    batch_size: int
    window_s: int
    """Seconds to gather a batch: larger blocks cost less, and come later."""
    reserved_concurrency: int | None
    """Calls at a time that Lambda keeps for it, and never exceeds; None: it shares the account's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one environment, checked together."""

    environment: str
    load: LoadSettings
    write_shards: int
    read_shards: int
    """For how many the replay function has memory; readers ask the store how many there are."""
    clocks: Literal["checked", "shared"]
    """`checked`: functions compare their clock with DynamoDB's. `shared`: both run on one computer, as in the
    local cloud."""
    settling_s: float
    """Below what makes an event late where clocks are shared, and nowhere else."""
    compression: Literal["none", "zlib", "zstd"]
    """How the append function stores payloads. Whatever was stored can be read under any setting."""
    retain_data: bool
    """Table, bus and queues outlive their stacks, and deletion and termination protection are on."""
    function_log_retention_days: int
    packages_for: Literal["aws", "machine"]
    """`aws`: arm64, Python 3.13. `machine`: this computer, whose Python runs the local cloud's functions."""
    api: ApiSettings
    publication: PublicationSettings
    replay_targets: tuple[str, ...]
    """ARNs of the queues, functions and buses that may be a replay's target."""
    replays_at_once: int
    """How many replays run at once; the others wait for their turn."""
    log: LogSettings
    alarms: AlarmSettings

    @property
    def workload(self) -> Workload:
        """What the planner plans for at synth."""
        return Workload(
            events_per_second=self.load.events_per_second,
            item_kb=self.load.average_item_kb,
            utilisation_percent=self.load.shard_utilisation_percent,
            write_shards=None if self.write_shards == self.load.write_shards else self.write_shards,
            batch_size=self.publication.batch_size,
            window_s=self.publication.window_s,
            log_batch_size=self.log.batch_size,
            log_window_s=self.log.window_s,
            log_tranches=self.log.tranches or limits.LOG_TRANCHES,
            api_requests_per_second=self.api.requests_per_second,
        )

    def variables(self, *names: str) -> dict[str, str]:
        """These environment variables, as functions are given their settings; none for what isn't set."""
        values: dict[str, str | float | tuple[str, ...] | None] = {
            "CLOCKS": self.clocks,
            "COMPRESSION": self.compression,
            "EVENT_SOURCE": self.publication.event_source,
            "LOG_TRANCHES": self.log.tranches,
            "PARTIAL_BATCH": self.publication.partial_batch,
            "PUT_EVENTS_MAX_BYTES": self.publication.put_events_max_bytes,
            "REPLAYS_AT_ONCE": self.replays_at_once,
            "REPLAY_TARGETS": self.replay_targets,
            "SETTLING_S": self.settling_s,
            "WRITE_SHARDS": self.write_shards,
        }
        return {name: rules.as_variable(value) for name in names if (value := values[name]) is not None}

    @staticmethod
    def from_context(context: Context) -> "Settings":
        """The settings of the environment that `context` names, `dev` when it names none.

        Raises `SettingsError` for the first fault.
        """
        reader = SettingsReader(context)
        retain_data = reader.required("retainData", synth_rules.flag)
        load = LoadSettings(
            events_per_second=reader.required("eventsPerSecond", synth_rules.whole(1, 1_000_000)),
            average_item_kb=reader.required(
                "averageItemKb", synth_rules.number(0.001, limits.ITEM_MAX_BYTES / 1_024)
            ),
            shard_utilisation_percent=reader.required("shardUtilisationPercent", synth_rules.number(1, 100)),
        )
        write_shards, read_shards = _shards(reader, load)
        clocks = reader.required("clocks", synth_rules.clocks(retain_data=retain_data))
        publication = _publication(reader, retain_data=retain_data)
        log = LogSettings(
            tranches=_log_tranches(reader, retain_data=retain_data),
            batch_size=reader.required("logBatchSize", synth_rules.whole(1, 10_000)),
            window_s=reader.required("logWindowS", synth_rules.whole(0, 300)),
            reserved_concurrency=reader.optional("logReservedConcurrency", _CONCURRENCY),
        )
        settings = Settings(
            environment=reader.environment,
            load=load,
            write_shards=write_shards,
            read_shards=read_shards,
            clocks=clocks,
            settling_s=reader.required(
                "settlingS", rules.settling_s_of_shared_clocks if clocks == "shared" else rules.settling_s
            ),
            compression=reader.required("compression", rules.compression),
            retain_data=retain_data,
            function_log_retention_days=reader.required(
                "functionLogRetentionDays", synth_rules.function_log_retention_days
            ),
            packages_for=reader.required("packagesFor", synth_rules.packages_for(retain_data=retain_data)),
            api=ApiSettings(
                auth=_auth(reader),
                cors=_cors(reader),
                requests_per_second=reader.required("apiRequestsPerSecond", synth_rules.whole(1, 100_000)),
                burst=reader.required("apiBurst", synth_rules.whole(1, 100_000)),
            ),
            publication=publication,
            log=log,
            replay_targets=_replay_targets(reader, retain_data=retain_data),
            replays_at_once=reader.required("replaysAtOnce", rules.replays_at_once),
            alarms=read_alarms(
                reader,
                windows_s={"publishWindowS": publication.window_s, "logWindowS": log.window_s},
                max_record_age_s=publication.max_record_age_s,
            ),
        )
        reader.refuse_unknown_keys()
        _check_reserved(reader, settings)
        return settings


def _shards(reader: SettingsReader, load: LoadSettings) -> tuple[int, int]:
    """Write shards, and for how many the replay function is made.

    How many have to be read stands in the store, and no setting can lower that. `readShards` is only for who
    has lowered the write shards: a replay still holds a page of each shard that was ever written.
    """
    write_shards = reader.optional("writeShards", rules.shards) or load.write_shards
    if write_shards > limits.SHARDS_MAX:
        raise reader.error(
            "eventsPerSecond", f"needs {write_shards:,} shards; one store has {limits.SHARDS_MAX:,} at most"
        )
    read_shards = reader.optional("readShards", rules.shards) or write_shards
    if read_shards < write_shards:
        raise reader.error(
            "readShards",
            f"is {read_shards}, but {write_shards} shards are written, and a replay reads them all: raise it "
            f"to {write_shards}, or leave it out",
        )
    return write_shards, read_shards


def _log_tranches(reader: SettingsReader, *, retain_data: bool) -> int | None:
    """The log's tranches, fixed by its first block: where data is retained, the file alone records them."""
    tranches = reader.optional("logTranches", rules.log_tranches)
    if retain_data and reader.is_overridden("logTranches"):
        raise reader.error(
            "logTranches",
            "is given with -c, but it records what the log was begun with, for every later deployment",
            only_in_file=True,
        )
    return tranches


def _publication(reader: SettingsReader, *, retain_data: bool) -> PublicationSettings:
    """How events are published; the mapping must leave records the time to be gathered, and tried."""
    publication = PublicationSettings(
        event_source=reader.required("eventSource", rules.event_source),
        batch_size=reader.required("publishBatchSize", synth_rules.whole(1, 10_000)),
        window_s=reader.required("publishWindowS", synth_rules.whole(0, 300)),
        max_record_age_s=reader.required("publishMaxRecordAgeS", synth_rules.whole(60, RECORD_AGE_MAX_S)),
        put_events_max_bytes=reader.required("putEventsMaxBytes", rules.put_events_max_bytes),
        partial_batch=reader.required("partialBatch", synth_rules.partial_batch(retain_data=retain_data)),
        reserved_concurrency=reader.optional("publishReservedConcurrency", _CONCURRENCY),
    )
    least_s = publication.window_s + synth_rules.CONSUMER_TIMEOUT_S
    if publication.max_record_age_s < least_s:
        raise reader.error(
            "publishMaxRecordAgeS",
            f"is {publication.max_record_age_s}; it must be {least_s} at least: gathering a batch takes "
            f"{publication.window_s} s (publishWindowS), a try of it {synth_rules.CONSUMER_TIMEOUT_S} s, "
            "and events would be given up that nothing is wrong with",
        )
    return publication


def _auth(reader: SettingsReader) -> Auth:
    kind = reader.required("auth", synth_rules.auth_kind)
    issuer, audiences = (
        reader.optional("jwtIssuer", synth_rules.issuer),
        reader.optional("jwtAudience", synth_rules.audiences),
    )
    scopes: dict[ApiFunction, tuple[str, ...]] = {
        of: reader.optional(key, synth_rules.scopes) or () for key, of in synth_rules.SCOPES.items()
    }
    if kind != "jwt":
        given = {"jwtIssuer": issuer, "jwtAudience": audiences}
        given |= {key: scopes[of] for key, of in synth_rules.SCOPES.items()}
        idle = [key for key, value in given.items() if value]
        if idle:
            raise reader.error("auth", f"is {kind!r}, by which {', '.join(idle)} would do nothing: use 'jwt'")
        return kind
    if issuer is None:
        raise reader.error("jwtIssuer", "is missing; auth=jwt needs the issuer's https URL")
    if not audiences:
        raise reader.error("jwtAudience", "names none; auth=jwt needs an audience, or several with commas")
    return JwtAuth(issuer=issuer, audiences=audiences, scopes=scopes)


def _cors(reader: SettingsReader) -> CorsSettings | None:
    origins = reader.required("corsOrigins", synth_rules.origins)
    headers, methods = (
        reader.optional("corsHeaders", synth_rules.headers),
        reader.optional("corsMethods", synth_rules.methods),
    )
    if not origins:
        if headers or methods:
            raise reader.error("corsOrigins", "names none, so corsHeaders and corsMethods would do nothing")
        return None
    return CorsSettings(
        origins=origins,
        headers=headers or synth_rules.CORS_HEADERS,
        methods=methods or synth_rules.CORS_METHODS,
    )


def _replay_targets(reader: SettingsReader, *, retain_data: bool) -> tuple[str, ...]:
    targets = reader.required("replayTargets", rules.replay_targets)
    wide = [arn for arn in targets if arn.endswith("*")]
    if wide and retain_data:  # where nothing is to be kept, who may try it out may replay
        raise reader.error("replayTargets", f"has {wide[0]!r}; where data is retained, name each target")
    return targets


def _check_reserved(reader: SettingsReader, settings: Settings) -> None:
    """A function that may run less often than its mapping calls it would be throttled all the time."""
    capacity = plan_for(settings.workload).capacity
    for key, reserved, least in (
        (
            "publishReservedConcurrency",
            settings.publication.reserved_concurrency,
            capacity.publisher_concurrency_max,
        ),
        ("logReservedConcurrency", settings.log.reserved_concurrency, capacity.log_writer_concurrency_max),
    ):
        if reserved is not None and reserved < least.value:
            raise reader.error(
                key,
                f"is {reserved}, but the mapping calls the function {least.value:g} times at once, by the "
                f"planner's estimate ({least.formula}): Lambda would throttle it. Raise it to "
                f"{least.value:g} at least, or leave it out",
            )
