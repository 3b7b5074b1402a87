"""Runs one model at several lengths and marks each inference for the instruction counter (`count` starts it).

python inference.py MODEL LENGTH…          on the emulated core; one JSON line: what computed it
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

import edge_runtime

MAGIC = 0x45444745
"""as in icount.c"""
EMPTY = 0
"""the mark that begins a stretch with nothing in it; lengths mark themselves"""
END = 1 << 20
"""added to the number that ends a stretch"""
FIRST_ID, LAST_ID = 1000, 2000
"""ordinary pieces in BERT's vocabulary; the count does not depend on which"""


def mark(number: int) -> None:
    """Tell the counter. Outside of it, nothing happens."""
    with suppress(OSError):
        os.getpriority(MAGIC, number)


def main() -> None:
    model = edge_runtime.load(sys.argv[1])
    vocabulary = int(model.info.architecture["vocabulary"])
    mark(EMPTY)
    mark(EMPTY + END)
    # so that no length that is counted is the first at which something is set up for good
    model.run([FIRST_ID % vocabulary] * 3)
    for length in map(int, sys.argv[2:]):
        ids = [(FIRST_ID + index % (LAST_ID - FIRST_ID)) % vocabulary for index in range(length)]
        for _ in range(2):
            # The first one sets things up for the new length; it is overwritten by the second.
            mark(length)
            model.run(ids)
            mark(length + END)
    print(json.dumps({"backend": model.info.backend}))


if __name__ == "__main__":
    main()
