"""The commands with their options, as click reads them: what runs them is imported when they run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from eventstore import __version__
from eventstore import _setting_rules as rules
from eventstore._command_line import ALL_WELL, TROUBLE
from eventstore.cli.options import (
    API,
    BUS,
    LOG,
    QUEUE,
    SUBSCRIPTIONS,
    TABLE,
    Call,
    Options,
    path,
    ruled,
    switch,
    text,
    whole,
)
from eventstore.cli.outcome import write_json
from eventstore.limits import EQUAL_TIMESTAMPS_MAX_KB, PUT_EVENTS_MAX_BYTES, UID_SKEW_S

VERIFY_SETTLING_S: Final = 60
"""Seconds for which `verify` compares no event with the index and the log, unless told otherwise (ours)."""

DROPPED_MARGIN_S: Final = 15
"""Seconds by which `republish` reads more than a dropped batch's times, unless told otherwise (ours)."""

PROGRAM: Final = "eventstore"
COMPLETE: Final = "_EVENTSTORE_COMPLETE"
"""The variable by which a shell's script asks what a word can go on with."""

_SHELLS: Final = ("bash", "zsh", "fish")


def parse(arguments: Sequence[str]) -> Call | int:
    """Read a command line; return the call, or the exit code of what is done with it already.

    Help, the version, the scripts of shells and errors of usage are written here.
    """
    try:
        with _GROUP.make_context(PROGRAM, [*arguments]) as context:
            done: Call | int = _GROUP.invoke(context)
            return done
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        if sys.stderr is not None:
            with suppress(OSError):  # nobody reads it; the exit code tells all the same
                error.show(sys.stderr)
        return TROUBLE


def complete(instruction: str) -> int:
    """Write what a shell asks for: its script, or what the word at hand can go on with."""
    # Only shells need it, and `--help` is to be quick.
    from click.shell_completion import shell_complete  # noqa: PLC0415

    return shell_complete(_GROUP, {}, PROGRAM, COMPLETE, instruction)


def names() -> tuple[str, ...]:
    """Return the names of all commands."""
    return tuple(_GROUP.commands)


def _called(**values: object) -> Call:
    context = click.get_current_context()
    given = {name for name in values if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return Call(str(context.info_name), Options(**values), frozenset(given))


def _completion(shell: str, *, as_json: bool) -> int:
    """Write a shell's script."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    made = get_completion_class(shell)
    assert made, shell  # a choice of _SHELLS
    script = made(_GROUP, {}, PROGRAM, COMPLETE).source()
    if as_json:
        write_json({"command": "completion", "exitCode": ALL_WELL, "shell": shell, "script": script})
    else:
        print(script)
    return ALL_WELL


def _segments() -> click.Option:
    return whole("--segments", low=1, high=1_000, default=4, help="Parts of the table, read side by side.")


def _entries() -> list[click.Parameter]:
    return [
        ruled(
            "--event-source",
            rule=rules.event_source,
            default="eventstore",
            variable="EVENT_SOURCE",
            metavar="TEXT",
            help="The entries' source.",
        ),
        ruled(
            "--put-events-max-bytes",
            rule=rules.put_events_max_bytes,
            default=PUT_EVENTS_MAX_BYTES,
            variable="PUT_EVENTS_MAX_BYTES",
            help="Bytes of one call.",
        ),
        switch("--dry-run", help="Only report what could be published."),
    ]


_STREAM_PREFIX: Final = "Only events of streams whose id begins so."
_EVENT_NAME: Final = "Only events of this name."
_FROM: Final = "The first time, ISO 8601 with an offset."

_CREATE_TABLES: Final = (
    text("--prefix", default="eventstore", show_default=True, help="How the tables' names begin."),
    switch("--on-aws", help="Make them on AWS, too, and not only elsewhere."),
)
_DOCTOR: Final = (TABLE.parameter(), LOG.parameter(), SUBSCRIPTIONS.parameter())
_REBUILD_LOG: Final = (
    TABLE.parameter(),
    LOG.parameter(),
    whole(
        "--settling-s",
        low=10,
        high=86_400,
        default=VERIFY_SETTLING_S,
        help="Younger events are left to the log writer and to verify.",
    ),
    switch("--delete", help="Delete the log that is there first."),
)
_REDRIVE: Final = (
    *(option.parameter() for option in (TABLE, QUEUE, BUS, API)),
    *_entries(),
    text("--stream-prefix", help=_STREAM_PREFIX),
    text("--event-name", help=_EVENT_NAME),
    text("--reason-contains", help="Only events that were parked for such a reason."),
)
_REPUBLISH: Final = (
    *(option.parameter() for option in (TABLE, BUS, API, LOG)),
    *_entries(),
    text("from_", "--from", metavar="TIME", help=f"By time: {_FROM[0].lower()}{_FROM[1:]}"),
    text("--to", metavar="TIME", help="By time: the first time to leave out; now unless given."),
    text("--stream", multiple=True, help="By stream: only this one; can be given several times."),
    text("--log-after", metavar="POSITION", help="By place: entries behind it, as `GET /log` gives it."),
    text("--log-until", metavar="POSITION", help="By place: up to this one; the log's end unless given."),
    text("--stream-prefix", help=f"{_STREAM_PREFIX[:-1]}, by time, stream or place."),
    text("--event-name", help=f"{_EVENT_NAME[:-1]}, by time, stream or place."),
    path("--dropped", metavar="FILE", help="A message of the dropped-batches queue; - is the input."),
    text("--dropped-queue-url", metavar="URL", help="The dropped-batches queue: all of its messages."),
    whole(
        "--margin-s",
        low=0,
        high=3_600,
        default=DROPPED_MARGIN_S,
        help="Seconds before and behind, where a batch's records are gone and its times are read.",
    ),
)
_RESTORED: Final = (
    TABLE.parameter(),
    switch(
        "--same-name",
        help="The table has its name of before: it was deleted and restored, or events were deleted.",
    ),
)
_VERIFY: Final = (
    TABLE.parameter(),
    LOG.parameter(),
    _segments(),
    whole(
        "--settling-s",
        low=0,
        high=86_400,
        default=VERIFY_SETTLING_S,
        help="Younger events are not compared with index and log.",
    ),
    path("--checkpoints", metavar="FOLDER", help="A folder: an interrupted run goes on from there."),
    path("--output", metavar="FILE", help="The file for the findings; standard output unless given."),
    switch("--repair", help="Repair what can be known; nothing is invented."),
)
_EXPORT: Final = (
    click.Argument(["file"], type=click.Path(path_type=Path, readable=False)),
    TABLE.parameter(),
    text("from_", "--from", metavar="TIME", help=_FROM),
    text("--to", metavar="TIME", help="The first time to leave out."),
    _segments(),
)
_IMPORT: Final = (
    click.Argument(["file"], type=click.Path(path_type=Path, readable=False)),
    TABLE.parameter(),
    switch(
        "--into-existing",
        help="The store may have events: identical ones are passed over, nothing is overwritten.",
    ),
    text(
        "except_",
        "--except",
        multiple=True,
        metavar="STREAM",
        help="Leave this stream out; can be given several times.",
    ),
    path("--except-from", metavar="FILE", help="Leave out the streams whose ids are this file's lines."),
    switch(
        "--equal-timestamps",
        help=f"Take more than {EQUAL_TIMESTAMPS_MAX_KB:,} KB of one Timestamp, which are read together.",
    ),
    switch(
        "--any-uids",
        help=f"Take uids twice in a stream, and UUIDv7s over {UID_SKEW_S:g} s after their Timestamp.",
    ),
    whole("--parallel", low=1, high=50, default=16, help="Streams written side by side."),
    click.Option(
        ["--compression"],
        type=click.Choice(["none", "zlib", "zstd"]),
        default="none",
        show_default=True,
        help="Of payloads.",
    ),
    switch("--check-only", help="Check the file and write nothing."),
)

_COMMANDS: Final[Mapping[str, tuple[str, tuple[click.Parameter, ...]]]] = {
    "create-tables": ("Make tables to try the library on.", _CREATE_TABLES),
    "doctor": ("Look at what the store needs to work.", _DOCTOR),
    "rebuild-log": ("Make the log anew from the table.", _REBUILD_LOG),
    "redrive": ("Publish parked events again.", _REDRIVE),
    "republish": ("Publish events of the table once more.", _REPUBLISH),
    "restored": ("Declare that the table was restored.", _RESTORED),
    "verify": ("Report exactly what is wrong with the store.", _VERIFY),
    "export": ("Write all events, or a range of time, into FILE.", _EXPORT),
    "import": ("Write an exported FILE into an empty store.", _IMPORT),
}
_MORE: Final = {
    "create-tables": "On any DynamoDB endpoint; on AWS only when asked to.",
    "doctor": "It only reads, and says how to repair what is wrong.",
    "rebuild-log": "For a log that is lost, or of another store.",
    "republish": "Name them by time, by stream, by their place in the log, or by dropped batches.",
    "restored": "Before anybody writes to it.",
    "export": "FILE is gzip, such as events.ndjson.gz; - is standard output.",
}
_WITHOUT_STORE: Final = frozenset({"create-tables"})


def _json() -> click.Option:
    return click.Option(["as_json", "--json"], is_flag=True, help="Print JSON alone on standard output.")


def _store() -> click.Option:
    return text("--store", metavar="NAME", help="A deployed store: what it has needn't be named.")


def _made() -> click.Group:
    commands: list[click.Command] = []
    for name, (about, parameters) in _COMMANDS.items():
        shared = [_json()] if name in _WITHOUT_STORE else [_store(), _json()]
        more = f"\n\n{_MORE[name]}" if name in _MORE else ""
        made = click.Command(name, params=[*parameters, *shared], callback=_called, help=f"{about}{more}")
        commands.append(made)
    shell = click.Argument(["shell"], type=click.Choice(_SHELLS))
    about = "Print the script by which a shell completes words."
    commands.append(click.Command("completion", params=[shell, _json()], callback=_completion, help=about))
    group = click.Group(
        PROGRAM, help="Look after an event store. docs/operations.md says how.", commands=commands
    )
    return click.version_option(__version__, message=f"eventstore-dynamodb {__version__}")(group)


_GROUP: Final = _made()
