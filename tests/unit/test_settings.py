"""The functions' environment: typed, complete, and refused with a sentence for each fault."""

from __future__ import annotations

import pickle

import pytest

from eventstore.limits import CLOCK_TOLERANCE_S, PUT_EVENTS_MAX_BYTES, SETTLING_S
from settings import (
    AppendSettings,
    InvalidSettings,
    LogSettings,
    PublishSettings,
    ReadSettings,
    ReplaySettings,
    ReplaysSettings,
)

PUBLISH = {
    "JOURNAL_TABLE": "journal",
    "EVENTS_TABLE": "events",
    "EVENT_BUS": "bus",
    "FAILED_EVENTS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/failed",
    "API_URL": "https://api.example.com/v1/",
}

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:rebuild.fifo"
ANY_BUS = "arn:aws:events:eu-central-1:123456789012:event-bus/*"

READ = {"EVENTS_TABLE": "events", "LOG_TABLE": "log"}
INDEX = {"EVENTS_TABLE": "events", "JOURNAL_TABLE": "journal", "LOG_TABLE": "log"}


def test_append_settings_are_typed() -> None:
    settings = AppendSettings.from_environ({"EVENTS_TABLE": "events", "WRITE_SHARDS": "12"})
    assert settings == AppendSettings(
        events_table="events",
        write_shards=12,
        clock_tolerance_s=CLOCK_TOLERANCE_S,
        compression="none",
    )


def test_read_settings_are_typed_and_have_the_default_settling_time() -> None:
    assert ReadSettings.from_environ(READ).settling_s == SETTLING_S
    assert ReadSettings.from_environ({**READ, "SETTLING_S": "12.5"}).settling_s == 12.5


def test_clocks_are_compared_unless_they_are_one() -> None:
    assert ReadSettings.from_environ(READ).clock_tolerance_s == CLOCK_TOLERANCE_S
    shared = ReadSettings.from_environ({**READ, "SETTLING_S": "2", "CLOCKS": "shared"})
    assert (shared.settling_s, shared.clock_tolerance_s) == (2, None)


def test_index_settings_are_typed_and_report_by_default() -> None:
    environ = {**INDEX, "LOG_TRANCHES": "8"}
    settings = LogSettings.from_environ(environ)
    assert settings == LogSettings(
        events_table="events",
        journal_table="journal",
        log_table="log",
        log_tranches=8,
        raises_when_stopped=False,
    )
    assert LogSettings.from_environ(INDEX).log_tranches is None
    assert LogSettings.from_environ({**environ, "PARTIAL_BATCH": "raise"}).raises_when_stopped is True


@pytest.mark.parametrize("value", ["0", "257", "four"])
def test_tranches_have_to_be_a_whole_number_within_bounds(value: str) -> None:
    with pytest.raises(InvalidSettings, match="LOG_TRANCHES is"):
        LogSettings.from_environ({**INDEX, "LOG_TRANCHES": value})


def test_publish_settings_have_defaults_and_an_api_url_without_last_slash() -> None:
    settings = PublishSettings.from_environ(PUBLISH)
    assert settings.api_url == "https://api.example.com/v1"
    assert settings.event_source == "eventstore"
    assert settings.put_events_max_bytes == PUT_EVENTS_MAX_BYTES
    assert settings.raises_when_stopped is False


def test_partial_batch_raise_is_read() -> None:
    assert PublishSettings.from_environ({**PUBLISH, "PARTIAL_BATCH": "raise"}).raises_when_stopped is True


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        PublishSettings.from_environ({"PARTIAL_BATCH": "maybe", "API_URL": "nowhere"})
    assert caught.value.faults == (
        "EVENTS_TABLE is missing; set it in the function's environment",
        "JOURNAL_TABLE is missing; set it in the function's environment",
        "EVENT_BUS is missing; set it in the function's environment",
        "FAILED_EVENTS_QUEUE_URL is missing; set it in the function's environment",
        "API_URL is 'nowhere'; it must be a URL",
        "PARTIAL_BATCH is 'maybe'; it must be one of: report, raise",
    )


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1.5", "ten", "²", "1e1"])
def test_shards_have_to_be_a_whole_number_within_bounds(value: str) -> None:
    with pytest.raises(InvalidSettings, match="WRITE_SHARDS is .* a whole number from 1 to 1,000"):
        AppendSettings.from_environ({"EVENTS_TABLE": "events", "WRITE_SHARDS": value})


def test_compression_is_one_of_those_there_are() -> None:
    environ = {"EVENTS_TABLE": "events", "WRITE_SHARDS": "1", "COMPRESSION": "zstd"}
    assert AppendSettings.from_environ(environ).compression == "zstd"
    with pytest.raises(InvalidSettings, match="COMPRESSION is 'gzip'; it must be one of: none, zlib, zstd"):
        AppendSettings.from_environ({**environ, "COMPRESSION": "gzip"})


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", "3600.1", "1_0", "\u0661\u0660"])
def test_settling_time_has_to_be_seconds(value: str) -> None:
    with pytest.raises(InvalidSettings, match="SETTLING_S is .* a number from 0 to 3,600"):
        ReadSettings.from_environ({**READ, "SETTLING_S": value})


@pytest.mark.parametrize("value", ["aws.events", "two words", "x" * 257])
def test_event_source_that_eventbridge_refuses_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(InvalidSettings, match="EVENT_SOURCE"):
        PublishSettings.from_environ({**PUBLISH, "EVENT_SOURCE": value})


@pytest.mark.parametrize("value", ["1024", "1048577"])
def test_put_events_bytes_are_within_what_eventbridge_takes(value: str) -> None:
    with pytest.raises(InvalidSettings, match="PUT_EVENTS_MAX_BYTES is .* from 16,384 to 1,048,576"):
        PublishSettings.from_environ({**PUBLISH, "PUT_EVENTS_MAX_BYTES": value})


def test_blank_variable_counts_as_missing() -> None:
    with pytest.raises(InvalidSettings, match="EVENTS_TABLE is missing"):
        AppendSettings.from_environ({"EVENTS_TABLE": " ", "WRITE_SHARDS": "1"})


REPLAY = {
    "EVENTS_TABLE": "events",
    "REPLAYS_TABLE": "replays",
    "API_URL": "https://api.example.com/",
}


def test_replay_settings_are_typed_and_have_the_publishers_defaults() -> None:
    settings = ReplaySettings.from_environ(REPLAY)
    assert settings.settling_s == SETTLING_S
    assert (settings.api_url, settings.event_source) == ("https://api.example.com", "eventstore")
    assert settings.put_events_max_bytes == PUT_EVENTS_MAX_BYTES


def test_replays_settings_have_no_target_unless_one_is_named() -> None:
    environ = {"REPLAYS_TABLE": "replays", "REPLAY_MACHINE": "arn:aws:states:r:1:stateMachine:m"}
    assert ReplaysSettings.from_environ(environ).allowed_targets == ()
    named = ReplaysSettings.from_environ({**environ, "REPLAY_TARGETS": f"{QUEUE},{ANY_BUS}"})
    assert named.allowed_targets == (QUEUE, ANY_BUS)


@pytest.mark.parametrize("value", ["*", "arn:aws:sqs:*:123456789012:q", f"{ANY_BUS}x", f"{QUEUE}*", "q"])
def test_replay_target_that_synth_would_refuse_is_refused_at_the_start(value: str) -> None:
    environ = {"REPLAYS_TABLE": "replays", "REPLAY_MACHINE": "machine", "REPLAY_TARGETS": f"{QUEUE},{value}"}
    with pytest.raises(InvalidSettings, match="REPLAY_TARGETS has .* each must be the ARN of an SQS queue"):
        ReplaysSettings.from_environ(environ)


def test_faults_survive_a_process_pool() -> None:
    with pytest.raises(InvalidSettings) as caught:
        PublishSettings.from_environ({})
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults


def test_faults_of_the_replay_functions_are_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        ReplaysSettings.from_environ({"REPLAY_MACHINE": " "})
    assert caught.value.faults == (
        "REPLAYS_TABLE is missing; set it in the function's environment",
        "REPLAY_MACHINE is missing; set it in the function's environment",
    )
    with pytest.raises(InvalidSettings, match=r"EVENTS_TABLE.*REPLAYS_TABLE.*API_URL"):
        ReplaySettings.from_environ({})
