"""A board that is reached with the system's own `ssh`, whose settings, keys and known hosts are used as they are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from firmware_hooks.errors import HookError
from firmware_hooks.flash import transfer

SSH = "EDGE_FLASH_SSH"
"""environment variable with the command to use instead of `ssh`, options included"""
REMOTE = "EDGE_FLASH_REMOTE"
"""environment variable with the command to use instead of `edge-flash` on the board"""

_USER, _HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*", r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.%\w]+\]"
_TARGET = re.compile(rf"ssh://((?:{_USER}@)?(?:{_HOST}))(?::(\d{{1,5}}))?/?")


def order(target: str, order: dict[str, Any], model: Path | None = None) -> dict[str, Any]:
    """Let a board do something.

    Args:
        target: ssh://user@host:port; user and port may be left out.
        order: as in `transfer`.
        model: whose bytes may be asked for.

    Returns:
        The board's answer.

    Raises:
        HookError: it cannot be reached, or refused.
    """
    process = start(arguments(target))
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            return transfer.exchange(order, model, process.stdin, process.stdout)
        except transfer.Silence:
            hang_up(process)
            status = process.wait()
            raise HookError(
                f"{target} did not answer (ssh ended with status {status}); see what it says above, and that "
                "edge-flash is installed there"
            ) from None
        finally:
            hang_up(process)


def arguments(target: str) -> list[str]:
    """The command that talks to a board.

    Raises:
        HookError: the target is no ssh:// URL.
    """
    found = _TARGET.fullmatch(target)
    if found is None:
        raise HookError(f"{target!r} is no address of a board; write ssh://user@host or ssh://user@host:port")
    place, port = found[1].replace("[", "").replace("]", ""), found[2]
    return command(place, f"{os.environ.get(REMOTE, 'edge-flash')} model receive", *(["-p", port] if port else []))


def command(place: str, remote: str, *options: str) -> list[str]:
    """`ssh` with a shell's line to run at `place`."""
    # -T: no terminal, for bytes go through; and a dead line is noticed within a minute
    ssh = [*shlex.split(os.environ.get(SSH, "ssh")), "-T", "-o", "ServerAliveInterval=15", *options]
    return [*ssh, "--", place, remote]


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A connection, to be written to and read from.

    Raises:
        HookError: there is no such program.
    """
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise HookError(f"{command[0]} cannot be started: {error.strerror}; install an SSH client") from None


def hang_up(process: subprocess.Popen[bytes]) -> None:
    """Nothing more is sent; the other end may be gone already."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
