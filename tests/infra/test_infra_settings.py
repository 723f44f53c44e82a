"""Settings: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventstore.http.paths import API_ROUTES
from eventstore.limits import SHARDS_MAX
from infra.settings import CorsSettings, JwtAuth, Settings, SettingsError
from tests.infra.conftest import ENVIRONMENTS, context


def settings(**overrides: object) -> Settings:
    return Settings.from_context(context(**overrides))


def environment_without(key: str, **changes: object) -> dict[str, Any]:
    of_cdk_json = context()
    of_cdk_json["environments"]["dev"].pop(key, None)
    of_cdk_json["environments"]["dev"] |= changes
    return of_cdk_json


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_of_cdk_json_is_valid(environment: str) -> None:
    assert settings(environment=environment).environment == environment


def test_dev_is_the_default() -> None:
    assert settings() == settings(environment="dev")


def test_a_value_of_the_command_line_is_text_and_goes_before_the_file() -> None:
    assert settings(settlingS="12.5") == replace(settings(), settling_s=12.5)


def test_settling_time_below_what_makes_an_event_late_is_for_the_local_cloud_alone() -> None:
    assert settings(environment="local", settlingS=2).variables("SETTLING_S", "CLOCKS") == {
        "SETTLING_S": "2",
        "CLOCKS": "shared",
    }
    assert settings().variables("CLOCKS") == {"CLOCKS": "checked"}
    with pytest.raises(SettingsError, match="from 10"):
        settings(settlingS=9.9)


def test_write_shards_follow_from_events_per_second_and_item_size() -> None:
    found = settings(environment="local", eventsPerSecond=3_000, averageItemKb=2.5, readShards=9)
    assert (found.write_shards, found.read_shards) == (9, 9)


def test_write_shards_leave_the_room_that_is_asked_for() -> None:
    found = settings(environment="local", eventsPerSecond=3_000, shardUtilisationPercent=80)
    assert found.write_shards == 4
    assert settings(environment="prod").write_shards == 5


def test_write_shards_can_be_given() -> None:
    assert settings(environment="local", writeShards="1").write_shards == 1


def test_fewer_read_shards_than_write_shards_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"readShards .* is 5, but 7 shards .* raise it to 7"):
        settings(environment="prod", writeShards=7)


def test_lowered_write_shards_leave_the_recorded_read_shards() -> None:
    found = settings(environment="prod", eventsPerSecond=100)
    assert (found.write_shards, found.read_shards) == (1, 5)


@pytest.mark.parametrize("read_shards", [1, 4, 400])
def test_read_shards_of_retained_data_are_taken_from_the_file_alone(read_shards: int) -> None:
    with pytest.raises(SettingsError, match="records which shards were ever written"):
        settings(environment="prod", writeShards=1, readShards=read_shards)


def test_tranches_of_retained_data_are_taken_from_the_file_alone() -> None:
    assert settings(environment="local", logTranches=8).log.tranches == 8
    with pytest.raises(SettingsError, match="records what the log was begun with"):
        settings(environment="prod", logTranches=8)


def test_more_shards_than_a_store_can_have_are_refused() -> None:
    with pytest.raises(SettingsError, match=f"needs 50,000 shards; one store has {SHARDS_MAX:,}"):
        settings(eventsPerSecond=100_000, averageItemKb=400)


def test_auth_is_iam_in_dev_and_prod() -> None:
    assert {settings(environment=name).api.auth for name in ("dev", "prod")} == {"iam"}


def test_no_auth_is_asked_for_in_as_many_words() -> None:
    assert settings(auth="none").api.auth == "none"
    with pytest.raises(SettingsError, match="auth .* is missing"):
        Settings.from_context(environment_without("auth"))


def test_jwt_auth_needs_issuer_and_audience() -> None:
    with pytest.raises(SettingsError, match=r"jwtIssuer .* https URL"):
        settings(auth="jwt", jwtAudience="orders")
    with pytest.raises(SettingsError, match="jwtAudience .* names none"):
        settings(auth="jwt", jwtIssuer="https://id.example.com/", jwtAudience=" , ")
    found = settings(auth="jwt", jwtIssuer="https://id.example.com/", jwtAudience="orders, billing")
    assert found.api.auth == JwtAuth(
        issuer="https://id.example.com/",
        audiences=("orders", "billing"),
        scopes={"append": (), "read": (), "replays": ()},
    )


def test_scopes_are_by_what_a_route_does() -> None:
    jwt = {"auth": "jwt", "jwtIssuer": "https://id.example.com/", "jwtAudience": "orders"}
    auth = settings(**jwt, jwtScopesAppend="es.append,es.admin", jwtScopesReplay=["es.admin"]).api.auth
    assert isinstance(auth, JwtAuth)
    assert auth.scopes == {"append": ("es.append", "es.admin"), "read": (), "replays": ("es.admin",)}


def test_cors_allows_what_the_api_takes_unless_other_things_are_named() -> None:
    assert settings().api.cors is None
    found = settings(corsOrigins="https://app.example.com,http://localhost:3000").api.cors
    assert found is not None
    assert found.origins == ("https://app.example.com", "http://localhost:3000")
    assert {"authorization", "content-type", "x-amz-date", "x-amz-security-token"} <= {*found.headers}
    assert {*found.methods} == {route.method for route in API_ROUTES}
    fewer = settings(corsOrigins="*", corsHeaders="content-type", corsMethods="GET").api.cors
    assert fewer == CorsSettings(origins=("*",), headers=("content-type",), methods=("GET",))


def test_an_environment_whose_name_cannot_name_stacks_is_refused() -> None:
    of_cdk_json = context()
    of_cdk_json["environments"] = {"my store": of_cdk_json["environments"]["dev"], "none": 7}
    with pytest.raises(SettingsError, match="'my store' of cdk.json can't name stacks"):
        Settings.from_context(of_cdk_json | {"environment": "my store"})
    with pytest.raises(SettingsError, match="'none' of cdk.json is 7; it must be an object"):
        Settings.from_context(of_cdk_json | {"environment": "none"})


def test_an_alarm_can_be_off() -> None:
    assert settings(alarmConflictPercent="off").alarms.conflict_percent is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"environment": "staging"}, "Unknown environment 'staging': cdk.json has dev, prod, local"),
        ({"writeShard": 2}, "Unknown setting 'writeShard' .* Did you mean writeShards"),
        ({"eventsPerSecond": 0}, "eventsPerSecond .* is 0; it must be a whole number from 1 to 1,000,000"),
        ({"eventsPerSecond": "many"}, "eventsPerSecond .* is 'many'"),
        ({"eventsPerSecond": "1.5"}, "eventsPerSecond .* a whole number"),
        ({"eventsPerSecond": True}, "eventsPerSecond .* is True"),
        ({"shardUtilisationPercent": 101}, "shardUtilisationPercent .* is 101; .* to 100"),
        ({"shardUtilisationPercent": 0}, "shardUtilisationPercent .* is 0"),
        ({"averageItemKb": 401}, "averageItemKb .* is 401; .* to 400"),
        ({"settlingS": "nan"}, "settlingS .* is 'nan'"),
        ({"settlingS": -1}, "settlingS .* is -1"),
        ({"settlingS": [1]}, r"settlingS .* is \[1\]"),
        ({"logTranches": 0}, "logTranches .* is 0; it must be a whole number from 1 to 256"),
        ({"logBatchSize": 10_001}, "logBatchSize .* to 10,000"),
        ({"logWindowS": 301}, "logWindowS .* to 300"),
        ({"auth": "open"}, "auth .* is 'open'; it must be one of: iam, jwt, none"),
        ({"retainData": "yes"}, "retainData .* one of: true, false"),
        ({"logRetentionDays": 8}, "logRetentionDays .* is 8; CloudWatch offers: 1, 3, 5, 7, 14"),
        ({"publishMaxRecordAgeS": 86_400}, "publishMaxRecordAgeS .* to 82,800"),
        ({"putEventsMaxBytes": 1_048_577}, "putEventsMaxBytes .* to 1,048,576"),
        ({"putEventsMaxBytes": 16_383}, "putEventsMaxBytes .* from 16,384"),
        ({"compression": "brotli"}, "compression .* one of: none, zlib, zstd"),
        ({"partialBatch": "retry"}, "partialBatch .* one of: report, raise"),
        ({"eventSource": "aws.events"}, "eventSource .* EventBridge's own"),
        ({"eventSource": ""}, "eventSource .* is ''"),
        ({"eventSource": "https://shop.example/"}, "eventSource .* 1-256 letters, digits or ./-_"),
        ({"eventSource": 7}, "eventSource .* is 7"),
        ({"eventsPerSecond": "1_000"}, "eventsPerSecond .* is '1_000'"),
        ({"eventsPerSecond": "\u0661\u0660"}, "eventsPerSecond .* a whole number"),
        ({"eventsPerSecond": 10**5_000}, "eventsPerSecond .* is a number of thousands of digits"),
        ({"averageItemKb": 10**400}, "averageItemKb .* to 400"),
        ({"settlingS": "1e999"}, "settlingS .* is '1e999'"),
        ({"settlingS": 3_601}, "settlingS .* to 3,600"),
        ({"jwtIssuer": "http://id.example.com/"}, "jwtIssuer .* https URL"),
        ({"jwtIssuer": "https://id.example.com/?a=b"}, "jwtIssuer .* without query"),
        ({"jwtScopesRead": "events.read"}, "auth .* is 'iam', by which no scope is asked for"),
        ({"jwtScopesRead": "a b"}, "jwtScopesRead .* has 'a b'; each must be a scope"),
        ({"corsOrigins": "app.example.com"}, "corsOrigins .* has 'app.example.com'; .* such as https://app"),
        ({"corsOrigins": "https://app.example.com/"}, "corsOrigins .* no / at its end"),
        ({"corsOrigins": [1]}, r"corsOrigins .* is \[1\]"),
        ({"corsHeaders": "x-mine"}, "corsOrigins .* names none, so corsHeaders and corsMethods"),
        ({"corsMethods": "GET"}, "corsOrigins .* names none, so corsHeaders and corsMethods"),
        ({"corsOrigins": "*", "corsHeaders": "x mine"}, "corsHeaders .* has 'x mine'"),
        ({"corsOrigins": "*", "corsMethods": "DELETE"}, "corsMethods .* each must be one of: GET,"),
        ({"alarmSilentMinutes": 4}, "alarmSilentMinutes .* from 5 to 60"),
        ({"alarmEmail": "a@b.c, d@e.f"}, "alarmEmail .* one e-mail address"),
        ({"alarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:a.fifo"}, "alarmTopicArn .* standard"),
        ({"alarmConflictPercent": 101}, "alarmConflictPercent .* from 1 to 100"),
        ({"alarmEmail": "nobody"}, "alarmEmail .* e-mail address"),
        ({"alarmTopicArn": "alarms"}, "alarmTopicArn .* ARN of a standard SNS topic"),
        (
            {"alarmEmail": "a@b.c", "alarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:a"},
            "keep one of them",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_where_and_how_to_mend_it(
    overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        settings(**overrides)
    assert "cdk.json" in str(refused.value)


def test_an_unknown_key_in_the_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="Unknown setting 'settlingMs'"):
        Settings.from_context(environment_without("settlingMs", settlingMs=10))


def test_keys_of_the_cdk_itself_are_left_alone() -> None:
    own = {"aws:cdk:enable-path-metadata": True, "@aws-cdk/core:newStyle": True, "cli-telemetry": False}
    assert settings(**own) == settings()


def test_without_cdk_json_the_message_names_it() -> None:
    with pytest.raises(SettingsError, match=r"cdk\.json must hold them"):
        Settings.from_context({})
