"""The command: so many cuts, and what was running after each."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.firmware_hooks.power_cuts.cuts import Cutter, Tally
from tests.firmware_hooks.slots import releases

MEMORY = Path("/dev/shm")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.firmware_hooks.power_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--careless", default="", help="leave out `fsync` or `sync_folder`, to see that it is noticed")
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = Path(name)
        with Cutter(folder, releases.make(folder, (1, 2, 3, 4)), options.seed, options.careless) as cutter:
            cutter.run(options.cuts, tally)
    for scenario, versions in tally.running.items():
        ran = ", ".join(f"version {version} {times} times" for version, times in sorted(versions.items()))
        print(f"{scenario}: {ran}")
    for each in tally.wrong:
        print(f"WRONG: {each}")
    print(
        f"{tally.cuts} power cuts, {tally.starts} boards started afterwards, {len(tally.wrong)} of them without the "
        f"working, verified model that they should have; {tally.pushes} further pushes went through"
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
