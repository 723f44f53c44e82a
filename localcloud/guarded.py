"""Runs a command that is tied to the life of the process that starts it.

Run as the leader of a new process group, with a pipe as standard input: `localcloud.processes` does.
When the other end of the pipe closes, for whatever reason (the starter wants it, has crashed, was killed),
the whole group is killed: the command, and every process that it has started.
"""

import os
import signal
import subprocess
import sys
import threading


def _end_group_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        sys.exit("localcloud.guarded ends its whole process group: start it in a group of its own")
    threading.Thread(target=_end_group_with_stdin, daemon=True).start()
    sys.exit(subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL))
