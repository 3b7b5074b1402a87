"""The files to lay onto a root file system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from firmware_hooks.errors import HookError

FOLDER = Path(__file__).parent
UNITS = "usr/lib/systemd/system"
SERVER, CARE = "edge-runtime.service", "edge-runtime-care.service"
UNKNOWN_WATCHDOG = 30
"""seconds, where the profile does not say what the watchdog takes at most: all that we know of take that"""

ENABLED = {
    SERVER: "multi-user.target",
    CARE: "multi-user.target",
    "edge-runtime.socket": "sockets.target",
}
"""what `systemctl enable` would do with them"""
METRICS = "edge-runtime-metrics.socket"

_USB = ("ttyUSB", "ttyACM")
_CLASS = re.compile(r"/dev/(tty[A-Za-z]+)\d+")
_BOARD_CLASSES = ("ttyAMA", "ttyS", "ttyTHS")
"""what the boards' profiles have; the drivers' names in /proc/devices"""


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a symbolic link, of root's."""

    path: str
    """relative to the root"""
    content: bytes = b""
    mode: int = 0o644
    target: str | None = None
    """of a link"""

    def write(self, root: Path) -> None:
        """Lay it down below `root`, over what was there. Folders that it makes can be entered by everybody."""
        place = root / self.path
        for folder in reversed(place.parents):
            if not folder.is_dir():
                folder.mkdir(0o755)
                folder.chmod(0o755)
        place.unlink(missing_ok=True)
        if self.target is not None:
            place.symlink_to(self.target)
            return
        place.write_bytes(self.content)
        place.chmod(self.mode)


def files(
    board: str | None = None, *, serial: Sequence[str] = (), metrics: bool = False, reboot: bool = False
) -> list[File]:
    """All files of the services, enabled.

    Args:
        board: a profile's name (`edge-boards list`): its watchdog and LED are used; without, neither is.
        serial: URLs of ports that the server answers at, as `edge-runtime serve --serial` takes them.
        metrics: enable the socket for scrapes.
        reboot: reboot the board when the server cannot be kept up.

    Raises:
        HookError: there is no such board, or a port cannot be used.
    """
    root = FOLDER / "root"
    found = [
        File(place.relative_to(root).as_posix(), place.read_bytes())
        for place in sorted(root.rglob("*"))
        if place.is_file()
    ]
    found += [_enabled(unit, target) for unit, target in ENABLED.items()]
    if metrics:
        found.append(_enabled(METRICS, "sockets.target"))
    if reboot:
        found.append(File(f"{UNITS}/{SERVER}.d/20-reboot.conf", (FOLDER / "optional/reboot.conf").read_bytes()))
    if board is not None:
        found += _board_files(board)
    return found + serial_files(serial)


def serial_files(ports: Sequence[str]) -> list[File]:
    """What lets the server answer at serial ports, all of them in one; nothing for none.

    Args:
        ports: as `edge-runtime serve --serial` takes them: serial:///dev/edge-serial-0?baud=115200, or a device.

    Raises:
        HookError: of which driver a device is cannot be told by its name.
    """
    if not ports:
        return []
    classes = sorted({each for port in ports for each in _classes(port)})
    filled = Template((FOLDER / "optional/serial.conf").read_text(encoding="utf-8")).substitute(
        # % begins a specifier of systemd's, and what is doubled stands for itself
        options=" ".join(f"--serial {port.replace('%', '%%')}" for port in ports),
        devices="\n".join(f"DeviceAllow=char-{each} rw" for each in classes),
    )
    found = [File(f"etc/systemd/system/{SERVER}.d/30-serial.conf", filled.encode())]
    if set(classes) & set(_USB):
        found.append(
            File("etc/modules-load.d/edge-runtime-serial.conf", (FOLDER / "optional/serial-modules.conf").read_bytes())
        )
    return found


def _classes(port: str) -> tuple[str, ...]:
    """The drivers whose devices a port may be."""
    if not re.fullmatch(r"[\x21-\x7e]+", port) or set(port) & set("\"'\\$"):
        raise HookError(
            f"{port!r} cannot stand in a unit file; a port is a URL as serial:///dev/edge-serial-0?baud=115200"
        )
    from edge_runtime.errors import EdgeError
    from edge_runtime.serial_link.address import parse

    try:
        device = parse(port).device
    except EdgeError as error:
        raise HookError(str(error)) from None
    if device is None:
        return ()
    if match := _CLASS.fullmatch(device):
        return (match[1],)
    name = os.path.basename(device)  # noqa: PTH119  a name, not a file
    if name.startswith("edge-serial-"):
        return _USB if "usb" in name else _BOARD_CLASSES
    if device.startswith("/dev/serial/by-"):
        return _USB
    raise HookError(
        f"{device}: give a port's own name (/dev/ttyAMA0) or its stable one (/dev/edge-serial-…, docs/service.md)"
    )


def _board_files(identity: str) -> Iterator[File]:
    from boards.errors import BoardError
    from boards.profiles import board

    try:
        profile = board(identity)
    except BoardError as error:
        raise HookError(str(error)) from None
    if profile.watchdog is not None:
        longest = profile.watchdog.longest
        limit = "the longest it takes" if longest else "the longest it takes is not known"
        yield _filled(
            "watchdog.conf",
            "usr/lib/systemd/system.conf.d/20-edge-runtime-watchdog.conf",
            name=profile.name,
            seconds=str(longest or UNKNOWN_WATCHDOG),
            limit=limit,
        )
    if profile.led is not None:
        names = {"name": profile.name, "led": profile.led.name}
        yield _filled("led.rules", "usr/lib/udev/rules.d/65-edge-runtime-led.rules", **names)
        yield _filled("led.conf", f"{UNITS}/{CARE}.d/10-led.conf", **names)
    if profile.thermal is not None and profile.thermal.flags == "vcgencmd":
        yield _filled("vcgencmd.conf", f"{UNITS}/{CARE}.d/10-vcgencmd.conf", name=profile.name)


def _filled(template: str, path: str, **values: str) -> File:
    text = (FOLDER / "board" / template).read_text(encoding="utf-8")
    return File(path, Template(text).substitute(values).encode())


def _enabled(unit: str, target: str) -> File:
    return File(f"etc/systemd/system/{target}.wants/{unit}", target=f"/{UNITS}/{unit}")
