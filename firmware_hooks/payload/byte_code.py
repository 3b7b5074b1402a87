"""Byte code beside the sources, so that a board neither compiles at each start nor writes.

Its files name no time of a source but a hash that is not looked at (PEP 552, unchecked): imports read one file each,
and it stays valid however the tree is copied. Made by the Python of the very minor version that will read it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from firmware_hooks.errors import HookError

PREFIX = "/opt/edge-runtime"
"""what paths in byte code begin with; the importer replaces them by where it found the file"""


def compile_all(folder: Path, python: str) -> bool:
    """Compile all sources in a folder.

    Args:
        folder: of packages.
        python: version that they are for.

    Returns:
        False if no such Python is here; then it is left to the device.

    Raises:
        HookError: one does not compile.
    """
    command = interpreter(python)
    if command is None:
        return False
    done = subprocess.run(
        [
            *(command, "-E", "-s", "-S", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", PREFIX, str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise HookError(f"a package does not compile with Python {python}: {done.stdout[-500:]}")
    return True


def interpreter(python: str) -> str | None:
    """A Python of that minor version on this machine that runs."""
    if sys.version_info[:2] == tuple(map(int, python.split("."))):
        return sys.executable
    code = "import sys; print(*sys.version_info[:2], sep='.'); print(sys.executable)"
    try:
        done = subprocess.run([f"python{python}", "-I", "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version, _, path = done.stdout.strip().partition("\n")
    return path if done.returncode == 0 and version == python else None
