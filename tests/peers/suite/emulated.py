"""Runs one peer's model at several lengths on an emulated core and marks each run for the instruction counter.

python emulated.py RUNTIME FILE LENGTH…          `arm` starts it
"""

from __future__ import annotations

import sys

from tests.arm.inference import EMPTY, END, FIRST_ID, LAST_ID, mark
from tests.peers.suite.worker import RUNTIMES


def main() -> None:
    runtime, file, *lengths = sys.argv[1:]
    run = RUNTIMES[runtime]()(file, 1)
    mark(EMPTY)
    mark(EMPTY + END)
    for length in map(int, lengths):
        texts = [[FIRST_ID + index % (LAST_ID - FIRST_ID) for index in range(length)]]
        for _ in range(2):
            # the first one sets things up for the new length; it is overwritten by the second
            mark(length)
            run(texts)
            mark(length + END)


if __name__ == "__main__":
    main()
