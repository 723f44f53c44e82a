"""Settings: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventstore.http.paths import API_ROUTES
from eventstore.limits import LOG_TRANCHES, SHARDS_MAX
from infra.settings import CorsSettings, JwtAuth, Settings, SettingsError
from tests.infra.conftest import ENVIRONMENTS, context


def settings(**overrides: object) -> Settings:
    return Settings.from_context(context(**overrides))


def refusal(of_cdk_json: dict[str, Any]) -> str | None:
    try:
        Settings.from_context(of_cdk_json)
    except SettingsError as error:
        return str(error)
    return None


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


def test_settling_time_below_an_events_delay_is_for_the_local_cloud_alone() -> None:
    assert settings(environment="local", settlingS=2).variables("SETTLING_S", "CLOCKS") == {
        "SETTLING_S": "2",
        "CLOCKS": "shared",
    }
    assert settings().variables("CLOCKS") == {"CLOCKS": "checked"}
    with pytest.raises(SettingsError, match="from 10"):
        settings(settlingS=9.9)
    with pytest.raises(SettingsError, match="from 10"):
        settings(environment="local", clocks="checked", settlingS=9.9)


def test_where_packages_run_changes_nothing_about_clocks() -> None:
    found = settings(environment="prod", retainData=False, packagesFor="machine")
    assert found.variables("CLOCKS") == {"CLOCKS": "checked"}
    with pytest.raises(SettingsError, match="settlingS .* from 10"):
        settings(environment="prod", retainData=False, packagesFor="machine", settlingS=0)


WEAKENS_NOTHING = {
    "retainData": "says itself that nothing is kept",
    "auth": "asked for in as many words; synth warns",
    "shardUtilisationPercent": "room in the shards, a matter of throttles",
    "apiRequestsPerSecond": "load",
    "apiBurst": "load",
    "functionLogRetentionDays": "what functions and the API log",
    "alarmConflictPercent": "off in as many words",
    "alarmThrottledRequests": "off in as many words",
    "alarmApiThrottles": "off in as many words",
    "alarmSilentMinutes": "off in as many words",
}
"""Settings of `local` that data may be retained with, and why."""


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_what_local_has_of_its_own_is_refused_where_data_is_retained(environment: str) -> None:
    environments = context()["environments"]
    own = {key: value for key, value in environments["local"].items() if value != environments["prod"][key]}
    refused = set()
    for key, value in own.items():
        of_cdk_json = context(environment=environment)
        of_cdk_json["environments"][environment][key] = value
        overridden = context(environment=environment, **{key: value})
        for given in (of_cdk_json, overridden):
            if (words := refusal(given)) is not None:
                assert f"Setting {key} " in words
                refused.add(key)
    assert refused == {"clocks", "packagesFor", "partialBatch", "replayTargets"}
    assert own.keys() - refused <= WEAKENS_NOTHING.keys()


@pytest.mark.parametrize("text", ["OFF", "none", "Off", "", "offf"])
@pytest.mark.parametrize("key", [key for key in context()["environments"]["dev"] if key.startswith("alarm")])
def test_a_wrong_threshold_is_refused_with_how_to_have_none(key: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{key} .* a (whole )?number from .*, or off\. Set it"):
        settings(**{key: text})
    alarms = settings(**{key: " off "}).alarms
    assert [getattr(alarms, name) for name in alarms.__dataclass_fields__].count(None) == 3


@pytest.mark.parametrize(("age_s", "record_age_s"), [(300, 839), (300, 120), (60, 599), (60.5, 600)])
def test_an_alarm_for_age_that_rings_when_records_are_given_up_is_refused(
    age_s: float, record_age_s: int
) -> None:
    with pytest.raises(
        SettingsError, match=r"alarmIteratorAgeS .* raise publishMaxRecordAgeS to \d+\."
    ) as no:
        settings(alarmIteratorAgeS=age_s, publishMaxRecordAgeS=record_age_s)
    enough_s = int(str(no.value).split("publishMaxRecordAgeS to ")[1].split(".")[0])
    found = settings(alarmIteratorAgeS=age_s, publishMaxRecordAgeS=enough_s)
    assert found.publication.max_record_age_s == enough_s
    assert settings(alarmIteratorAgeS="off", publishMaxRecordAgeS=record_age_s)


def test_an_alarm_for_the_logs_age_can_ring_before_records_are_given_up() -> None:
    """The log writer's mapping keeps them for as long as there is."""
    assert settings(alarmIteratorAgeS=82_260).alarms.iterator_age_s == 82_260
    with pytest.raises(SettingsError, match="to 82,260, or off"):
        settings(alarmIteratorAgeS=82_261)


@pytest.mark.parametrize("key", ["publishWindowS", "logWindowS"])
def test_an_alarm_for_age_that_gathering_alone_would_ring_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match=rf"alarmIteratorAgeS .* \({key} is 300\)"):
        settings(alarmIteratorAgeS=300, **{key: 300})
    assert settings(alarmIteratorAgeS=301, **{key: 300}).alarms.iterator_age_s == 301


def test_records_are_not_given_up_while_they_are_gathered_and_tried() -> None:
    with pytest.raises(SettingsError, match="publishMaxRecordAgeS .* is 60; it must be 120 at least"):
        settings(publishMaxRecordAgeS=60, alarmIteratorAgeS="off")
    with pytest.raises(SettingsError, match="publishMaxRecordAgeS .* is 419; it must be 420 at least"):
        settings(publishMaxRecordAgeS=419, publishWindowS=300, alarmIteratorAgeS="off")
    assert settings(publishMaxRecordAgeS=420, publishWindowS=300, alarmIteratorAgeS="off")


JWT = {"auth": "jwt", "jwtIssuer": "https://id.example.com/", "jwtAudience": "orders"}


def many(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def test_what_api_gateway_has_no_room_for_is_refused_at_synth() -> None:
    assert settings(**JWT | {"jwtAudience": many(50)})
    with pytest.raises(SettingsError, match="jwtAudience .* names 51; API Gateway takes 50"):
        settings(**JWT | {"jwtAudience": many(51)})
    for key in ("jwtScopesRead", "jwtScopesAppend", "jwtScopesReplay"):
        assert settings(**JWT | {key: many(10)})
        with pytest.raises(SettingsError, match=f"{key} .* names 11; API Gateway takes 10"):
            settings(**JWT | {key: many(11)})


@pytest.mark.parametrize("key", ["jwtAudience", "jwtScopesRead", "corsHeaders"])
def test_what_no_header_has_room_for_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match=f"{key} .* of 10,241 characters; API Gateway takes 10,240 bytes"):
        settings(**JWT | {"corsOrigins": "https://a.example", key: "x" * 10_241})


@pytest.mark.parametrize("auth", ["iam", "none"])
@pytest.mark.parametrize(
    "key", ["jwtIssuer", "jwtAudience", "jwtScopesRead", "jwtScopesAppend", "jwtScopesReplay"]
)
def test_settings_of_tokens_are_refused_where_no_token_is_asked_for(key: str, auth: str) -> None:
    value = "https://id.example.com/" if key == "jwtIssuer" else "a"
    with pytest.raises(SettingsError, match=f"auth .* is '{auth}', by which {key} would do nothing"):
        settings(auth=auth, **{key: value})


HOSTS = ("...", "a..b", "-a.example", "a-.example", ".a", "a.", "a" * 64, ".".join(["a" * 60] * 5), "a_b", "")
PORTS = (":0", ":65536", ":99999", ":080", ":", ":1e3", ":-1")


@pytest.mark.parametrize("place", [*HOSTS, *(f"id.example.com{port}" for port in PORTS)])
def test_a_url_that_no_server_can_have_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match=r"jwtIssuer .* it must be the issuer's https URL"):
        settings(**JWT | {"jwtIssuer": f"https://{place}/"})
    with pytest.raises(SettingsError, match=r"corsOrigins .* each must be an origin"):
        settings(corsOrigins=f"https://{place}")
    if ":" not in place:
        with pytest.raises(SettingsError, match=r"alarmEmail .* one e-mail address"):
            settings(alarmEmail=f"ops@{place}")


@pytest.mark.parametrize("place", ["a", "id.example.com:1", "xn--bcher-kva.example:65535", "127.0.0.1:8443"])
def test_a_url_that_a_server_can_have_is_taken(place: str) -> None:
    issuer = f"https://{place}/realms/a%20b"
    found = settings(**JWT | {"jwtIssuer": issuer}, corsOrigins=f"http://{place}")
    assert isinstance(found.api.auth, JwtAuth)
    assert found.api.auth.issuer == issuer
    assert found.api.cors is not None
    assert found.api.cors.origins == (f"http://{place}",)


@pytest.mark.parametrize("address", ["a..b@x.yz", ".a@x.yz", "a.@x.yz", "\u00e4@x.yz", "a@x", "a b@x.yz"])
def test_an_address_that_no_mail_reaches_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"alarmEmail .* one e-mail address"):
        settings(alarmEmail=address)


def test_write_shards_follow_from_events_per_second_and_item_size() -> None:
    found = settings(environment="local", eventsPerSecond=3_000, averageItemKb=2.5)
    assert (found.write_shards, found.read_shards) == (9, 9)


def test_write_shards_leave_the_room_that_is_asked_for() -> None:
    found = settings(environment="local", eventsPerSecond=3_000, shardUtilisationPercent=80)
    assert found.write_shards == 4
    assert settings(environment="prod").write_shards == 5


def test_write_shards_can_be_given() -> None:
    assert settings(environment="local", writeShards="1").write_shards == 1


def test_replays_have_memory_for_no_fewer_shards_than_are_written() -> None:
    with pytest.raises(SettingsError, match=r"readShards .* is 5, but 7 shards .* raise it to 7, or leave"):
        settings(environment="prod", writeShards=7, readShards=5)
    found = settings(environment="prod", writeShards=1, readShards=200)
    assert (found.write_shards, found.read_shards) == (1, 200)


@pytest.mark.parametrize("environment", ["dev", "prod", "local"])
def test_no_environment_has_to_say_how_many_shards_or_tranches_there_are(environment: str) -> None:
    assert context()["environments"][environment].keys().isdisjoint({"readShards", "logTranches"})
    found = settings(environment=environment)
    assert (found.log.tranches, found.variables("LOG_TRANCHES")) == (None, {})
    assert found.workload.log_tranches == LOG_TRANCHES


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


@pytest.mark.parametrize("key", ["publishReservedConcurrency", "logReservedConcurrency"])
def test_concurrency_below_what_the_mapping_calls_at_once_is_refused(key: str) -> None:
    """4,000 events a second fill 4 shards of the table's stream, and the mapping calls once for each."""
    with pytest.raises(SettingsError, match=rf"{key} .* is 3, .* 4 times at once.*4 stream shards") as no:
        settings(environment="prod", **{key: 3})
    assert "Raise it to 4 at least, or leave it out. Set it" in str(no.value)
    assert settings(environment="prod", **{key: "4"})
    with pytest.raises(SettingsError, match=rf"{key} .* is 4, .* 10 times at once"):
        settings(environment="prod", eventsPerSecond=10_000, retainData=False, **{key: 4})


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
        (
            {"functionLogRetentionDays": 8},
            "functionLogRetentionDays .* is 8; CloudWatch offers: 1, 3, 5, 7, 14",
        ),
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
        ({"jwtScopesRead": "events.read"}, "auth .* is 'iam', by which jwtScopesRead would do"),
        ({"jwtScopesRead": "a b"}, "jwtScopesRead .* has 'a b'; each must be a scope"),
        ({"corsOrigins": "app.example.com"}, "corsOrigins .* has 'app.example.com'; .* such as https://app"),
        ({"corsOrigins": "https://app.example.com/"}, "corsOrigins .* no / at its end"),
        ({"corsOrigins": "https://App.example.com"}, "corsOrigins .*lower case"),
        ({"corsOrigins": "https://a.example:443"}, "corsOrigins .* browsers leave that port out"),
        ({"corsOrigins": "http://a.example:80"}, "corsOrigins .* browsers leave that port out"),
        ({"corsOrigins": "*,https://a.example"}, "corsOrigins .* '\\*' is every origin"),
        ({"jwtIssuer": "https://id.example.com/\u00e4"}, "jwtIssuer .* https URL"),
        ({"jwtIssuer": f"https://id.example.com/{'a' * 2_048}"}, "jwtIssuer .* 2,048 characters"),
        ({"corsOrigins": [1]}, r"corsOrigins .* is \[1\]"),
        ({"corsHeaders": "x-mine"}, "corsOrigins .* names none, so corsHeaders and corsMethods"),
        ({"corsMethods": "GET"}, "corsOrigins .* names none, so corsHeaders and corsMethods"),
        ({"corsOrigins": "*", "corsHeaders": "x mine"}, "corsHeaders .* has 'x mine'"),
        ({"corsOrigins": "*", "corsMethods": "DELETE"}, "corsMethods .* each must be one of: GET,"),
        ({"alarmSilentMinutes": 4}, "alarmSilentMinutes .* from 5 to 60"),
        ({"publishReservedConcurrency": 0}, "publishReservedConcurrency .* from 1 to 100,000"),
        ({"logReservedConcurrency": "none"}, "logReservedConcurrency .* is 'none'; .* a whole number"),
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
def test_a_wrong_value_is_refused_with_what_where_and_how_to_repair_it(
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
