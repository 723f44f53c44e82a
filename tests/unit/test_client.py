"""The store's client is boto3's of a session's own configuration, and reads items fast where it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import boto3
import pytest
from botocore.config import Config
from botocore.parsers import ResponseParserFactory
from botocore.session import get_session

from eventstore.dynamodb._botocore import ItemParserFactory
from eventstore.dynamodb.client import CLIENT_CONFIG, dynamodb_client, register_parser
from eventstore.errors import InvalidArgument, NotSynchronous
from tests.answering import BODY, ERRORS, HEADERS, KEYS, LOADS, answering


@pytest.mark.parametrize("loads", LOADS)
def test_the_client_answers_as_boto3s_does(loads: Any) -> None:
    body = b'{"Count":1,"Items":[{"A":{"S":"x"},"B":{"B":"YQ=="}}],"ScannedCount":1}'
    answers = [(500, b'{"__type":"x#InternalServerError"}'), (200, body)]
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    ours = answering(dynamodb_client(config=config, json_loads=loads, **KEYS), *answers)
    boto3s = answering(boto3.client("dynamodb", config=config, **KEYS), *answers)
    request: Any = {"TableName": "events", "KeyConditionExpression": "A = :a"}

    answer = ours.query(**request)

    assert answer == boto3s.query(**request)
    assert answer["ResponseMetadata"] == {
        "RequestId": "R1",
        "HTTPStatusCode": 200,
        "HTTPHeaders": {name.lower(): value for name, value in HEADERS.items()}
        | {"x-amz-crc32": str(crc32(body))},
        "RetryAttempts": 1,
    }


def test_the_client_raises_boto3s_errors() -> None:
    client = answering(dynamodb_client(**KEYS), ERRORS[0])

    with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
        client.get_item(TableName="events", Key={})

    assert raised.value.response["Error"]["Message"] == "no table"


def test_the_clients_of_a_given_session_stay_as_they_are() -> None:
    session = boto3.Session(**KEYS)
    factory = session._session.get_component("response_parser_factory")

    dynamodb_client(session)

    assert session._session.get_component("response_parser_factory") is factory
    assert type(factory) is ResponseParserFactory


@pytest.mark.parametrize("profile", ["default", "test", None])
def test_the_client_has_the_endpoint_of_its_sessions_profile_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    profiles = tmp_path / "config"
    keys = "aws_access_key_id = k\naws_secret_access_key = s\nregion = eu-central-1\n"
    profiles.write_text(
        f"[default]\n{keys}endpoint_url = http://default.example\n"
        f"[profile test]\n{keys}services = of-test\n"
        "[services of-test]\ndynamodb =\n  endpoint_url = http://test.example\n"
        f"[profile other]\n{keys}endpoint_url = http://other.example\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    session = boto3.Session(profile_name=profile)
    assert session.client("dynamodb").meta.endpoint_url == f"http://{profile or 'default'}.example"
    monkeypatch.setenv("AWS_PROFILE", "other")

    client = dynamodb_client(session)

    assert client.meta.endpoint_url == session.client("dynamodb").meta.endpoint_url
    assert not profile or client.meta.endpoint_url == f"http://{profile}.example"


def test_the_client_has_its_sessions_handlers_and_leaves_it_no_new_ones() -> None:
    session = boto3.Session(**KEYS)
    seen: list[str] = []
    session.events.register("before-parameter-build.dynamodb", lambda model, **_: seen.append(model.name))
    client = answering(dynamodb_client(session), (200, BODY))

    client.query(TableName="events", KeyConditionExpression="A = :a")

    assert seen == ["Query"]


def test_the_client_is_where_and_who_its_session_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = tmp_path / "config"
    profiles.write_text(
        "[profile shop]\nregion = eu-central-1\naws_access_key_id = SHOP\naws_secret_access_key = s\n"
        "services = local\n"
        "[services local]\ndynamodb =\n  endpoint_url = http://127.0.0.1:9\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    session = boto3.Session(profile_name="shop")

    client = dynamodb_client(session)

    assert client.meta.region_name == "eu-central-1"
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    # The same object: credentials that refresh themselves go on doing so.
    assert client._request_signer._credentials is session.get_credentials()


def test_without_a_session_the_client_has_boto3s_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    boto3.setup_default_session(region_name="sa-east-1", aws_access_key_id="D", aws_secret_access_key="s")

    client = dynamodb_client()

    assert client.meta.region_name == "sa-east-1"
    assert client._request_signer._credentials.access_key == "D"


def test_the_clients_settings_are_the_stores_unless_others_are_given() -> None:
    config = dynamodb_client(config=Config(read_timeout=30), **KEYS).meta.config

    assert (config.read_timeout, config.connect_timeout) == (30, CLIENT_CONFIG.connect_timeout)
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}


def test_a_session_of_ones_own_can_have_the_parser() -> None:
    core = get_session()
    register_parser(core)
    session = boto3.Session(botocore_session=core, **KEYS)

    client = answering(session.client("dynamodb"), (200, b'{"Item":{"A":{"B":"YQ=="}}}'))

    assert client.get_item(TableName="events", Key={})["Item"] == {"A": {"B": b"a"}}
    assert isinstance(client._endpoint._response_parser_factory, ItemParserFactory)


def test_register_parser_takes_a_session_of_botocore_and_a_function() -> None:
    wrong: Any = boto3.Session(**KEYS)
    with pytest.raises(InvalidArgument, match=r"session: .*give a botocore\.session\.Session"):
        register_parser(wrong)

    async def later(_: bytes) -> Any: ...

    with pytest.raises(NotSynchronous):
        register_parser(get_session(), json_loads=later)


def test_parser_that_is_registered_twice_reads_by_the_last_ones_json() -> None:
    core, reads = get_session(), []

    def loads(body: bytes) -> Any:
        reads.append(body)
        return {"Items": []}

    register_parser(core)
    client = answering(
        dynamodb_client(boto3.Session(botocore_session=core, **KEYS), json_loads=loads), (200, BODY)
    )

    client.query(TableName="events")

    assert reads == [BODY]
