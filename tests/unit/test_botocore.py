"""The parser of items gives what botocore's own gives, for everything that DynamoDB can answer."""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.awsrequest import HeadersDict
from botocore.config import Config
from botocore.parsers import ResponseParserFactory, create_parser
from hypothesis import given
from hypothesis import strategies as st

from eventstore.dynamodb._botocore import ItemParserFactory, read_later
from eventstore.dynamodb.client import dynamodb_client
from tests.answering import BODY, ERRORS, HEADERS, KEYS, LOADS, answering

CLIENT = boto3.client("dynamodb", **KEYS)

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


# --- read later -----------------------------------------------------------------------------------


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
