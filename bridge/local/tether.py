"""Ties a process to its parent's life, then becomes the command: `tether.py PARENT COMMAND…`.

Run as a script with `python -I -S`, before the command's own exec: unlike a function run between fork and exec it
is safe in a parent with threads. Linux ends the command with SIGTERM when the *thread* that started it ends, so
`child.py` starts everything from one thread that lives as long as the process. Elsewhere the next start ends orphans.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Replaces this process, which keeps its pid."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent ended before the command began")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
