"""The benchmarks' checks can fail, and their figures are what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import live
from bench.checks import Checked, Delays, Message, check_others, check_replay, check_seen
from bench.latency import LoadFigures, ReaderFigures
from bench.replaying import ReplayFigures

REPLAY = "01a20d08-8761-7ec5-b015-b9d6d122d364"
WHOLE = {"a": ["Opened", "Changed", "Closed"], "b": ["Opened"]}
BEGUN = {"b": ["Opened"], "new": ["Opened", "Changed"]}


def delivered(*addresses: tuple[str, int], replay_id: str | None = REPLAY) -> list[Message]:
    names = {**BEGUN, **WHOLE}
    return [
        Message(stream_id=stream, event_id=event_id, name=names[stream][event_id - 1], replay_id=replay_id)
        for stream, event_id in addresses
    ]


ALL = delivered(("a", 1), ("b", 1), ("a", 2), ("new", 1), ("a", 3))


def replayed(messages: list[Message]) -> Checked:
    return check_replay(messages, replay_id=REPLAY, whole=WHOLE, begun=BEGUN)


# --- figures ------------------------------------------------------------------------------------------


def test_percentiles_are_delays_that_were_measured() -> None:
    delays = Delays.of(n * 1_000 for n in range(200, 0, -1))
    assert delays == Delays(count=200, p50_ms=100, p90_ms=180, p99_ms=198, max_ms=200)


def test_few_delays_have_all_percentiles_and_may_be_before_the_answer() -> None:
    assert Delays.of([-500]) == Delays(count=1, p50_ms=-0.5, p90_ms=-0.5, p99_ms=-0.5, max_ms=-0.5)


def test_no_delays_are_no_figures() -> None:
    with pytest.raises(ValueError, match="no delays"):
        Delays.of([])


# --- a live reader ------------------------------------------------------------------------------------


def test_all_events_seen_in_order_are_no_fault_and_repeats_are_counted() -> None:
    seen = [("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 1)]
    assert check_seen(seen, expected={("a", 1), ("a", 2), ("b", 1)}, in_order=True) == Checked((), 2)


def test_missing_event_is_told() -> None:
    assert check_seen([("a", 1)], expected=[("a", 1), ("a", 2)], in_order=True).faults == ("missing: a/2",)


def test_event_that_nobody_appended_is_told() -> None:
    assert check_seen([("a", 1), ("a", 2)], expected=[("a", 1)], in_order=True).faults == (
        "not expected: a/2",
    )


def test_order_is_told_where_it_is_promised_only() -> None:
    seen, expected = [("a", 2), ("a", 1)], [("a", 1), ("a", 2)]
    assert check_seen(seen, expected=expected, in_order=True).faults == (
        "out of order: a/2",
        "out of order: a/1",
    )
    assert check_seen(seen, expected=expected, in_order=False).faults == ()


def test_many_faults_are_counted() -> None:
    faults = check_seen([], expected=[("a", n) for n in range(1, 1_012)], in_order=True).faults
    assert len(faults) == 11
    assert faults[-1] == "missing: 1,001 more"


# --- a replay -----------------------------------------------------------------------------------------


def test_replay_that_is_whole_has_no_faults() -> None:
    assert replayed(ALL) == Checked((), 0)


def test_repeated_page_is_no_fault() -> None:
    assert replayed([*ALL[:3], *ALL[1:]]) == Checked((), 2)


def test_stream_created_since_may_be_left_out_or_there_with_its_first_events() -> None:
    assert replayed([one for one in ALL if one.stream_id != "new"]).faults == ()


def test_missing_end_of_a_stream_is_told() -> None:
    assert replayed(ALL[:-1]).faults == ("missing: a/3",)


def test_missing_event_in_the_middle_is_told_with_the_hole_it_leaves() -> None:
    assert replayed([one for one in ALL if one.address != ("a", 2)]).faults == (
        "missing: a/2",
        "out of order: a/3",
    )


def test_missing_stream_is_told() -> None:
    assert replayed([one for one in ALL if one.stream_id != "b"]).faults == ("missing: b/1",)


def test_stream_created_since_without_its_first_event_is_told() -> None:
    assert replayed([*ALL[:3], *delivered(("new", 2)), *ALL[4:]]).faults == ("out of order: new/2",)


def test_events_in_another_order_are_told() -> None:
    assert "out of order: a/2" in replayed([ALL[2], ALL[0], ALL[1], *ALL[3:]]).faults


def test_event_under_another_name_or_beyond_its_stream_is_told() -> None:
    assert replayed([*ALL[:-1], replace(ALL[-1], name="Reopened")]).faults == ("not what was appended: a/3",)
    assert replayed([*ALL, replace(ALL[-1], event_id=4)]).faults == ("not what was appended: a/4",)


@pytest.mark.parametrize("replay_id", [None, "another"])
def test_event_that_came_by_something_else_is_told(replay_id: str | None) -> None:
    assert replayed([*ALL[:-1], replace(ALL[-1], replay_id=replay_id)]).faults == (
        "without this replay's id: a/3",
    )


# --- the others ---------------------------------------------------------------------------------------


def test_another_subscriber_gets_publications_in_any_order() -> None:
    published = [one.address for one in ALL]
    messages = delivered(*reversed(published), replay_id=None)
    assert check_others(messages, published=published) == Checked((), 0)


def test_leaked_event_of_a_replay_is_told_though_it_repeats_a_publication() -> None:
    published = [one.address for one in ALL]
    messages = [*delivered(*published, replay_id=None), ALL[0]]
    assert check_others(messages, published=published).faults == ("of a replay: a/1",)


def test_publication_that_another_subscriber_misses_is_told() -> None:
    messages = delivered(("a", 1), replay_id=None)
    assert check_others(messages, published=[("a", 1), ("b", 1)]).faults == ("missing: b/1",)


# --- the command ----------------------------------------------------------------------------------------


def test_missing_file_is_told_with_the_way_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        live.main(["--events", str(tmp_path / "none.ndjson")])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "none.ndjson is not a file" in error
    assert "make bench-live FILE=" in error


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({}, 0),
        ({"readers": ("missing: a/2",)}, 1),
        ({"checked": ("out of order: a/2",)}, 1),
        ({"others": ("of a replay: a/1",)}, 1),
    ],
)
def test_exit_code_is_1_and_the_figures_are_written_when_anything_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: dict[str, tuple[str, ...]],
    code: int,
) -> None:
    delays = Delays.of([1_000])
    reader = ReaderFigures(
        from_answer=delays,
        from_timestamp=delays,
        checked=Checked(fault.get("readers", ()), 0),
    )
    replay = ReplayFigures(
        events=4,
        streams=2,
        created_streams=1,
        created_while_running=1,
        messages=5,
        sent=5,
        duration_s=1.0,
        delivered_s=1.0,
        events_a_second=5.0,
        checked=Checked(fault.get("checked", ()), 0),
        others_messages=5,
        others=Checked(fault.get("others", ()), 0),
    )
    figures = live.Figures(
        caveat="",
        environment={},
        latency={
            "steady": LoadFigures(
                what="1 event", answer=delays, logged=delays, published=delays, readers={"queue": reader}
            )
        },
        replay=replay,
    )
    monkeypatch.setattr(live, "_measure", lambda options: figures)
    (tmp_path / "events.ndjson").touch()

    assert (
        live.main(["--events", str(tmp_path / "events.ndjson"), "--out", str(tmp_path / "out.json")]) == code
    )

    assert json.loads((tmp_path / "out.json").read_text())["replay"]["messages"] == 5
    told = capsys.readouterr().err
    assert all(one in told for faults in fault.values() for one in faults)
