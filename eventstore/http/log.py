"""The operation that reads the log."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.http.app import Handler
from eventstore.http.models import LogEntriesPage, LoggedEntry, logged_entry
from eventstore.http.read import limit_of
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer, size_in_answer_bytes
from eventstore.limits import RESPONSE_MAX_BYTES
from eventstore.log import EventLog, LogPosition, read_log


def log_handlers(log: EventLog) -> Mapping[str, Handler]:
    """Make the handler of the operation that reads the log."""

    def read(request: Request, _stream_id: str) -> Response:
        """Answer with a page of the log.

        Cost: that of `EventLog.read_tranche` for each tranche, and for some a second time when others had
        fewer entries than their share.
        """
        given = request.parameters("after", "limit")
        limit = limit_of(given)
        position = LogPosition.parse(given["after"]) if "after" in given else None
        found = read_log(log, after=position, limit=limit)
        entries: list[LoggedEntry] = []
        size_bytes = 0
        position = position or LogPosition.beginning(log.tranches)
        for entry in found.entries:
            model = logged_entry(entry)
            size_bytes += size_in_answer_bytes(model)
            if entries and size_bytes > RESPONSE_MAX_BYTES:
                break
            entries.append(model)
            position = position.behind(entry)
        more = len(entries) == limit or len(entries) < len(found.entries)
        page = LogEntriesPage(entries=entries, next=str(position) if more else None, checkpoint=str(position))
        return answer(200, page)

    return {"readLog": read}
