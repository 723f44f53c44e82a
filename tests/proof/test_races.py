"""The proof's own races: they don't end a run, and a run that ends by an error has told its seed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from eventstore.errors import ReplayOver
from eventstore.replays.service import Replay, ReplayStatus
from tests.proof import __main__ as command
from tests.proof.jobs import ReplayJob, draw
from tests.proof.run import Plan
from tests.proof.world import World

FAILED = Replay(replay_id="r", target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)


class EndsMeanwhile:
    """A replay that is seen to have failed, and is cancelled before it's resumed."""

    def __init__(self) -> None:
        self.replay = replace(FAILED, status=ReplayStatus.FAILED)

    def get(self, _replay_id: str) -> Replay:
        return self.replay

    def resume(self, replay_id: str) -> None:
        self.replay = replace(FAILED, status=ReplayStatus.CANCELLED)
        raise ReplayOver(replay_id=replay_id, replay_status="cancelled", asked="running")


def test_engine_that_resumes_what_has_ended_meanwhile_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None
    world = World("1")
    drawn = draw(world, pace=None)
    job = ReplayJob(world, Plan(), nothing, events=nothing, table_name="t", drawn=drawn)
    replays = EndsMeanwhile()
    monkeypatch.setattr(job, "_replays", lambda: replays)
    job._run("r")
    assert job._status is ReplayStatus.CANCELLED


def test_run_that_ends_by_an_error_tells_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("of its own")

    monkeypatch.setattr(command, "run", fails)
    monkeypatch.setattr(sys, "argv", ["proof", "--seed", "4711"])
    monkeypatch.setenv("DYNAMODB_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(RuntimeError):
        command.main()
    assert "seed 4711: the run itself ended by an error" in capsys.readouterr().out
