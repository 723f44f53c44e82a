"""ministack, tied to the life of the process that starts it.

Run as the leader of a new process group, with a pipe as standard input. When the other end of the pipe
closes, for whatever reason (the starter wants it, has crashed, was killed), the whole group ends: ministack
and the Lambda workers that it has spawned. What it holds is in memory, so there is nothing to save.
"""

import os
import signal
import sys
import threading

from ministack.app import main


def _end_group_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        sys.exit("eventstore.local.guarded ends its whole process group: start it in a group of its own")
    threading.Thread(target=_end_group_with_stdin, daemon=True).start()
    main()
