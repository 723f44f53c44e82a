"""Loading a file, on the API's own code and the store in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import httpx
import pytest

from eventstore import NewEvent
from eventstore.memory.store import MemoryEventStore
from localcloud import load
from localcloud.api import MAX_TRIES, Api
from localcloud.load import Loaded, load_events
from tests.http.gateway import Gateway


class Service:
    """The API behind HTTP; `fault` may answer a request in its place."""

    def __init__(self) -> None:
        self.store = MemoryEventStore(settling_s=0)
        self.requests: Counter[str] = Counter()
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
        self.pauses: list[float] = []
        self._gateway = Gateway(self.store)
        self._one_at_a_time = Lock()

    def load(self, path: Path, *, parallel: int = 4) -> Loaded:
        loaded = Loaded()
        transport = httpx.MockTransport(self._answer)
        with Api("http://api", pause=self.pauses.append, transport=transport) as api:
            for done in load_events(path, api=api, parallel=parallel):
                loaded.add(done)
        return loaded

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests[request.method] += 1
        fault = self.fault(request)
        if fault is not None:
            return fault
        path, _, query = request.url.raw_path.decode().partition("?")
        body = request.content.decode() or None
        with self._one_at_a_time:
            answer = self._gateway.send(request.method, path, query=query, body=body)
        return httpx.Response(answer.status, headers=dict(answer.headers), text=answer.text)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def line(stream_id: str, name: str = "Happened", payload: str = "1.50", **more: str) -> str:
    fields = {"streamId": json.dumps(stream_id), "eventName": json.dumps(name), "payload": payload}
    fields |= {key: json.dumps(value) for key, value in more.items()}
    return "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}\n"


def names(service: Service, stream_id: str) -> list[str]:
    return [event.name for event in service.store.read_stream(stream_id)]


def test_events_are_appended_in_the_order_of_the_file_inside_each_stream(
    service: Service, path: Path
) -> None:
    path.write_text("".join(line(f"s-{n % 7}", f"E{n}") for n in range(300)))

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (300, 0, 0)
    for stream in range(7):
        assert names(service, f"s-{stream}") == [f"E{n}" for n in range(stream, 300, 7)]
    assert service.requests == {"POST": 7}


def test_payload_and_time_arrive_exactly(service: Service, path: Path) -> None:
    path.write_text(
        line("a/b c", payload='{"n": 1.10,  "b":12345678901234567890}', occurredAt="2010-10-02T07:20:39Z")
    )

    service.load(path)

    [event] = service.store.read_stream("a/b c")
    assert event.payload == '{"n": 1.10,  "b":12345678901234567890}'
    assert event.metadata == '{"occurredAt":"2010-10-02T07:20:39Z"}'


def test_loading_again_appends_nothing(service: Service, path: Path) -> None:
    path.write_text("".join(line(f"s-{n % 3}") for n in range(250)))
    service.load(path)
    before = list(service.store.read_all())

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (0, 250, 0)
    assert list(service.store.read_all()) == before


def test_longer_file_appends_only_what_is_new(service: Service, path: Path) -> None:
    lines = [line(f"s-{n % 3}", f"E{n}") for n in range(100)]
    path.write_text("".join(lines[:40]))
    service.load(path)
    path.write_text("".join(lines))

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (60, 40, 0)
    assert names(service, "s-0") == [f"E{n}" for n in range(0, 100, 3)]


def test_load_that_broke_off_goes_on_where_it_was(service: Service, path: Path) -> None:
    path.write_text("".join(line("s", f"E{n}") for n in range(350)))
    answered = iter([None, None])
    service.fault = lambda _request: next(answered, httpx.Response(500, text="{}"))
    broken = service.load(path, parallel=1)
    service.fault = lambda _request: None

    loaded = service.load(path)

    assert (broken.appended, broken.failed) == (200, 150)
    assert (loaded.appended, loaded.already_there, loaded.failed) == (150, 200, 0)
    assert names(service, "s") == [f"E{n}" for n in range(350)]


def test_batches_end_at_100_events_and_at_the_byte_bound(
    service: Service, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_BYTES", 1_000)
    path.write_text(
        "".join(line("many") for _ in range(205))
        + "".join(line("big", payload=f'"{"x" * 600}"') for _ in range(4))
    )
    sizes: list[int] = []
    service.fault = lambda request: sizes.append(len(request.content))

    loaded = service.load(path)

    assert loaded.appended == 209
    assert max(sizes) < 1_000 + 200
    assert service.requests["POST"] > 3 + 3


def test_windows_do_not_change_what_is_stored(
    service: Service, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("".join(line(f"s-{n % 5}", f"E{n}") for n in range(100)))
    service.load(path)
    monkeypatch.setattr(load, "WINDOW_EVENTS", 7)

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (0, 100, 0)


def test_stream_that_holds_other_events_is_reported_and_left_alone(service: Service, path: Path) -> None:
    service.store.append("taken", [NewEvent.of("Foreign")], expected=0)
    path.write_text(line("free") + line("taken") + line("taken"))

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (1, 0, 2)
    [reason] = loaded.reasons
    assert reason.startswith("stream 'taken' from line 2 on: it holds another event at version 1, 'Foreign'")
    assert names(service, "taken") == ["Foreign"]


def test_stream_that_someone_else_went_on_with_is_reported(service: Service, path: Path) -> None:
    path.write_text(line("s", "E1"))
    service.load(path)
    service.store.append("s", [NewEvent.of("Foreign")], expected=1)
    path.write_text(line("s", "E1") + line("s", "E2") + line("t"))

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (1, 1, 1)
    assert "from line 2 on: it holds another event at version 2" in loaded.reasons[0]
    assert names(service, "s") == ["E1", "Foreign"]


def test_changed_line_is_not_taken_for_the_event_that_is_there(service: Service, path: Path) -> None:
    path.write_text(line("s", payload="1"))
    service.load(path)
    path.write_text(line("s", payload="2"))

    loaded = service.load(path)

    assert (loaded.appended, loaded.already_there, loaded.failed) == (0, 0, 1)


def test_uid_of_the_file_is_the_events_own(service: Service, path: Path) -> None:
    uid = "01890a5d-ac96-774b-bcce-b302099a8057"
    path.write_text(line("s", eventUid=uid) + line("s"))

    service.load(path)

    first, second = service.store.read_stream("s")
    assert first.uid == uid
    assert second.uid != uid


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_trouble_is_tried_again_after_a_pause(service: Service, path: Path, status: int) -> None:
    path.write_text(line("s"))
    troubles = iter([httpx.Response(status, text="no"), httpx.Response(status, text="no")])
    service.fault = lambda _request: next(troubles, None)

    loaded = service.load(path)

    assert loaded.appended == 1
    assert len(service.pauses) == 2


def test_answer_that_got_lost_appends_nothing_twice(service: Service, path: Path) -> None:
    path.write_text(line("s"))
    lost = iter([True])

    def lose_the_first(request: httpx.Request) -> httpx.Response | None:
        if next(lost, False):
            service._answer(request)
            raise httpx.ReadError("connection reset")
        return None

    service.fault = lose_the_first

    loaded = service.load(path)

    assert loaded.appended + loaded.already_there == 1
    assert len(names(service, "s")) == 1


def test_api_that_stays_unreachable_fails_the_stream_after_all_tries(service: Service, path: Path) -> None:
    path.write_text(line("s"))

    def unreachable(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    service.fault = unreachable

    loaded = service.load(path)

    assert loaded.failed == 1
    assert f"failed {MAX_TRIES} times, the last time with ConnectError: refused" in loaded.reasons[0]
    assert len(service.pauses) == MAX_TRIES - 1


def test_failed_stream_fails_in_later_windows_without_a_request(
    service: Service, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WINDOW_EVENTS", 2)
    service.store.append("taken", [NewEvent.of("Foreign")], expected=0)
    path.write_text("".join(line("taken") for _ in range(6)))

    loaded = service.load(path)

    assert (loaded.appended, loaded.failed, len(loaded.reasons)) == (0, 6, 1)
    assert service.requests["POST"] == 1
