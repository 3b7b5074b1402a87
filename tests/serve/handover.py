"""Starts a program with listening sockets, as a service manager does (sd_listen_fds(3)).

    python -m tests.serve.handover DESCRIPTOR[,DESCRIPTOR…] PROGRAM [ARGUMENT…]

It becomes the program: LISTEN_PID must name the process that has the sockets from descriptor 3 on.
"""

from __future__ import annotations

import fcntl
import os
import sys

FIRST = 3
"""SD_LISTEN_FDS_START in sd-daemon.h"""
CLEAR_OF = 100
"""descriptors are held from here on while the low ones are being filled"""


def main() -> None:
    given = [int(each) for each in sys.argv[1].split(",")]
    held = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, CLEAR_OF) for each in given]
    for place, descriptor in enumerate(held):
        os.dup2(descriptor, FIRST + place, inheritable=True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ.setdefault("LISTEN_FDS", str(len(given)))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
