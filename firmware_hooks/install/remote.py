"""A device that is reached with the system's own `ssh`: its end (`on_board.py`) is sent ahead of each order."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import IO, Any

from firmware_hooks.errors import HookError
from firmware_hooks.flash import ssh

BLOCK = 1 << 16
MAX_LINE = 65536
"""bytes of an answer"""

_START = "import sys; exec(compile(sys.stdin.buffer.read({size}), 'edge-flash', 'exec'))"
_REMOTE = (
    'P=$(command -v python3) || {{ echo \'{{"error": "there is no python3 there; install it"}}\'; exit 1; }}; '
    'exec {sudo}"$P" -I -c {code}'
)

Progress = Callable[[str, int, int], None]
"""what is being done; bytes sent, bytes in all"""


def order(
    target: str, order: dict[str, Any], *, sudo: bool, archive: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Let a device do something.

    Args:
        target: as `ssh` takes it (user@host, or a name in its configuration), or ssh://user@host:port.
        order: as in `on_board`.
        sudo: do it as root, by `sudo -n`.
        archive: whose bytes may be asked for.
        progress: told of what is being done.

    Returns:
        The device's answer.

    Raises:
        HookError: it cannot be reached, or refused.
    """
    script = resources.files("firmware_hooks.install").joinpath("on_board.py").read_bytes()
    code = shlex.quote(_START.format(size=len(script)))
    remote = _REMOTE.format(sudo="sudo -n " if sudo else "", code=code)
    if target.startswith("-"):
        raise HookError(f"{target!r} is no address of a board; write user@host")
    process = ssh.start(ssh.command(target, remote))
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(script + json.dumps(order).encode("ascii") + b"\n")
                process.stdin.flush()
            return _converse(process.stdin, process.stdout, archive, progress or (lambda *_: None), target)
        finally:
            ssh.hang_up(process)


def _converse(
    outgoing: IO[bytes], incoming: IO[bytes], archive: Path | None, progress: Progress, target: str
) -> dict[str, Any]:
    while True:
        line = incoming.readline(MAX_LINE)
        if not line:
            raise HookError(f"{target} did not answer, or the connection broke; see what ssh says above, and try again")
        try:
            answer = json.loads(line)
        except ValueError:
            raise HookError(
                f"{target} says {line[:80]!r} instead of an answer; does its shell print a greeting?"
            ) from None
        if "error" in answer:
            raise HookError(str(answer["error"]))
        if "result" in answer:
            result: dict[str, Any] = answer["result"]
            return result
        if "step" in answer:
            progress(str(answer["step"]), 0, 0)
        if "offset" in answer and archive is not None:
            with suppress(BrokenPipeError):
                _send(outgoing, archive, int(answer["offset"]), progress)


def _send(outgoing: IO[bytes], archive: Path, offset: int, progress: Progress) -> None:
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK):
            outgoing.write(block)
            progress("sending", file.tell(), size)
        outgoing.flush()
