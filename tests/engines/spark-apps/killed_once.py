"""kill -9 of the driver, unless it has been killed before: the file that KILLED names says so."""

import os
import signal


def kill_once():
    mark = os.environ["KILLED"]
    if os.path.exists(mark):
        return
    with open(mark, "w", encoding="utf-8"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
