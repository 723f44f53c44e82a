"""The parser of items gives what botocore's own gives, for everything that DynamoDB can answer."""

from __future__ import annotations

import copy
import gc
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import boto3
import botocore
import msgspec
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.parsers import ResponseParserError, ResponseParserFactory, create_parser
from botocore.session import get_session
from botocore.useragent import UserAgentString
from hypothesis import given
from hypothesis import strategies as st

from eventstore.dynamodb.client import CLIENT_CONFIG, dynamodb_client, register_parser
from eventstore.dynamodb.response_parser import ItemParserFactory, read_later

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
CLIENT = boto3.client("dynamodb", **KEYS)
HEADERS = {"x-amzn-RequestId": "R1", "Content-Type": "application/x-amz-json-1.0"}
LOADS = [json.loads, msgspec.json.decode]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str)
base64 = st.binary(max_size=20).map(lambda raw: b64encode(raw).decode())
scalars = st.one_of(
    st.fixed_dictionaries({"S": text}),
    st.fixed_dictionaries({"N": number}),
    st.fixed_dictionaries({"B": base64}),
    st.fixed_dictionaries({"SS": st.lists(text, min_size=1)}),
    st.fixed_dictionaries({"NS": st.lists(number, min_size=1)}),
    st.fixed_dictionaries({"BS": st.lists(base64, min_size=1)}),
    st.fixed_dictionaries({"NULL": st.just(True)}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
)
attributes = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"L": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"M": st.dictionaries(text, inner, max_size=3)}),
    ),
    max_leaves=8,
)
items = st.dictionaries(st.one_of(text, st.sampled_from(["B", "BS", "M", "__type"])), attributes, max_size=4)
capacity = st.fixed_dictionaries({"TableName": text, "CapacityUnits": st.floats(0, 1e6)})
pages = st.fixed_dictionaries(
    {"Items": st.lists(items, max_size=4), "Count": st.integers(0, 9), "ScannedCount": st.integers(0, 9)},
    optional={
        "LastEvaluatedKey": items,
        "ConsumedCapacity": capacity,
        "SomethingNew": st.just({"a": 1}),
        "Unset": st.none(),
    },
)
answers = st.one_of(
    st.tuples(st.sampled_from(["Query", "Scan"]), pages),
    st.tuples(
        st.just("GetItem"), st.fixed_dictionaries({}, optional={"Item": items, "ConsumedCapacity": capacity})
    ),
    st.tuples(
        st.just("BatchGetItem"),
        st.fixed_dictionaries(
            {
                "Responses": st.dictionaries(text, st.lists(items, max_size=3), max_size=2),
                "UnprocessedKeys": st.dictionaries(
                    text, st.fixed_dictionaries({"Keys": st.lists(items, max_size=2)}), max_size=2
                ),
            },
            optional={"ConsumedCapacity": st.lists(capacity, max_size=2)},
        ),
    ),
    st.tuples(
        st.just("PutItem"),
        st.fixed_dictionaries({}, optional={"Attributes": items, "ConsumedCapacity": capacity}),
    ),
)


def parse_both(operation: str, body: bytes, *, status: int = 200, loads: Any = json.loads) -> tuple[Any, Any]:
    shape = CLIENT.meta.service_model.operation_model(operation).output_shape
    response = {
        "headers": HeadersDict(HEADERS),
        "status_code": status,
        "context": {"operation_name": operation},
        "body": body,
    }
    fast = ItemParserFactory(ResponseParserFactory(), loads=loads).create_parser("json")
    return fast.parse(copy.deepcopy(response), shape), create_parser("json").parse(response, shape)


@pytest.mark.parametrize("loads", LOADS)
@given(answer=answers)
def test_both_parsers_give_the_same(loads: Any, answer: tuple[str, dict[str, Any]]) -> None:
    operation, body = answer

    fast, ordinary = parse_both(
        operation, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), loads=loads
    )

    assert fast == ordinary
    assert fast["ResponseMetadata"]["RequestId"] == "R1"


@pytest.mark.parametrize("loads", LOADS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"Count":0}',
        b'{"Items":null,"Count":0}',
        b'{"Items":[{"A":{"Z":"a type to come"}}],"Count":1}',
        b'{"Items":[{"A":{"M":{"a":{"L":[{"Z":"inside"}]}}}}],"Count":1}',
        b'{"Items":[{"A":{"\\u0042":"YQ=="}}],"Count":1}',
        b'{"Items":[{"A":{"S":"\\ud83d\\ude00 \\u0042 \\"B\\":"}}],"Count":1}',
    ],
)
def test_what_looks_otherwise_than_expected_comes_as_botocore_gives_it(loads: Any, body: bytes) -> None:
    try:
        fast, ordinary = parse_both("Query", body, loads=loads)
    except AttributeError:  # of botocore's own, which the fast one leaves it to
        assert body == b"[]"
    else:
        assert fast == ordinary


ERRORS = [
    (400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}'),
    (400, b'{"__type":"x#ThrottlingException","Message":"slow down","Items":[]}'),
    (500, b'{"__type":"x#InternalServerError"}'),
    (503, b"<html><body>gone</body></html>"),
    (301, b""),
]


@pytest.mark.parametrize(("status", "body"), ERRORS)
def test_errors_come_as_botocore_gives_them(status: int, body: bytes) -> None:
    fast, ordinary = parse_both("Query", body, status=status)

    assert fast == ordinary
    assert fast["Error"]["Code"]


def test_botocores_parser_never_sees_the_items() -> None:
    seen: list[bytes] = []

    class Watched(ResponseParserFactory):
        def create_parser(self, protocol_name: str) -> Any:
            parser = super().create_parser(protocol_name)
            ordinary = parser.parse
            parser.parse = lambda response, shape: seen.append(response["body"]) or ordinary(response, shape)
            return parser

    shape = CLIENT.meta.service_model.operation_model("Query").output_shape
    items = [
        {"Payload": {"S": "x"}, "EventId": {"N": "1"}, "Zip": {"B": "YQ=="}, "Tags": {"L": [{"B": "YQ=="}]}}
    ]
    body = json.dumps({"Items": items, "Count": 1}).encode()
    response = {"headers": {}, "status_code": 200, "body": body}

    answer = ItemParserFactory(Watched()).create_parser("json").parse(response, shape)

    assert seen == [b'{"Count": 1}']
    assert answer["Items"][0]["Zip"] == {"B": b"a"}
    assert answer["Items"][0]["Tags"] == {"L": [{"B": b"a"}]}
    assert response["body"] is body


def test_another_protocol_has_its_ordinary_parser() -> None:
    ordinary = ResponseParserFactory()

    parser = ItemParserFactory(ordinary).create_parser("rest-xml")

    assert type(parser) is type(ordinary.create_parser("rest-xml"))


# --- the client -----------------------------------------------------------------------------------


class _Wire:
    """An HTTP body as urllib3 hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def answering(client: DynamoDBClient, *answers: tuple[int, bytes]) -> DynamoDBClient:
    """Let a client have these answers, one after the other, in place of the network's."""
    coming = iter(answers)

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = next(coming)
        headers = HeadersDict({**HEADERS, "x-amz-crc32": str(crc32(body))})
        return AWSResponse(request.url, status, headers, _Wire(body))

    client.meta.events.register("before-send.dynamodb.*", answer)
    return client


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


class _OtherInside:
    """A locator of components whose attributes are called otherwise than botocore's are today."""

    def __init__(self, locator: Any) -> None:
        self._locator = locator

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._locator, name)


class _OtherSession:
    """A session of boto3 with its public names alone."""

    def __init__(self, session: boto3.Session) -> None:
        self.profile_name, self.region_name = session.profile_name, session.region_name
        self.get_credentials, self.client = session.get_credentials, session.client


@pytest.mark.parametrize("inside", ["session", "components"])
@pytest.mark.parametrize("profile", ["default", "shop"])
def test_session_of_another_inside_still_says_where_and_who_the_client_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str, profile: str
) -> None:
    profiles = tmp_path / "config"
    keys = "aws_access_key_id = k\naws_secret_access_key = s\nregion = eu-central-1\n"
    profiles.write_text(f"[default]\n{keys}[profile shop]\n{keys}endpoint_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    session: Any = boto3.Session(profile_name=profile, region_name="sa-east-1")
    if inside == "session":
        session = _OtherSession(session)
    else:
        session._session._components = _OtherInside(session._session._components)

    with pytest.warns(RuntimeWarning, match="profile, region and credentials alone"):
        client = dynamodb_client(session)

    assert client.meta.region_name == "sa-east-1"
    assert (client.meta.endpoint_url == "http://127.0.0.1:9") == (profile == "shop")
    assert client._request_signer._credentials is session.get_credentials()
    assert user_agent_of(client).startswith("Boto3/")
    assert isinstance(client._endpoint._response_parser_factory, ItemParserFactory)


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


def user_agent_of(client: DynamoDBClient) -> str:
    sent: list[str] = []
    client.meta.events.register(
        "before-send.dynamodb.*", lambda request, **_: sent.append(request.headers["User-Agent"].decode())
    )
    answering(client, (200, b"{}")).get_item(TableName="events", Key={})
    return sent[0]


def test_the_client_says_who_asks_and_puts_that_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    client = dynamodb_client(config=Config(user_agent_extra="shop/1"), **KEYS)
    monkeypatch.setattr(UserAgentString, "_build_sdk_metadata", None)  # what puts it together each time

    said = user_agent_of(client).split()[:6]  # Powertools adds itself, where another test has imported it

    names = ["Boto3", "Python", "Linux", "exec-env", "Botocore", "shop"]
    assert [part.split("/")[0] for part in said] == names
    assert said[3:] == ["exec-env/AWS_Lambda_python3.13", f"Botocore/{botocore.__version__}", "shop/1"]


def test_who_gives_a_user_agent_or_an_application_finds_it_there(monkeypatch: pytest.MonkeyPatch) -> None:
    own = dynamodb_client(config=Config(user_agent="mine/1"), **KEYS)
    configured = dynamodb_client(config=Config(user_agent_appid="shop"), **KEYS)
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "warehouse")
    from_environment = dynamodb_client(**KEYS)

    assert user_agent_of(own).startswith("mine/1")
    assert "app/shop" in user_agent_of(configured)
    assert "app/warehouse" in user_agent_of(from_environment)


def test_a_session_of_ones_own_can_have_the_parser() -> None:
    core = get_session()
    register_parser(core)
    session = boto3.Session(botocore_session=core, **KEYS)

    client = answering(session.client("dynamodb"), (200, b'{"Item":{"A":{"B":"YQ=="}}}'))

    assert client.get_item(TableName="events", Key={})["Item"] == {"A": {"B": b"a"}}
    assert isinstance(client._endpoint._response_parser_factory, ItemParserFactory)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("body", [b'{"Items":[],"Count":0,"ScannedCount":0}', b"{"])
def test_the_collector_rests_while_json_is_read_and_is_then_as_it_was(enabled: bool, body: bytes) -> None:
    seen: list[bool] = []

    def loads(text: bytes) -> Any:
        seen.append(gc.isenabled())
        return json.loads(text)

    parser = ItemParserFactory(ResponseParserFactory(), loads=loads).create_parser("json")
    shape = CLIENT.meta.service_model.operation_model("Query").output_shape
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with suppress(ResponseParserError):  # a broken body goes on to botocore's parser
            parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
        assert (seen, gc.isenabled()) == ([False], enabled)
    finally:
        (gc.enable if was_enabled else gc.disable)()


# --- read later -----------------------------------------------------------------------------------

BODY = b'{"Count":1,"Items":[{"A":{"S":"x"},"B":{"B":"YQ=="}}],"ScannedCount":1}'


def counting(reads: list[bytes]) -> Callable[[bytes], Any]:
    def loads(body: bytes) -> Any:
        reads.append(body)
        return json.loads(body)

    return loads


def test_answer_that_is_read_later_is_in_the_end_what_it_would_have_been() -> None:
    answers = [(500, b'{"__type":"x#InternalServerError"}'), (200, BODY)]
    reads: list[bytes] = []
    tries = Config(retries={"mode": "standard", "total_max_attempts": 3})
    client = answering(dynamodb_client(config=tries, json_loads=counting(reads), **KEYS), *answers)
    request: Any = {"TableName": "events", "KeyConditionExpression": "A = :a"}

    with read_later():
        answer: Any = client.query(**request)

    assert reads == [], "nothing on the way, retries included, has asked for the items"
    assert dict(answer) == answering(dynamodb_client(config=tries, **KEYS), *answers).query(**request)
    assert answer["Items"] is answer["Items"]
    assert reads == [BODY]
    assert type(answering(dynamodb_client(**KEYS), (200, BODY)).query(**request)) is dict


def test_handler_that_looks_at_an_answer_finds_what_it_would_have_found() -> None:
    seen: list[tuple[str, int]] = []
    client = answering(dynamodb_client(**KEYS), (200, BODY))
    client.meta.events.register(
        "after-call.dynamodb.Query",
        lambda parsed, **_: seen.append((parsed["ResponseMetadata"]["RequestId"], parsed["Count"])),
    )

    with read_later():
        client.query(TableName="events", KeyConditionExpression="A = :a")

    assert seen == [("R1", 1)]


def test_error_is_raised_at_once() -> None:
    client = answering(dynamodb_client(**KEYS), ERRORS[0])

    with read_later(), pytest.raises(client.exceptions.ResourceNotFoundException):
        client.query(TableName="events", KeyConditionExpression="A = :a")


def test_answer_that_is_read_later_can_be_changed_as_boto3s_can() -> None:
    with read_later():
        answer: Any = answering(dynamodb_client(**KEYS), (200, BODY)).query(TableName="events")

    answer["Items"] = []
    del answer["Count"]

    assert len(answer) == 3
    assert {**answer} == {"Items": [], "ScannedCount": 1, "ResponseMetadata": answer["ResponseMetadata"]}
