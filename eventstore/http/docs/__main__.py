"""Write the documents that are made from the code: ``python -m eventstore.http.docs`` (`make openapi`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from eventstore.http.docs.openapi import openapi_document
from eventstore.http.docs.problems_page import problems_page

OPENAPI: Final = Path("eventstore/http/openapi.json")
PROBLEMS_PAGE: Final = Path("docs/problems.md")


def documents() -> dict[Path, str]:
    """Make each document's text, by its file in the repository."""
    return {
        OPENAPI: json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n",
        PROBLEMS_PAGE: problems_page(),
    }


def main() -> None:
    """Write them; the current directory is the repository's."""
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
