"""Where the running local cloud is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eventstore.local.processes import LocalCloudError
from eventstore.local.state import running_state


def test_state_that_another_version_wrote_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"pid": os.getpid(), "endpoint": ""}))
    with pytest.raises(LocalCloudError, match="of another version of this checkout"):
        running_state(tmp_path)
