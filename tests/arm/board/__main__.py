"""Builds the image that the booted tests start from.

python -m tests.arm.board [FILE] [--board generic-aarch64]      default: build/arm/edge.img

It differs from one for a real board in a root shell on the console, which the tests type on, and the serial port.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.arm.board.emulator import DEFAULT_IMAGE, SERIAL


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="build the image for the booted tests")
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_IMAGE)
    parser.add_argument("--board", default="generic-aarch64")
    parser.add_argument("--cache", help="folder that keeps Debian's packages")
    arguments = parser.parse_args()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    command = ["edge-flash", "image", "-o", str(arguments.file), "--board", arguments.board, "--root-console"]
    if arguments.board == "generic-aarch64":
        command += ["--serial", SERIAL]
    if arguments.cache:
        command += ["--cache", arguments.cache]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
