"""Runs a command that is tied to the life of the process that starts it.

Run as the leader of a new process group, with a pipe as standard input: `localcloud.processes` does.
When the other end of the pipe closes, for whatever reason (the starter wants it, has crashed, was killed),
the whole group is killed: the command, and every process that it has started. With `--saves` the command
alone is told to end first (SIGTERM), and has half a minute for it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

SAVES_WITHIN_S = 30.0


def _end_group_with_stdin(
    command: "subprocess.Popen[bytes]", ending: threading.Event, *, saves: bool
) -> None:
    while os.read(0, 1):
        pass
    ending.set()
    if saves:
        command.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it has had its time
            command.wait(SAVES_WITHIN_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        sys.exit("localcloud.guarded ends its whole process group: start it in a group of its own")
    saves = sys.argv[1] == "--saves"
    command = subprocess.Popen(sys.argv[1 + saves :], stdin=subprocess.DEVNULL)
    ending = threading.Event()
    guard = threading.Thread(
        target=_end_group_with_stdin, args=(command, ending), kwargs={"saves": saves}, daemon=True
    )
    guard.start()
    code = command.wait()
    if ending.is_set():
        guard.join()  # it ends this process, too
    sys.exit(code)
