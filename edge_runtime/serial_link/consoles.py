"""Who else reads a serial port: programs, login consoles, the kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_LOGINS = ("agetty", "getty", "mgetty", "login", "sulogin")
_KERNEL_CONSOLES = Path("/sys/class/tty/console/active")


@dataclass(frozen=True, slots=True)
class Reader:
    """A process that has the port open."""

    pid: int
    name: str

    @property
    def is_login(self) -> bool:
        return self.name in _LOGINS

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def readers(device: str) -> list[Reader]:
    """Other processes that have a device open, as far as this user may see."""
    wanted = os.path.realpath(device)
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            if any(_target(descriptor) == wanted for descriptor in (process / "fd").iterdir()):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                found.append(Reader(int(process.name), name))
        except OSError:
            # it ended meanwhile, or is another user's
            continue
    return found


def is_kernel_console(device: str) -> bool:
    """Whether the kernel writes its messages there."""
    try:
        active = _KERNEL_CONSOLES.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return False
    return os.path.basename(os.path.realpath(device)) in active  # noqa: PTH119  a device's name, not a path to be opened


def complaint(device: str) -> str | None:
    """What is wrong with using a device, as a sentence; None if nothing is known to be."""
    others = readers(device)
    name = os.path.basename(os.path.realpath(device))  # noqa: PTH119  as above
    logins = [reader for reader in others if reader.is_login]
    if logins:
        return (
            f"a login console reads {device}: {logins[0]}; free it with"
            f" `systemctl disable --now serial-getty@{name}.service`"
        )
    if others:
        return (
            f"{device} is read by {', '.join(map(str, others))} as well, and each byte goes to only one of us; end it"
        )
    if is_kernel_console(device):
        return f"the kernel writes its messages to {device}; take console={name} out of the kernel's command line"
    return None


def _target(descriptor: Path) -> str | None:
    try:
        return str(descriptor.readlink())
    except OSError:
        return None
