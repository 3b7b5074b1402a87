"""What goes into an image, as the files of this folder say: Debian's packages, and what depends on the board."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Packages:
    """packages.toml"""

    system: dict[str, str]
    """package → what it is for"""
    ssh: dict[str, str]
    without: dict[str, str]
    """dependency that is left out → why it may be"""
    leave: list[str]
    """patterns of paths inside packages"""


@dataclass(frozen=True, slots=True)
class Family:
    """Boards that one image serves: a table of boards.toml."""

    name: str
    serves: list[str]
    """boards' names, as `edge-boards list` has them"""
    firmware: str
    """what reads the boot partition: efi or raspberry-pi"""
    link: str
    """URL of the serial port for microcontrollers, if all of them have it"""
    arguments: list[str]
    """for the kernel"""
    early: list[str]
    """patterns of kernel modules for the initramfs"""
    root: list[str]
    """patterns of further modules, for the root file system"""
    devicetrees: list[str]
    """patterns of files"""


def packages() -> Packages:
    """What packages.toml says."""
    data = tomllib.loads((HERE / "packages.toml").read_text(encoding="utf-8"))
    return Packages(data["system"], data["ssh"], data["without"], data["leave"]["paths"])


def boards() -> dict[str, Family]:
    """Board → the family it belongs to."""
    data = tomllib.loads((HERE / "boards.toml").read_text(encoding="utf-8"))
    families = [
        Family(name=name, **{"devicetrees": [], **table})  # the file has no other keys than the class
        for name, table in data.items()
    ]
    return {board: family for family in families for board in family.serves}


def family(board: str) -> Family:
    """The family that a board belongs to.

    Raises:
        HookError: there is no image for it.
    """
    known = boards()
    if board not in known:
        raise HookError(f"there is no image for {board}; there is one for {', '.join(sorted(known))}")
    return known[board]
