"""`python -m tests.serial.figures`: what docs/serial.md says of overhead and of wrong answers, computed."""

from __future__ import annotations

import math

from tests.serial.reference import largest_content, largest_fragment, size

STATE_SIZE = size(10)
DATA_OVERHEAD = size(8)
MESSAGE = 100
"""bytes of a request, and of a reply, that wrong answers are reckoned with"""
REQUESTS = 10_000


def main() -> None:
    print("frame  content  fragment  of its own bytes  with a STATE for each")
    for frame in (32, 64, 128, 256, 1024):
        piece = largest_fragment(frame)
        print(
            f"{frame:5} {largest_content(frame):8} {piece:9} {piece / frame:17.1%} {piece / (frame + STATE_SIZE):22.1%}"
        )
    print("\nerrors per byte  best frame  frames lost: 32, 64, 256  a STATE lost")
    for errors in (1e-5, 1e-4, 1e-3, 1e-2):
        lost = "  ".join(f"{damaged(errors, frame):6.1%}" for frame in (32, 64, 256))
        best = math.sqrt(DATA_OVERHEAD / errors)
        print(f"{errors:15.0e} {best:11.0f}   {lost}  {damaged(errors, STATE_SIZE):8.1%}")
    print(f"\n{REQUESTS} requests and replies of {MESSAGE} bytes in frames of 32")
    print("errors per byte  frames sent  damaged  that pass CRC-16  wrong answers")
    for errors in (1e-5, 1e-4, 1e-3, 1e-2):
        share = damaged(errors, 32)
        sent = REQUESTS * 2 * math.ceil(MESSAGE / largest_fragment(32)) / (1 - share)
        passing = sent * share * 2**-16
        print(f"{errors:15.0e} {sent:12.0f} {sent * share:8.0f} {passing:17.2g} {passing * 2**-32:14.1e}")
    print("\nT_ack in ms, frames of 256 on both sides, pauses of 20 ms")
    for baud in (9600, 115200, 1000000):
        print(f"{baud:8} {1e3 * 10 / baud * (256 + 256 + STATE_SIZE) + 40:7.0f}")


def damaged(errors: float, frame: int) -> float:
    """How many of the frames of that size are damaged, at so many errors per byte."""
    return 1 - (1 - errors) ** frame


if __name__ == "__main__":
    main()
