"""What a whole conversion costs: time and peak memory of `edge-converter convert`, and the file's size.

python -m tests.peers.conversion CHECKPOINT MODEL.tflite [--effort fast|best] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

KIB, MEBIBYTE = 1 << 10, 1 << 20


def convert(checkpoint: Path, model: Path, effort: str) -> dict[str, float]:
    """Convert in a process of its own.

    Returns:
        `seconds`; `peak_mb`, its largest resident set in MiB; `file_mb`, in 10⁶ bytes.
    """
    command = [
        sys.executable,
        "-c",
        "from converter.cli import main; main()",
        "convert",
        str(checkpoint),
        "-o",
        str(model),
        "--effort",
        effort,
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KIB
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / MEBIBYTE),
        "file_mb": round(model.stat().st_size / 1e6, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="measure a conversion")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--effort", choices=["fast", "best"], default="best")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = convert(arguments.checkpoint, arguments.model, arguments.effort)
    print(
        json.dumps(found, indent=2) if arguments.json else "\n".join(f"{key:10}{value}" for key, value in found.items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
