"""The process that is stopped: forks one child for each cut, so that Python is started once.

    LD_PRELOAD=interpose.so python -m tests.firmware_hooks.power_cuts.writer RELEASES CARELESS

A line on standard input is a JSON object: `scenario` (or `start`), `folder`, `log`, `at`, `error`; the answer is a line
with the child's exit status, or a signal's number below zero. A child refused by the slots ends with status 3.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_hooks.errors import Refused
from firmware_hooks.slots import storage
from tests.firmware_hooks.power_cuts import scenarios
from tests.firmware_hooks.slots.releases import Releases

REFUSED = 3


def main() -> None:
    folder = Path(sys.argv[1])
    key = Ed25519PrivateKey.from_private_bytes((folder / "seed").read_bytes())
    models = {int(path.stem): path for path in folder.glob("*.tflite")}
    releases = Releases(folder, models, key)
    careless = sys.argv[2]
    if careless == "fsync":
        os.fsync = lambda _: None  # type: ignore[assignment]
    elif careless:
        setattr(storage, careless, lambda *_: None)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _obey(order, releases)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _obey(order: dict[str, Any], releases: Releases) -> None:
    change = scenarios.start if order["scenario"] == "start" else scenarios.SCENARIOS[order["scenario"]].change
    slots = scenarios.slots(Path(order["folder"]), releases)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    ctypes.CDLL(None).interpose_arm(os.fsencode(order["folder"]), log, ctypes.c_long(order["at"]), order["error"])
    status = 0
    try:
        change(slots, releases)
    except Refused:
        status = REFUSED
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)


if __name__ == "__main__":
    main()
