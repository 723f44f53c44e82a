"""The operation that reads the log."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.http.app import Handler
from eventstore.http.models import ClosedBlocks, LogEntriesPage, logged_entry
from eventstore.http.read import limit_of
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer
from eventstore.log.model import LogPosition
from eventstore.log.port import EventLog
from eventstore.log.read import read_log


def log_handlers(log: EventLog) -> Mapping[str, Handler]:
    """Make the handler of the operation that reads the log."""

    def read(request: Request, _stream_id: str) -> Response:
        """Answer with a page of the log.

        Cost: that of `EventLog.read_tranche` for each tranche, and for some a second time when others had
        fewer entries than their share.
        """
        given = request.parameters("after", "limit")
        limit = limit_of(given)
        after = LogPosition.parse(given["after"]) if "after" in given else None
        # However long the names are, PAGE_MAX_EVENTS of them are below what a function may answer.
        found = read_log(log, after=after, limit=limit)
        checkpoint = str(found.position)
        page = LogEntriesPage(
            entries=[logged_entry(entry) for entry in found.entries],
            next=checkpoint if len(found.entries) == limit else None,
            checkpoint=checkpoint,
            closed=[
                ClosedBlocks(tranche=lost.tranche, first=lost.first, last=lost.last) for lost in found.closed
            ],
        )
        return answer(200, page)

    return {"readLog": read}
