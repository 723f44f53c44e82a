"""The settings of alarms: from what value on each rings, and who hears it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, TypeVar

from infra import synth_rules
from infra.context import SettingsReader
from infra.synth_rules import RECORD_AGE_MAX_S

_Value = TypeVar("_Value")
_COUNT: Final = synth_rules.number(1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """From what value on each alarm rings (None: no such alarm), and who hears it, if anybody."""

    conflict_percent: float | None
    throttled_requests: float | None
    function_errors: float | None
    function_throttles: float | None
    server_errors: float | None
    api_throttles: float | None
    iterator_age_s: float | None
    silent_minutes: int | None
    """After how long a consumer of the table's stream is missed that isn't invoked for what is appended."""
    email: str | None
    topic_arn: str | None


def read_alarms(
    reader: SettingsReader, *, windows_s: Mapping[str, int], max_record_age_s: int
) -> AlarmSettings:
    """Reads the settings of alarms.

    `windows_s`: the settings by which batches are gathered, and their values; `max_record_age_s`: from what
    age on the publisher's mapping gives records up.
    """
    email, topic_arn = (
        reader.optional("alarmEmail", synth_rules.email),
        reader.optional("alarmTopicArn", synth_rules.topic_arn),
    )
    if email is not None and topic_arn is not None:
        raise reader.error("alarmEmail", "and alarmTopicArn are both set; keep one of them")
    return AlarmSettings(
        conflict_percent=_unless_off(reader, "alarmConflictPercent", synth_rules.number(1, 100)),
        throttled_requests=_unless_off(reader, "alarmThrottledRequests", _COUNT),
        function_errors=_unless_off(reader, "alarmFunctionErrors", _COUNT),
        function_throttles=_unless_off(reader, "alarmFunctionThrottles", _COUNT),
        server_errors=_unless_off(reader, "alarmServerErrors", _COUNT),
        api_throttles=_unless_off(reader, "alarmApiThrottles", _COUNT),
        iterator_age_s=_iterator_age_s(reader, windows_s, max_record_age_s),
        silent_minutes=_unless_off(reader, "alarmSilentMinutes", synth_rules.whole(5, 60)),
        email=email,
        topic_arn=topic_arn,
    )


def _iterator_age_s(
    reader: SettingsReader, windows_s: Mapping[str, int], max_record_age_s: int
) -> float | None:
    """From what age of records on `Late` rings: behind what gathering alone takes, and while it's of use.

    A mapping that has given its records up takes young ones, so the alarm would never hear of the old.
    """
    late_s = synth_rules.LATE_RINGS_WITHIN_S
    age_s = _unless_off(reader, "alarmIteratorAgeS", synth_rules.number(1, RECORD_AGE_MAX_S - late_s))
    if age_s is None:
        return None
    if age_s > max_record_age_s - late_s:
        raise reader.error(
            "alarmIteratorAgeS",
            f"is {age_s:g}, and the alarm may ring {late_s} s after that, when the mapping has given the "
            f"records up (publishMaxRecordAgeS is {max_record_age_s}): lower it, or set it off, "
            f"or raise publishMaxRecordAgeS to {ceil(age_s) + late_s}",
        )
    longest = max(windows_s, key=lambda of: windows_s[of])
    if age_s <= windows_s[longest]:
        raise reader.error(
            "alarmIteratorAgeS",
            f"is {age_s:g}, and records get as old while their batch is gathered ({longest} is "
            f"{windows_s[longest]}): the alarm would ring without trouble. Raise it above that",
        )
    return age_s


def _unless_off(reader: SettingsReader, key: str, rule: Callable[[object], _Value]) -> _Value | None:
    """From what value on an alarm rings; None where it's `off`."""
    value = reader.required(key, synth_rules.or_off(rule))
    return None if value == "off" else value
