"""`python -m eventstore`: the command line; needs the extra `cli`."""

import signal
import sys
from types import FrameType

from eventstore.cli.main import main


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
