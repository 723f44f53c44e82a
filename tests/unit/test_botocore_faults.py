"""A botocore of another inside, and faults of our own, leave a client that works as boto3's does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.parsers import JSONParser, ResponseParserFactory
from botocore.session import get_session

from eventstore.dynamodb import _botocore
from eventstore.dynamodb._botocore import ItemParser, ItemParserFactory, read_later
from eventstore.dynamodb.client import CLIENT_CONFIG, dynamodb_client, register_parser
from tests.answering import BODY, KEYS, answering


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is logged, by a process that has logged nothing yet."""
    everything = {_botocore.NOT_COPIED, _botocore.NOT_READ, _botocore.NOT_REGISTERED}
    monkeypatch.setattr(_botocore, "_unsaid", everything)
    texts: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert (record.levelname, record.exc_info is not None) == ("WARNING", True)
            texts.append(record.getMessage().partition(". ")[0])

    handler = Handler()
    logging.getLogger("eventstore.dynamodb").addHandler(handler)
    yield texts
    logging.getLogger("eventstore.dynamodb").removeHandler(handler)


class _OtherInside:
    """A locator of components whose attributes are called otherwise than botocore's are today."""

    def __init__(self, locator: Any) -> None:
        self._locator = locator

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._locator, name)


class _SharedInside:
    """A locator of components whose copy keeps them in the same place as the original."""

    def __init__(self, locator: Any) -> None:
        self._components, self._deferred, self.locator = {}, {}, locator

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["locator"], name)


class _OtherSession:
    """A session of boto3 with its public names alone."""

    def __init__(self, session: boto3.Session) -> None:
        self.get_credentials, self.client = session.get_credentials, session.client


@pytest.mark.parametrize("inside", ["session", "components", "shared"])
def test_session_that_cannot_be_copied_makes_boto3s_client_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], inside: str
) -> None:
    profiles = tmp_path / "config"
    profiles.write_text(
        "[profile shop]\naws_access_key_id = k\naws_secret_access_key = s\nregion = eu-central-1\n"
        "endpoint_url = http://127.0.0.1:9\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    session: Any = boto3.Session(profile_name="shop", region_name="sa-east-1")
    seen: list[str] = []
    session.events.register("before-parameter-build.dynamodb", lambda model, **_: seen.append(model.name))
    core, credentials = session._session, session.get_credentials()
    if inside == "session":
        session = _OtherSession(session)
    else:
        core._components = {"components": _OtherInside, "shared": _SharedInside}[inside](core._components)

    clients = [dynamodb_client(session, config=Config(read_timeout=30)) for _ in range(2)]

    for client in clients:
        assert client.meta.region_name == "sa-east-1"
        assert client.meta.endpoint_url == "http://127.0.0.1:9"
        assert client.meta.config.connect_timeout == CLIENT_CONFIG.connect_timeout
        assert client.meta.config.read_timeout == 30
        assert client._request_signer._credentials is credentials
        assert type(client._endpoint._response_parser_factory) is ResponseParserFactory
        assert answering(client, (200, BODY)).query(TableName="events")["Items"] == [
            {"A": {"S": "x"}, "B": {"B": b"a"}}
        ]
    assert seen == ["Query", "Query"]
    assert said == [_botocore.NOT_COPIED]


class _Awaited(JSONParser):
    """One of another library, such as aiobotocore's."""

    async def parse(self, response: Any, shape: Any) -> Any: ...


class _OthersFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        return _Awaited() if protocol_name == "json" else super().create_parser(protocol_name)


@pytest.mark.parametrize("missing", ["get_component", "register_component", "parser", "awaited"])
def test_registration_that_fails_leaves_a_plain_session_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, said: list[str], missing: str
) -> None:
    core = get_session()
    if missing == "parser":
        monkeypatch.setattr(_botocore, "_JSON_PARSER", None)  # botocore calls it otherwise
    elif missing == "awaited":
        core.register_component("response_parser_factory", _OthersFactory())
    else:
        monkeypatch.setattr(core, missing, None)

    register_parser(core)
    register_parser(core)

    monkeypatch.undo()
    factory = core.get_component("response_parser_factory")
    assert type(factory) is (_OthersFactory if missing == "awaited" else ResponseParserFactory)
    assert said == [_botocore.NOT_REGISTERED]


def test_client_of_a_session_that_takes_no_parser_works_plainly(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(_botocore, "_JSON_PARSER", None)

    ours = answering(dynamodb_client(**KEYS), (200, BODY))
    boto3s = answering(boto3.client("dynamodb", config=CLIENT_CONFIG, **KEYS), (200, BODY))

    assert ours.query(TableName="events") == boto3s.query(TableName="events")
    assert said == [_botocore.NOT_REGISTERED]


FAULTS = ["shape", "read", "items", "attribute", "unread"]


def break_inside(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    class Failing(dict[str, str]):
        get = fail

    match fault:
        case "shape":
            monkeypatch.setattr(_botocore, "_MEMBERS", Failing())
        case "read":
            monkeypatch.setattr(ItemParser, "_read", fail)
        case "items":
            monkeypatch.setattr(_botocore, "_flat", fail)
        case "attribute":
            monkeypatch.delattr(ItemParser, "_fast")
        case "unread":
            monkeypatch.setattr(_botocore, "UnreadAnswer", fail)


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_parser_that_fails_inside_gives_botocores_answer_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, said: list[str], fault: str, is_later: bool
) -> None:
    ours = answering(dynamodb_client(**KEYS), *[(200, BODY)] * 2)
    boto3s = answering(boto3.client("dynamodb", config=CLIENT_CONFIG, **KEYS), (200, BODY))
    break_inside(monkeypatch, fault)

    if is_later:
        with read_later():
            answers = [dict(ours.query(TableName="events")) for _ in range(2)]
    else:
        answers = [ours.query(TableName="events") for _ in range(2)]

    assert answers == [boto3s.query(TableName="events")] * 2
    assert said == ([] if fault == "unread" and not is_later else [_botocore.NOT_READ])


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_put_that_was_done_never_fails_by_our_parser(
    monkeypatch: pytest.MonkeyPatch, said: list[str], fault: str, is_later: bool
) -> None:
    body = b'{"Attributes":{"A":{"B":"YQ=="}}}'
    ours = answering(dynamodb_client(**KEYS), *[(200, body)] * 2)
    boto3s = answering(boto3.client("dynamodb", config=CLIENT_CONFIG, **KEYS), (200, body))
    break_inside(monkeypatch, fault)
    put: Any = {"TableName": "events", "Item": {"A": {"S": "a"}}}

    with read_later() if is_later else nullcontext():
        answers = [ours.put_item(**put), ours.put_item(**put)]

    assert answers == [boto3s.put_item(**put)] * 2


class _Recorded:
    """A parser, or a factory, of a botocore to come: what it's given is what it gives."""

    colour = "red"

    def __call__(self, *given: Any, **named: Any) -> Any:
        return given, named

    parse = create_parser = __call__


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        ((None,), {}),
        (({"status_code": 200}, None), {}),
        (({}, None, 1), {"context": 2}),
        ((), {"response": {"status_code": 200}, "shape": None, "new": 3}),
        ((), {"another": {}}),
        (([], object()), {}),
    ],
)
def test_whatever_arguments_come_are_passed_on_untouched(given: Any, named: Any) -> None:
    ordinary: Any = _Recorded()

    assert ItemParser(ordinary, None).parse(*given, **named) == (given, named)
    assert ItemParserFactory(ordinary).create_parser(*given, **named) == (given, named)


def test_arguments_to_come_reach_botocores_parser_with_the_rest_of_an_answer() -> None:
    seen: list[Any] = []

    class Ordinary:
        def parse(self, response: Any, shape: Any, *given: Any, **named: Any) -> Any:
            seen.append((response["body"], given, named))
            return {}

    class Shape:
        name = "QueryOutput"

    parser = ItemParser(Ordinary(), lambda _: {"Items": [], "Count": 0})

    assert parser.parse({"status_code": 200, "body": b"?"}, Shape(), 1, new=2) == {"Items": []}
    assert seen == [(b'{"Count": 0}', (1,), {"new": 2})]


def test_what_else_botocores_parser_and_factory_have_is_found() -> None:
    ordinary: Any = _Recorded()

    assert ItemParser(ordinary, None).colour == "red"
    assert ItemParserFactory(ordinary).colour == "red"
    with pytest.raises(AttributeError):
        _ = ItemParser(ordinary, None).size
