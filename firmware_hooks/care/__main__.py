"""`python -m firmware_hooks.care`: what `edge-flash care` becomes, without the memory of a command line.

python -m firmware_hooks.care CONFIGURATION BOARD
"""

from __future__ import annotations

import sys
from pathlib import Path

from boards.system import System
from edge_runtime.errors import EdgeError
from edge_runtime.server import logs
from firmware_hooks.care import daemon, settings
from firmware_hooks.errors import HookError


def main() -> int:
    """Care; 1 where the configuration cannot be used."""
    configuration, board, root = sys.argv[1:4]
    logs.configure("info", "text")
    try:
        daemon.run(settings.read(Path(configuration)), System(Path(root)), board or None)
    except (HookError, EdgeError) as error:
        logs.EventLog("firmware_hooks.care").error("care cannot begin", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
