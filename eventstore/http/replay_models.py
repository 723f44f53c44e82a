"""The JSON of replays: what is sent and what is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from eventstore.http.fields import Name, Position, Time
from eventstore.limits import REPLAY_EVENTS_PER_SECOND_MAX
from eventstore.positions import time_text
from eventstore.replays.model import Replay


class StartReplay(Struct, rename="camel"):
    """What to send once more, and to whom."""

    target: Annotated[
        str,
        Meta(
            description="The ARN of the one consumer: an SQS queue, a Lambda function or an EventBridge bus.",
            examples=["arn:aws:sqs:eu-central-1:123456789012:rebuild"],
        ),
    ]
    from_: Annotated[
        str | UnsetType,
        Meta(
            description="The first time to send; the beginning when left out.",
            extra_json_schema={"format": "date-time"},
        ),
    ] = field(name="from", default=UNSET)
    to: Annotated[
        str,
        Meta(
            description="The first time to leave out, RFC 3339; or `now`: all that was written before this "
            "request, the replay ends once that has settled and was sent.",
        ),
    ] = "now"
    names: Annotated[list[Name], Meta(description="Send only events of these names; none: all.")] = []
    stream_prefix: Annotated[str, Meta(description="Send only streams whose ids begin so.")] = ""
    events_per_second: Annotated[
        int | UnsetType,
        Meta(
            description="Send no faster than that, counted over some seconds.",
            extra_json_schema={"minimum": 1, "maximum": REPLAY_EVENTS_PER_SECOND_MAX},
        ),
    ] = UNSET


class ReplayAnswer(Struct, rename="camel"):
    """A replay and how far it is."""

    replay_id: Annotated[
        str,
        Meta(
            description="Stands as `replayid` in everything that it sends.",
            examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        ),
    ]
    status: Literal["queued", "running", "paused", "failed", "completed", "cancelled"]
    reason: Annotated[
        str | None,
        Meta(description="Why it failed, or why its target didn't take what it tried to send last."),
    ]
    target: str
    from_: Time | None = field(name="from")
    to: Time
    names: list[Name]
    stream_prefix: str
    events_per_second: int | None
    requested: Time
    ended: Time | None
    sent: Annotated[int, Meta(description="Messages that the target has taken, repeats included.")]
    position: Annotated[Position | None, Meta(description="Everything wanted up to this position was sent.")]
    position_time: Annotated[Time | None, Meta(description="The time of the event at `position`.")]
    rate: Annotated[float | None, Meta(description="Events a second while it was running.", examples=[412.5])]
    time_left_s: Annotated[
        int | None,
        Meta(
            description="An estimate of the seconds until it is through, from how long the time range so far "
            "has taken. Null when it isn't running, or can't tell yet.",
        ),
    ]


class ReplayList(Struct, rename="camel"):
    """The replays that were asked for last, the newest first."""

    replays: list[ReplayAnswer]


def replay_answer(replay: Replay) -> ReplayAnswer:
    """Return what a replay is and how far."""
    position = replay.position
    return ReplayAnswer(
        replay_id=replay.replay_id,
        status=replay.status.value,
        reason=replay.reason or None,
        target=replay.target,
        from_=None if replay.from_us is None else time_text(replay.from_us),
        to=time_text(replay.to_us),
        names=list(replay.names),
        stream_prefix=replay.stream_prefix,
        events_per_second=replay.events_per_second,
        requested=time_text(replay.requested_us),
        ended=None if replay.ended_us is None else time_text(replay.ended_us),
        sent=replay.sent,
        position=None if position is None else str(position),
        position_time=None if position is None else time_text(position.timestamp_us),
        rate=None if replay.rate is None else round(replay.rate, 1),
        time_left_s=replay.time_left_s,
    )
