"""docs/problems.md, made from the table of problems."""

from __future__ import annotations

from typing import Final

import msgspec

from eventstore.http.docs import examples
from eventstore.http.docs.openapi import PROBLEMS
from eventstore.http.problems import INTERNAL, PROBLEM_TYPES, problem

_HEAD: Final = """\
# Problems

Every error of the HTTP API is a problem as RFC 9457 has it: `application/problem+json` with `type`,
`title`, `status`, `detail` (what is wrong and how to repair it), and members of its own. `type` never
changes: decide by it, never by the words. Nothing was written, unless the type says otherwise. `field` says
where: a field of the body, or a parameter.

API Gateway and Lambda answer some requests themselves, as `{"message": ...}`: 401 and 403 (not
authenticated, not allowed), 413 (over 10 MB, or over 6 MB as Lambda counts it), 429 (throttled), 500 and
503 (no answer of the function). An append that was answered so with 5xx may have been written: repeat it
with the same event uids and the same expectedVersion, and it is written once.

This page is made from the code: `python -m eventstore.http.docs`.
"""


def problems_page() -> str:
    """Write the page: every problem type, its status, what it means, how to repair it, where, an example."""
    parts = [_HEAD]
    errors = examples.errors()
    for error, kind in {**PROBLEM_TYPES, Exception: INTERNAL}.items():
        where = ", ".join(f"`{name}`" for name, found in PROBLEMS.items() if error in found)
        example = msgspec.json.format(msgspec.json.encode(problem(errors[error])), indent=2).decode()
        parts.append(
            f"## {kind.name}\n\n**{kind.status}** · `{kind.urn}` · {where}\n\n"
            f"{kind.title}. {kind.repair}\n\n```json\n{example}\n```\n"
        )
    return "\n".join(parts)
